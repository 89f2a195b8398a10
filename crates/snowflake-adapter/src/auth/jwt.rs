//! The signed token of a key pair, which proves the key for at most an hour.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use registry_core::clock::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use super::key::SigningKey;

/// Snowflake honours no token longer than an hour after it was issued.
const LIFETIME: Duration = Duration::from_secs(59 * 60);
/// A server whose clock is a little behind must not meet a token from the future.
const ALLOWANCE: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct Header {
    alg: &'static str,
    typ: &'static str,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: String,
    sub: &'a str,
    iat: i64,
    exp: i64,
}

/// Signs a token for `subject`, which is `ACCOUNT.USER`.
pub(super) fn mint(key: &SigningKey, subject: &str, now: Timestamp) -> Option<SecretString> {
    let issued = now.as_millis() / 1000 - seconds(ALLOWANCE);
    let claims = Claims {
        iss: format!("{subject}.{}", key.fingerprint()),
        sub: subject,
        iat: issued,
        exp: issued + seconds(LIFETIME),
    };
    let mut token = format!("{}.{}", part(&Header { alg: "RS256", typ: "JWT" })?, part(&claims)?);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(SecretString::from(token))
}

fn part(value: &impl Serialize) -> Option<String> {
    serde_json::to_vec(value).ok().map(|json| URL_SAFE_NO_PAD.encode(json))
}

fn seconds(span: Duration) -> i64 {
    i64::try_from(span.as_secs()).unwrap_or(i64::MAX)
}
