//! Where tokens come from. Everything here may block.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use registry_core::backend::BackendError;
use registry_core::clock::Timestamp;
use registry_core::error::ErrorKind;
use secrecy::{ExposeSecret, SecretString};

use super::key::SigningKey;
use super::{TokenKind, jwt};
use crate::config::{ConfigError, Credentials, SecretSource, SnowflakeConfig};
use crate::secret;

const NO_TOKEN: &str = "is empty; put the token there";
const BAD_TOKEN: &str = "is no token: it has spaces, line breaks or other characters that no token has; put the \
                         token there and nothing else";

/// The credentials of a connection, and the key once it has been read.
pub(super) struct TokenSource {
    credentials: Credentials,
    /// `ACCOUNT.USER`, in capitals.
    subject: String,
    key: Mutex<Option<Arc<SigningKey>>>,
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("credentials", &self.credentials)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

impl TokenSource {
    pub(super) fn new(config: &SnowflakeConfig) -> Result<Self, ConfigError> {
        let subject = match (&config.credentials, &config.user) {
            (Credentials::KeyPair { .. }, None) => {
                let what = "no user is set, and a key pair needs one; set user = \"...\"";
                return Err(ConfigError::missing(&config.name, what));
            }
            (_, user) => format!("{}.{}", config.account, user.as_deref().unwrap_or_default()).to_uppercase(),
        };
        Ok(Self { credentials: config.credentials.clone(), subject, key: Mutex::default() })
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// A token that is good at `now` by the server's clock.
    pub(super) fn obtain(&self, now: Timestamp) -> Result<(TokenKind, SecretString), BackendError> {
        match &self.credentials {
            Credentials::KeyPair { key, passphrase } => {
                let key = self.key(key, passphrase.as_ref())?;
                let unsigned = || BackendError::new(ErrorKind::Internal, "the private key did not sign");
                Ok((TokenKind::KeypairJwt, jwt::mint(&key, &self.subject, now).ok_or_else(unsigned)?))
            }
            Credentials::OAuth(source) => Ok((TokenKind::OAuth, token(source)?)),
            Credentials::AccessToken(source) => Ok((TokenKind::ProgrammaticAccessToken, token(source)?)),
            Credentials::Password(_) => {
                Err(BackendError::new(ErrorKind::Internal, "a connection with a password has no token"))
            }
        }
    }

    /// The next key is read from its file again.
    pub(super) fn forget(&self) {
        if let Credentials::KeyPair { key: SecretSource::File(_), .. } = &self.credentials {
            *self.key.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn key(
        &self,
        source: &SecretSource,
        passphrase: Option<&SecretString>,
    ) -> Result<Arc<SigningKey>, ConfigError> {
        let known = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(key) = known {
            return Ok(key);
        }
        let text = text(source)?;
        let key = SigningKey::read(text.expose_secret(), passphrase)
            .map_err(|problem| ConfigError::Key { key: place(source, "private_key"), problem })?;
        let key = Arc::new(key);
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&key));
        Ok(key)
    }
}

fn text(source: &SecretSource) -> Result<SecretString, ConfigError> {
    match source {
        SecretSource::Value(value) => Ok(value.clone()),
        SecretSource::File(path) => secret::read(path),
    }
}

/// The token without the line break that files end with, checked so that it fits into a header.
fn token(source: &SecretSource) -> Result<SecretString, ConfigError> {
    let text = text(source)?;
    let token = text.expose_secret().trim();
    let problem = match token {
        "" => Some(NO_TOKEN),
        token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Some(BAD_TOKEN),
        _ => None,
    };
    match problem {
        Some(problem) => Err(ConfigError::Token { token: place(source, "token"), problem }),
        None => Ok(SecretString::from(token)),
    }
}

fn place(source: &SecretSource, key: &str) -> String {
    match source {
        SecretSource::Value(_) => key.to_owned(),
        SecretSource::File(path) => Path::display(path).to_string(),
    }
}
