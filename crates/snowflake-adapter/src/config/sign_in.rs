//! Which way of signing in the settings ask for.

use super::error::ConfigError;
use super::key::{self, Key};
use super::lookup::{Found, Lookup};
use super::{Credentials, Protocol, SecretSource};
use crate::secret;

const AUTHENTICATORS: &str = "snowflake_jwt, programmatic_access_token, oauth, or snowflake (a password)";
const NO_PASSWORDS: &str = "the SQL API takes no passwords: remove api (or set it to \"driver\"), or sign in with a \
                            key pair or a token";
const ONE_SOURCE: &str = "remove the one that is not meant";

/// The credentials and the user, checked as far as that goes without the server.
pub(crate) fn resolve(lookup: &Lookup<'_>) -> Result<(Option<String>, Credentials), ConfigError> {
    let user = lookup.text(&key::USER)?;
    let credentials = credentials(lookup)?;
    let needs_user = matches!(credentials, Credentials::KeyPair { .. } | Credentials::Password(_));
    if needs_user && user.is_none() {
        return Err(ConfigError::missing(lookup.name, "no user is set; set user = \"...\""));
    }
    Ok((user, credentials))
}

/// The protocol that the user asks for, or the best one that takes these credentials.
pub(crate) fn protocol(lookup: &Lookup<'_>, credentials: &Credentials) -> Result<Protocol, ConfigError> {
    let password = matches!(credentials, Credentials::Password(_));
    let Some(found) = lookup.find(&key::API)? else {
        return Ok(if password { Protocol::Driver } else { Protocol::SqlApi });
    };
    match found.text().to_ascii_lowercase().as_str() {
        "driver" => Ok(Protocol::Driver),
        "sql" if password => {
            let password =
                lookup.find(&key::PASSWORD)?.map_or_else(|| found.origin.clone(), |found| found.origin);
            Err(ConfigError::conflict(found.origin, password, NO_PASSWORDS))
        }
        "sql" => Ok(Protocol::SqlApi),
        _ => Err(found.expected("\"sql\" or \"driver\"")),
    }
}

fn credentials(lookup: &Lookup<'_>) -> Result<Credentials, ConfigError> {
    let Some(found) = lookup.find(&key::AUTHENTICATOR)? else { return implied(lookup) };
    match found.text().to_ascii_lowercase().as_str() {
        "snowflake" => implied(lookup),
        "snowflake_jwt" => key_pair(lookup),
        "programmatic_access_token" => token(lookup, &found).map(Credentials::AccessToken),
        "oauth" => token(lookup, &found).map(Credentials::OAuth),
        other => Err(match unsupported(other) {
            Some(why) => ConfigError::Unsupported {
                origin: found.origin.clone(),
                authenticator: other.to_owned(),
                why,
            },
            None => found.expected(AUTHENTICATORS),
        }),
    }
}

/// Why a way to sign in that Snowflake has is not there.
fn unsupported(authenticator: &str) -> Option<&'static str> {
    match authenticator {
        "externalbrowser" | "oauth_authorization_code" => {
            Some("opens a browser for a person, and this program runs without one")
        }
        "username_password_mfa" => {
            Some("asks a person for a second factor, and this program runs without one")
        }
        "oauth_client_credentials" => {
            Some("is not supported: let another program fetch the token into a file")
        }
        "workload_identity" => Some("is not supported"),
        url if url.starts_with("https://") || url.starts_with("http://") => {
            Some("(native single sign-on) is not supported")
        }
        _ => None,
    }
}

/// Without a chosen way, the secret that is there decides; of two, the one from the stronger source, and a key
/// before a password.
fn implied(lookup: &Lookup<'_>) -> Result<Credentials, ConfigError> {
    let key = one_of(lookup, &key::PRIVATE_KEY, &key::PRIVATE_KEY_FILE)?;
    let password = lookup.find(&key::PASSWORD)?;
    match (key, password) {
        (Some(key), Some(password)) if password.layer < key.layer => {
            Ok(Credentials::Password(password.secret()))
        }
        (Some(_), _) => key_pair(lookup),
        (None, Some(password)) => Ok(Credentials::Password(password.secret())),
        (None, None) => Err(none_given(lookup)?),
    }
}

fn none_given(lookup: &Lookup<'_>) -> Result<ConfigError, ConfigError> {
    Ok(match one_of(lookup, &key::TOKEN, &key::TOKEN_FILE)? {
        Some(token) => ConfigError::missing(
            lookup.name,
            format!(
                "a token is set ({}) but not its kind; set authenticator to \"programmatic_access_token\" or \"oauth\"",
                token.origin
            ),
        ),
        None => ConfigError::missing(
            lookup.name,
            "nothing to sign in with; set private_key_file, or authenticator and token_file_path, or password",
        ),
    })
}

fn key_pair(lookup: &Lookup<'_>) -> Result<Credentials, ConfigError> {
    let Some(found) = one_of(lookup, &key::PRIVATE_KEY, &key::PRIVATE_KEY_FILE)? else {
        return Err(ConfigError::missing(
            lookup.name,
            "no private key is set; set private_key_file to the path of a PKCS#8 file",
        ));
    };
    let passphrase = lookup.find(&key::PASSPHRASE)?.map(Found::secret);
    Ok(Credentials::KeyPair { key: source(lookup, found, &key::PRIVATE_KEY_FILE)?, passphrase })
}

fn token(lookup: &Lookup<'_>, authenticator: &Found) -> Result<SecretSource, ConfigError> {
    let Some(found) = one_of(lookup, &key::TOKEN, &key::TOKEN_FILE)? else {
        let what = format!(
            "{} asks for a token and none is set; set token_file_path to the path of a file that holds it",
            authenticator.origin
        );
        return Err(ConfigError::missing(lookup.name, what));
    };
    source(lookup, found, &key::TOKEN_FILE)
}

fn source(lookup: &Lookup<'_>, found: Found, file: &Key) -> Result<SecretSource, ConfigError> {
    if !found.is(file) {
        return Ok(SecretSource::Value(found.secret()));
    }
    // A message about a missing file shows its path.
    let text = found.shown().ok_or_else(|| found.expected("the path of a file, not what is in it"))?;
    let path = lookup.sources.path(text);
    secret::check(&path)?;
    Ok(SecretSource::File(path))
}

/// The stronger of a value and a file; from the same source they exclude each other.
fn one_of(
    lookup: &Lookup<'_>,
    value: &'static Key,
    file: &'static Key,
) -> Result<Option<Found>, ConfigError> {
    match (lookup.find(value)?, lookup.find(file)?) {
        (Some(value), Some(file)) if value.layer == file.layer => {
            Err(ConfigError::conflict(value.origin, file.origin, ONE_SOURCE))
        }
        (Some(value), Some(file)) => Ok(Some(if value.layer < file.layer { value } else { file })),
        (value, file) => Ok(value.or(file)),
    }
}
