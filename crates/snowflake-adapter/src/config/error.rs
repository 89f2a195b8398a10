//! Why a connection cannot be used, by what a person does about it. No text shows a secret.

use std::io;
use std::path::{Path, PathBuf};

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;

use super::provenance::Origin;

/// Why a connection cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing defines the connection that was asked for.
    #[error(
        "no Snowflake connection is named {name:?}; {} add [{name}] to {}, or set {}",
        known_names(.known),
        wanted_file(.directory.as_deref()),
        wanted_variable(.name)
    )]
    UnknownConnection {
        /// The name as asked for, or the default one.
        name: String,
        /// The names there are.
        known: Vec<String>,
        /// Where the connection files are looked for.
        directory: Option<PathBuf>,
    },
    /// A file cannot be read.
    #[error("cannot read {} ({reason}); check the path and that this user may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A connection file is no valid TOML.
    #[error("{}, line {line}, column {column}: {reason}; mend the TOML there", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// Counted from one.
        column: usize,
        /// What the parser expected.
        reason: String,
    },
    /// Others could change where we sign in.
    #[error("others may write to {} (mode {mode:o}); run: chmod 600 '{}'", path.display(), path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others could read or replace a secret.
    #[error(
        "others may read or write the secret in {} (mode {mode:o}); run: chmod 600 '{}'",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something that is needed is not set.
    #[error("connection {connection:?}: {what}")]
    Missing {
        /// The connection.
        connection: String,
        /// What is missing and how to set it.
        what: String,
    },
    /// A value is not one of those that it may be.
    #[error("{origin}: expected {expected}{}", but_found(.found.as_deref()))]
    Invalid {
        /// Where the value is.
        origin: Origin,
        /// What may stand there.
        expected: String,
        /// What stands there, unless it is a secret.
        found: Option<String>,
    },
    /// Two settings exclude each other.
    #[error("{first} and {second} exclude each other; {mend}")]
    Conflict {
        /// Where one is.
        first: Box<Origin>,
        /// Where the other is.
        second: Box<Origin>,
        /// What to do.
        mend: String,
    },
    /// A way to sign in that needs a person, or that is not there.
    #[error(
        "{origin}: {authenticator} {why}. Use instead: a key pair (private_key_file), a programmatic access token \
         (authenticator = \"programmatic_access_token\" with token_file_path), an OAuth token (authenticator = \
         \"oauth\" with token_file_path), or a password"
    )]
    Unsupported {
        /// Where it is chosen.
        origin: Origin,
        /// Its name.
        authenticator: String,
        /// Why not.
        why: &'static str,
    },
    /// Credentials would travel unencrypted.
    #[error(
        "{origin}: plain http is taken only to this machine (localhost, 127.0.0.0/8, ::1), and the host is {host}; \
         use protocol = \"https\""
    )]
    PlainHttp {
        /// Where http is chosen.
        origin: Origin,
        /// The host.
        host: String,
    },
    /// A private key cannot be used.
    #[error("{key}: {problem}")]
    Key {
        /// Where the key comes from.
        key: String,
        /// What is wrong with it and what to do.
        problem: &'static str,
    },
    /// A token cannot be used.
    #[error("{token}: {problem}")]
    Token {
        /// Where the token comes from.
        token: String,
        /// What is wrong with it and what to do.
        problem: &'static str,
    },
}

impl ConfigError {
    pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable { path: path.to_path_buf(), reason: error.to_string() }
    }

    pub(crate) fn conflict(first: Origin, second: Origin, mend: impl Into<String>) -> Self {
        Self::Conflict { first: Box::new(first), second: Box::new(second), mend: mend.into() }
    }

    pub(crate) fn missing(connection: &str, what: impl Into<String>) -> Self {
        Self::Missing { connection: connection.to_owned(), what: what.into() }
    }
}

impl From<ConfigError> for BackendError {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Configuration, error.to_string())
    }
}

fn known_names(names: &[String]) -> String {
    match names {
        [] => "none is configured:".to_owned(),
        names => format!("use one of the configured ones ({}), or", names.join(", ")),
    }
}

fn wanted_file(directory: Option<&Path>) -> String {
    match directory {
        Some(directory) => directory.join("connections.toml").display().to_string(),
        None => "connections.toml in ~/.snowflake".to_owned(),
    }
}

fn wanted_variable(name: &str) -> String {
    match name {
        super::DEFAULT_NAME => "SNOWFLAKE_ACCOUNT and its like".to_owned(),
        name => format!("{}ACCOUNT and its like", super::sources::prefix(name)),
    }
}

fn but_found(value: Option<&str>) -> String {
    value.map(|value| format!(", found {value:?}")).unwrap_or_default()
}
