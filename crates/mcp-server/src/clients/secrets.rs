//! What must not be written into a client's configuration, which many programs read and many people share.

const SECRET_WORDS: [&str; 13] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASSCODE",
    "SECRET",
    "TOKEN",
    "PRIVATE_KEY",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "CREDENTIAL",
    "AUTHORIZATION",
    "COOKIE",
];
/// A name that is or ends with one of these words holds a secret.
const SECRET_ENDS: [&str; 2] = ["PASS", "AUTH"];
/// A name that ends so holds a place or a kind, not the secret itself.
const HARMLESS_ENDS: [&str; 6] = ["_PATH", "_FILE", "_DIR", "_URL", "_TYPE", "_NAME"];

/// Whether a variable, a key or a flag of this name holds a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace('-', "_");
    let ends =
        |word: &&str| name.strip_suffix(*word).is_some_and(|rest| rest.is_empty() || rest.ends_with('_'));
    (SECRET_WORDS.iter().any(|word| name.contains(word)) || SECRET_ENDS.iter().any(ends))
        && !HARMLESS_ENDS.iter().any(|end| name.ends_with(end))
}

/// Whether a value shows by itself that it is a secret: a key, a signed token, a password in an address.
pub fn is_secret_value(value: &str) -> bool {
    value.contains("-----BEGIN ")
        || has_web_token(value)
        || has_password_in_address(value)
        || has_assignment(value)
        || has_header(value)
}

/// Whether a value only names where the client finds it, as `${env:NAME}`, `${input:NAME}` or `${NAME}`.
pub fn is_reference(value: &str) -> bool {
    let inner = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.contains(['}', '{']) && !inner.contains(":-"))
}

/// Three parts of base64, the first of which is a JSON object.
fn has_web_token(value: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    value
        .split(|c: char| !part(c))
        .any(|word| word.starts_with("eyJ") && word.len() > 40 && word.matches('.').count() == 2)
}

fn has_password_in_address(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
}

/// `password=...` and its like, as connection strings have it.
fn has_assignment(value: &str) -> bool {
    value.split(['&', ';', '?', ' ']).filter_map(|part| part.split_once('=')).any(|(name, secret)| {
        !secret.is_empty()
            && !is_reference(secret)
            && is_secret_name(name.rsplit([':', '/']).next().unwrap_or(name))
    })
}

/// `Authorization: Bearer ...`, `X-Api-Key: ...`, or only what follows the name of such a header.
fn has_header(value: &str) -> bool {
    let (name, content) = value.split_once(':').unwrap_or(("", value));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let mut words = content.split_whitespace();
    let scheme = words.next().unwrap_or_default();
    let is_scheme = ["bearer", "basic"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    match words.next() {
        Some(secret) if is_scheme && is_name(name) => !is_reference(secret),
        _ => !scheme.is_empty() && !is_reference(scheme) && is_name(name) && is_secret_name(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_names_of_places_are_not_secrets() {
        for name in [
            "SNOWFLAKE_PASSWORD",
            "snowflake_token",
            "PRIVATE_KEY_PASSPHRASE",
            "SNOWFLAKE_PRIVATE_KEY_RAW",
            "SNOWFLAKE_CONNECTIONS_PROD_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "my-api-key",
            "PRIVATE_KEY",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "SNOWFLAKE_PRIVATE_KEY_PATH",
            "SNOWFLAKE_PRIVATE_KEY_FILE",
            "SNOWFLAKE_TOKEN_FILE_PATH",
            "SNOWFLAKE_HOME",
            "SNOWFLAKE_ACCOUNT",
            "ASYNC_QUERY_MCP_LOG_LEVEL",
            "PATH",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn values_that_are_secrets_by_their_look_are_known() {
        let token = format!("eyJ{}.{}.{}", "a".repeat(20), "b".repeat(20), "c".repeat(20));
        for value in [
            "-----BEGIN PRIVATE KEY-----\nabc",
            &token,
            &format!("Bearer {token}"),
            "postgres://ada:hunter2@db/shop",
            "sqlite:/d/x.db?password=hunter2",
            "account=a;TOKEN=b",
            "Authorization: Bearer abc",
            "x-api-key: abc",
            "Basic YWRhOmh1bnRlcjI=",
        ] {
            assert!(is_secret_value(value), "{value}");
        }
        for value in [
            "sqlite:/home/ada/shop.db",
            "prod=snowflake",
            "https://ada@example.com/x",
            "/keys/rsa_key.p8",
            "eyJ.a.b",
            "password=${env:PW}",
            "Authorization: Bearer ${env:KEY}",
            "x-api-key: ${env:KEY}",
            "info",
        ] {
            assert!(!is_secret_value(value), "{value}");
        }
    }

    #[test]
    fn a_reference_is_no_secret_unless_it_carries_one() {
        assert!(is_reference("${env:SNOWFLAKE_PASSWORD}"));
        assert!(is_reference("${input:token}"));
        assert!(!is_reference("hunter2"));
        assert!(!is_reference("${PASSWORD:-hunter2}"));
        assert!(!is_reference("${A}hunter2${B}"));
    }
}
