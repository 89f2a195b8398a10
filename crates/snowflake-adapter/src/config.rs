//! One connection, resolved and checked: everything that an engine needs and nothing about where it was found. [`load`]
//! finds it, [`explain`] tells where it found what.

mod account;
mod directory;
mod endpoint;
mod error;
mod file;
mod key;
mod load;
mod lookup;
mod provenance;
mod sign_in;
mod sources;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod whose;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use secrecy::SecretString;

pub use error::ConfigError;
pub use load::{explain, load, names};
pub use provenance::{Origin, Provenance, Shown};
pub use sources::Sources;
pub(crate) use whose::Whose;

/// The connection that is meant when nothing names one.
pub(crate) const DEFAULT_NAME: &str = "default";

/// A connection to one account as one user.
#[derive(Debug, Clone)]
pub struct SnowflakeConfig {
    /// Its name in the configuration.
    pub name: String,
    /// The account as Snowflake's protocols name it: upper case, without region and suffix.
    pub account: String,
    /// Scheme, host and port. Plain http only to a loopback address.
    pub base_url: Url,
    /// The user; a programmatic access token brings its own.
    pub user: Option<String>,
    /// How to sign in.
    pub credentials: Credentials,
    /// Which protocol to speak.
    pub protocol: Protocol,
    /// The defaults of a statement.
    pub context: StatementContext,
    /// Parameters of a session, as the user set them.
    pub session_parameters: Vec<(String, String)>,
    /// The deadlines of calls.
    pub deadlines: Deadlines,
}

impl SnowflakeConfig {
    /// Whose statements these are, without secrets. Parts that the account decides are left open.
    pub(crate) fn target(&self) -> String {
        let or_open = |part: &Option<String>| part.clone().unwrap_or_else(|| "-".to_owned());
        format!("snowflake:{}/{}/{}", self.account, or_open(&self.user), or_open(&self.context.role))
    }
}

/// Where and as whom a statement runs. Absent parts are the user's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementContext {
    /// The role.
    pub role: Option<String>,
    /// The warehouse.
    pub warehouse: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// The schema.
    pub schema: Option<String>,
}

/// How to sign in. Nothing in it prints its secret.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// A private key, PKCS#8 in PEM, perhaps encrypted.
    KeyPair {
        /// The key.
        key: SecretSource,
        /// Decrypts it.
        passphrase: Option<SecretString>,
    },
    /// An OAuth access token.
    OAuth(SecretSource),
    /// A programmatic access token.
    AccessToken(SecretSource),
    /// A password; driver protocol only.
    Password(SecretString),
}

/// Where a secret comes from. A file is read again when the secret it held is rejected.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// The secret itself.
    Value(SecretString),
    /// A file that holds it.
    File(PathBuf),
}

/// The two protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SQL API v2.
    SqlApi,
    /// The protocol of the drivers.
    Driver,
}

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Opening a TCP and TLS connection.
    pub connect: Duration,
    /// One request and its answer, chunks included.
    pub request: Duration,
    /// A request that the server holds open until there is news.
    pub long_poll: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            request: Duration::from_secs(60),
            long_poll: Duration::from_secs(75),
        }
    }
}
