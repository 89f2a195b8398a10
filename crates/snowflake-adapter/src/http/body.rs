//! Bodies, read piece by piece under a ceiling. It counts what comes out of the decompression.

use reqwest::Response;

const MIB: usize = 1 << 20;
/// No part of a result is held that is larger.
const LARGEST: usize = 256 * MIB;
/// In the head of a result its parts tell their sizes.
const HEAD: usize = 4 * MIB;

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ceiling {
    /// So many bytes.
    Bytes(usize),
    /// As large as its own head says that its rows are, and some more.
    Announced,
}

impl Ceiling {
    /// For answers that are a few words.
    pub(crate) const SMALL: Self = Self::Bytes(MIB);
    /// For everything that carries no rows of a result.
    pub(crate) const CONTROL: Self = Self::Bytes(16 * MIB);

    /// For rows of this size. The service may count otherwise than we do, so there is room to spare.
    pub(crate) fn announced(size: Option<u64>) -> Self {
        let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(32 * MIB);
        Self::Bytes(size.saturating_mul(2).saturating_add(MIB).min(LARGEST))
    }

    fn start(self) -> usize {
        match self {
            Self::Bytes(limit) => limit,
            Self::Announced => 16 * MIB,
        }
    }

    /// The ceiling once the head of the body is there.
    fn raised(self, head: &[u8]) -> Self {
        match self {
            Self::Bytes(_) => self,
            Self::Announced => Self::announced(announced_size(&head[..head.len().min(HEAD)])),
        }
    }
}

#[derive(Debug)]
pub(crate) enum ReadError {
    Broken(reqwest::Error),
    TooLarge(usize),
}

pub(crate) async fn read(response: &mut Response, ceiling: Ceiling) -> Result<Vec<u8>, ReadError> {
    let mut ceiling = ceiling;
    let mut limit = ceiling.start();
    let stated = response.content_length().and_then(|length| usize::try_from(length).ok());
    let mut body = Vec::with_capacity(stated.unwrap_or_default().min(limit));
    while let Some(piece) = response.chunk().await.map_err(ReadError::Broken)? {
        body.extend_from_slice(&piece);
        if body.len() > limit {
            ceiling = ceiling.raised(&body);
            limit = ceiling.start();
        }
        if body.len() > limit {
            return Err(ReadError::TooLarge(limit));
        }
    }
    Ok(body)
}

/// The first part's size, without parsing a body that is not whole yet.
fn announced_size(head: &[u8]) -> Option<u64> {
    const PARTS: &[u8] = b"\"partitionInfo\"";
    const SIZE: &[u8] = b"\"uncompressedSize\"";
    let after = |text: &[u8], word: &[u8]| {
        text.windows(word.len()).position(|window| window == word).map(|place| place + word.len())
    };
    let parts = &head[after(head, PARTS)?..];
    let rest = &parts[after(parts, SIZE)?..];
    let is_filler = |byte: &u8| *byte == b':' || byte.is_ascii_whitespace();
    let digits = rest.iter().skip_while(|byte| is_filler(byte)).take_while(|byte| byte.is_ascii_digit());
    digits.fold(None, |number, digit| {
        Some(number.unwrap_or(0_u64).saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_a_result_tells_the_size_of_its_first_part() {
        let head = br#"{"resultSetMetaData":{"partitionInfo":[{"rowCount":1,"uncompressedSize": 4375},{"#;
        assert_eq!(announced_size(head), Some(4375));
        for nothing in
            [&b"{\"uncompressedSize\":7}"[..], b"\"partitionInfo\":[{\"uncompressedSize\":null", b""]
        {
            assert_eq!(announced_size(nothing), None);
        }
    }

    #[test]
    fn a_ceiling_has_a_ceiling() {
        assert_eq!(Ceiling::announced(Some(u64::MAX)), Ceiling::Bytes(LARGEST));
        assert_eq!(Ceiling::announced(Some(0)), Ceiling::Bytes(MIB));
        assert_eq!(Ceiling::announced(None), Ceiling::Bytes(65 * MIB));
    }
}
