//! Where settings may come from, gathered once so that nothing later asks the process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

/// Before the variables of one connection.
const CONNECTION_PREFIX: &str = "SNOWFLAKE_CONNECTIONS_";
/// Variables without the prefix that are read all the same.
const OTHER_VARIABLES: [&str; 3] = ["PRIVATE_KEY_PASSPHRASE", "XDG_CONFIG_HOME", "LOCALAPPDATA"];

/// Where settings may come from, strongest first: arguments, variables of the connection, files, general variables.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub(crate) flags: BTreeMap<String, SecretString>,
    pub(crate) variables: BTreeMap<String, SecretString>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) home: Option<PathBuf>,
}

impl Sources {
    /// No source at all; what tests start from.
    pub fn new() -> Self {
        Self::default()
    }

    /// The environment of this process and the directory that it points to.
    pub fn from_process() -> Self {
        let mut sources = Self { home: std::env::home_dir(), ..Self::default() };
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| is_ours(name)) else { continue };
            match value.into_string() {
                Ok(value) => sources.hear(name.to_owned(), SecretString::from(value)),
                Err(_) => tracing::warn!(variable = name, "ignored: its value is not Unicode text"),
            }
        }
        sources.directory = super::directory::find(&sources);
        sources
    }

    /// An argument of the program: `key` as the files spell it.
    pub fn with_flag(mut self, key: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.flags.insert(key.into(), value.into());
        self
    }

    /// An environment variable. One without a value is as if it were not there.
    pub fn with_variable(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.hear(name.into(), value.into());
        self
    }

    fn hear(&mut self, name: String, value: SecretString) {
        if !value.expose_secret().trim().is_empty() {
            self.variables.insert(name, value);
        }
    }

    /// The directory of `connections.toml` and `config.toml`.
    pub fn with_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// What `~` stands for.
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// Where the connection files are looked for.
    pub fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// The path with `~` written out, absolute: a message that names it then says where it really is.
    pub(crate) fn path(&self, text: &str) -> PathBuf {
        let path = match (text.strip_prefix('~'), &self.home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with(['/', '\\']) => {
                home.join(rest.trim_start_matches(['/', '\\']))
            }
            _ => PathBuf::from(text),
        };
        std::path::absolute(&path).unwrap_or(path)
    }
}

/// What the variables of the connection `name` begin with.
pub(crate) fn prefix(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    format!("{CONNECTION_PREFIX}{name}_")
}

/// The connection that a variable defines, as the variable spells it; `None` for other variables. A name cannot be
/// told from the key after it in general, so only the two keys that every connection starts from count.
pub(crate) fn defined_by(variable: &str) -> Option<&str> {
    let rest = variable.strip_prefix(CONNECTION_PREFIX)?;
    rest.strip_suffix("_ACCOUNT").or_else(|| rest.strip_suffix("_HOST")).filter(|name| !name.is_empty())
}

fn is_ours(name: &str) -> bool {
    name.starts_with("SNOWFLAKE_") || OTHER_VARIABLES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_a_connection_carry_its_name_in_capitals() {
        assert_eq!(prefix("my-dev.eu"), "SNOWFLAKE_CONNECTIONS_MY_DEV_EU_");
    }

    #[test]
    fn a_connection_is_defined_by_the_variable_of_its_account_or_host() {
        assert_eq!(defined_by("SNOWFLAKE_CONNECTIONS_MY_DEV_ACCOUNT"), Some("MY_DEV"));
        assert_eq!(defined_by("SNOWFLAKE_CONNECTIONS_DEV_HOST"), Some("DEV"));
        for other in
            ["SNOWFLAKE_CONNECTIONS_ACCOUNT", "SNOWFLAKE_CONNECTIONS_DEV_OAUTH_TOKEN", "SNOWFLAKE_ACCOUNT"]
        {
            assert_eq!(defined_by(other), None, "{other}");
        }
    }

    #[test]
    fn a_tilde_stands_for_the_home_directory_at_the_start_only() {
        let sources = Sources::new().with_home("/home/ada");
        assert_eq!(sources.path("~/key.p8"), Path::new("/home/ada/key.p8"));
        assert_eq!(sources.path("/etc/~/key"), Path::new("/etc/~/key"));
        assert!(sources.path("~other/key").is_absolute());
    }
}
