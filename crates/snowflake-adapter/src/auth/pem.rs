//! The armour around keys: PEM as people have it, with any line breaks or none, or bare base64.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::zeroize::Zeroizing;

/// Padding gets lost when keys travel through variables.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A decoded block.
pub(super) struct Block {
    /// What it says it is, such as `PRIVATE KEY`; `None` for bare base64.
    pub(super) label: Option<String>,
    /// What is in it. Wiped when dropped.
    pub(super) der: Zeroizing<Vec<u8>>,
}

/// Decodes the first block of the text.
pub(super) fn decode(text: &str) -> Option<Block> {
    // In variables a line break is often written as the two characters \n.
    let text = Zeroizing::new(text.replace("\\n", "\n"));
    let Some((_, rest)) = text.split_once("-----BEGIN ") else { return bare(&text) };
    let (label, rest) = rest.split_once("-----")?;
    // Without its end the block may be half a key.
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    // Headers only occur in an old way of encryption, which the label or the header itself gives away later.
    let der = if body.contains(':') { Zeroizing::default() } else { bytes(body)? };
    Some(Block { label: Some(label.to_owned()), der })
}

/// Base64 of a key, or of a whole PEM file.
fn bare(text: &str) -> Option<Block> {
    let der = bytes(text).filter(|der| !der.is_empty())?;
    match std::str::from_utf8(&der) {
        Ok(inner) if inner.contains("-----BEGIN ") => decode(inner),
        _ => Some(Block { label: None, der }),
    }
}

fn bytes(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut dense = Zeroizing::new(Vec::with_capacity(text.len()));
    dense.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; dense.len()]);
    let length = BASE64.decode_slice(dense.as_slice(), &mut der).ok()?;
    der.truncate(length);
    Some(der)
}
