//! The private key: reading it, and what its problems mean to the person who made it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::der::Encode;
use pkcs8::der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use ring::digest;
use ring::rand::SystemRandom;
use ring::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use secrecy::{ExposeSecret, SecretString};

use super::pem;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const NO_KEY: &str = "holds no private key; it should be a PKCS#8 file in PEM, which begins with -----BEGIN PRIVATE \
                      KEY----- or -----BEGIN ENCRYPTED PRIVATE KEY-----";
const DAMAGED: &str = "the private key in it is damaged; copy the file again or make a new key";
const OLD_FORMAT: &str =
    "the private key is in the older PKCS#1 format; convert it: openssl pkcs8 -topk8 -in OLD -out NEW";
const PUBLIC: &str = "this is the public key; the setting needs the private one";
const NOT_RSA: &str = "the private key is no RSA key; make one: openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256 \
                       -out rsa_key.p8";
const NO_PASSPHRASE: &str = "the private key is encrypted and no passphrase is set; set private_key_file_pwd or the \
                             variable PRIVATE_KEY_PASSPHRASE";
const WRONG_PASSPHRASE: &str = "the passphrase does not decrypt the private key; check private_key_file_pwd or the \
                                variable PRIVATE_KEY_PASSPHRASE";
const UNKNOWN_CIPHER: &str = "the private key is encrypted in a way that is not known here; encrypt it anew: openssl \
                              pkcs8 -topk8 -v2 aes256 -in OLD -out NEW";
const SIZE: &str = "the RSA key must have 2048 to 4096 bits and be sound; make one: openssl genrsa 2048 | openssl pkcs8 \
                    -topk8 -v2 aes256 -out rsa_key.p8";

/// A key that signs. Its secret numbers live in `ring`, which signs in constant time.
pub(super) struct SigningKey {
    pair: RsaKeyPair,
    fingerprint: String,
}

impl SigningKey {
    /// Reads a key in PEM or base64. Decrypting takes a while by design: never on a runtime thread.
    pub(super) fn read(text: &str, passphrase: Option<&SecretString>) -> Result<Self, &'static str> {
        let block = pem::decode(text).ok_or(NO_KEY)?;
        match block.label.as_deref() {
            Some("PRIVATE KEY") => Self::plain(&block.der),
            Some("ENCRYPTED PRIVATE KEY") => Self::encrypted(&block.der, passphrase),
            Some("RSA PRIVATE KEY") => Err(OLD_FORMAT),
            Some("PUBLIC KEY" | "RSA PUBLIC KEY") => Err(PUBLIC),
            Some("EC PRIVATE KEY" | "EC PARAMETERS" | "DSA PRIVATE KEY" | "OPENSSH PRIVATE KEY") => {
                Err(NOT_RSA)
            }
            None if EncryptedPrivateKeyInfoRef::try_from(block.der.as_slice()).is_ok() => {
                Self::encrypted(&block.der, passphrase)
            }
            None => Self::plain(&block.der),
            Some(_) => Err(NO_KEY),
        }
    }

    /// `SHA256:` and the digest of the public key, as Snowflake shows it for a user.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The RS256 signature.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        // The randomness only blinds the computation; the signature is the same every time.
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).ok()?;
        Some(signature)
    }

    fn encrypted(der: &[u8], passphrase: Option<&SecretString>) -> Result<Self, &'static str> {
        let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| UNKNOWN_CIPHER)?;
        let passphrase = passphrase.ok_or(NO_PASSPHRASE)?;
        let plain = info.decrypt(passphrase.expose_secret()).map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::DecryptFailed) => WRONG_PASSPHRASE,
            pkcs8::Error::EncryptedPrivateKey(_) => UNKNOWN_CIPHER,
            // A wrong passphrase now and then yields bytes that look whole.
            _ => WRONG_PASSPHRASE,
        })?;
        match PrivateKeyInfoRef::try_from(plain.as_bytes()) {
            Ok(_) => Self::plain(plain.as_bytes()),
            Err(_) => Err(WRONG_PASSPHRASE),
        }
    }

    fn plain(der: &[u8]) -> Result<Self, &'static str> {
        let info = PrivateKeyInfoRef::try_from(der).map_err(|_| DAMAGED)?;
        if info.algorithm.oid != RSA {
            return Err(NOT_RSA);
        }
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| SIZE)?;
        let fingerprint = fingerprint(pair.public_key().as_ref()).ok_or(DAMAGED)?;
        Ok(Self { pair, fingerprint })
    }
}

/// Snowflake digests the key with its algorithm around it, as `openssl rsa -pubout` writes it.
fn fingerprint(rsa_public_key: &[u8]) -> Option<String> {
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: RSA, parameters: Some(AnyRef::NULL) },
        subject_public_key: BitStringRef::from_bytes(rsa_public_key).ok()?,
    };
    let digest = digest::digest(&digest::SHA256, &info.to_der().ok()?);
    Some(format!("SHA256:{}", STANDARD.encode(digest)))
}
