//! Where each setting came from, for a person who wonders why it is what it is.

use std::fmt;
use std::path::PathBuf;

/// A setting in effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Shown,
    /// Where it came from.
    pub origin: Origin,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {} (from {})", self.key, self.value, self.origin)
    }
}

/// A value as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// The value.
    Text(String),
    /// A secret that is set.
    Secret,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Secret => f.write_str("set, not shown"),
        }
    }
}

/// The place of a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The program's own arguments.
    Flag {
        /// The key.
        key: String,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// A connection file.
    File {
        /// The file.
        path: PathBuf,
        /// The section, as its header spells it.
        section: String,
        /// The key.
        key: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag { key } => write!(f, "the argument {key}"),
            Self::Variable { name } => write!(f, "the variable {name}"),
            Self::File { path, section, key } if section.is_empty() => {
                write!(f, "{key} in {}", path.display())
            }
            Self::File { path, section, key } => write!(f, "{key} in [{section}] of {}", path.display()),
        }
    }
}
