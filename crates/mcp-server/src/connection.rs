//! Connections as they are configured, and the engines behind them.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use registry_core::backend::BackendError;
use registry_core::{Backend, QueryRegistry};
use snowflake_adapter::config::{Protocol, SnowflakeConfig, Sources};
use snowflake_adapter::driver::DriverOptions;
use snowflake_adapter::{DriverBackend, RetryPolicy, SqlApiBackend};
use sql_guard::Dialect;
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteSource};

use crate::config::Config;
use crate::lazy::{OpenError, Opened, Opener};
use crate::policy::Mode;

/// The name of the connection when none was given.
const DEFAULT_NAME: &str = "main";
const FORM: &str = "a connection is written NAME=sqlite:PATH, NAME=sqlite::memory: for the built-in sample, or NAME=snowflake";

/// A named place where statements run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSpec {
    /// Its name, as tool calls give it.
    pub name: String,
    /// The engine and where its data are.
    pub target: Target,
}

/// An engine and where its data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The embedded engine.
    Sqlite(SqliteSource),
    /// Snowflake, by the name of a connection in its own configuration.
    Snowflake(Option<String>),
}

impl ConnectionSpec {
    /// The one connection of a server that was told of no other.
    pub fn single(target: Target) -> Self {
        Self { name: DEFAULT_NAME.to_owned(), target }
    }

    /// Whether it runs on the built-in sample.
    pub fn is_sample(&self) -> bool {
        match &self.target {
            Target::Sqlite(source) => *source == SqliteSource::Sample,
            Target::Snowflake(_) => false,
        }
    }

    /// The dialect that its statements are written in.
    pub fn dialect(&self) -> Dialect {
        match &self.target {
            Target::Sqlite(_) => Dialect::Sqlite,
            Target::Snowflake(_) => Dialect::Snowflake,
        }
    }

    fn cannot_open(&self, reason: impl Into<String>) -> OpenError {
        OpenError::Engine { connection: self.name.clone(), reason: reason.into() }
    }

    /// The engine behind it.
    pub(crate) async fn backend(&self, mode: Mode) -> Result<Arc<dyn Backend>, OpenError> {
        match &self.target {
            Target::Sqlite(source) => {
                let config = SqliteConfig::new(source.clone()).with_writes(mode == Mode::ReadWrite);
                Ok(Arc::new(SqliteBackend::new(config)))
            }
            Target::Snowflake(name) => {
                snowflake(name.clone()).await.map_err(|reason| self.cannot_open(reason))
            }
        }
    }
}

/// Reads Snowflake's own configuration, off the runtime's threads, and chooses the protocol it names.
async fn snowflake(name: Option<String>) -> Result<Arc<dyn Backend>, String> {
    let load = move || snowflake_adapter::config::load(name.as_deref(), &Sources::from_process());
    let config = tokio::task::spawn_blocking(load).await.map_err(|fault| fault.to_string())?;
    let config = config.map_err(|error| error.to_string())?;
    backend_of(&config).map_err(|error| error.to_string())
}

pub(crate) fn backend_of(config: &SnowflakeConfig) -> Result<Arc<dyn Backend>, BackendError> {
    Ok(match config.protocol {
        Protocol::SqlApi => Arc::new(SqlApiBackend::with_retry(config, RetryPolicy::jittered())?),
        Protocol::Driver => Arc::new(DriverBackend::new(config, DriverOptions::default())?),
    })
}

impl FromStr for ConnectionSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, target) = text.split_once('=').ok_or_else(|| FORM.to_owned())?;
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || name.len() > 40 || !name.chars().all(good) {
            return Err(format!(
                "{name:?} is no name for a connection: use 1 to 40 letters, digits, '-', '_' or '.'"
            ));
        }
        let target = match target.parse()? {
            Target::Snowflake(None) => Target::Snowflake(Some(name.to_owned())),
            target => target,
        };
        Ok(Self { name: name.to_owned(), target })
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "snowflake" {
            return Ok(Self::Snowflake(None));
        }
        if let Some(name) = text.strip_prefix("snowflake:").filter(|name| !name.is_empty()) {
            return Ok(Self::Snowflake(Some(name.to_owned())));
        }
        let known = text == ":memory:" || text.starts_with("sqlite:");
        if !known {
            return Err(format!(
                "{text:?} names no engine; use sqlite:PATH, snowflake, snowflake:NAME, or :memory: for the \
                 built-in sample"
            ));
        }
        SqliteSource::parse(text).map(Self::Sqlite).map_err(|error| error.to_string())
    }
}

/// Opens the registry that `config` describes.
pub fn opener(config: Config) -> Opener {
    Box::new(move || {
        let config = config.clone();
        Box::pin(async move {
            let (mut connections, mut missing) = (Vec::new(), HashMap::new());
            for spec in &config.connections {
                match spec.backend(config.settings.policy.mode).await {
                    Ok(backend) => connections.push((spec.name.clone(), backend)),
                    // As long as nothing works, everything is tried again by the next call.
                    Err(error) if config.connections.len() == missing.len() + 1 => return Err(error),
                    Err(error) => _ = missing.insert(spec.name.clone(), error),
                }
            }
            let registry = QueryRegistry::open(config.registry, config.state, connections).await?;
            Ok(Opened { registry, missing })
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_connection_is_a_name_and_a_target() {
        let spec: ConnectionSpec = "sales=sqlite:/data/a=b.db".parse().unwrap();
        let file = Target::Sqlite(SqliteSource::File(PathBuf::from("/data/a=b.db")));
        assert_eq!((spec.name.as_str(), spec.target), ("sales", file));
        assert!("x=sqlite::memory:".parse::<ConnectionSpec>().unwrap().is_sample());
        assert_eq!(":memory:".parse(), Ok(Target::Sqlite(SqliteSource::Sample)));
    }

    #[test]
    fn a_snowflake_connection_is_named_after_its_own_unless_it_says_otherwise() {
        let target = |text: &str| text.parse::<ConnectionSpec>().unwrap().target;
        assert_eq!(target("prod=snowflake"), Target::Snowflake(Some("prod".to_owned())));
        assert_eq!(target("prod=snowflake:other"), Target::Snowflake(Some("other".to_owned())));
        assert_eq!("snowflake".parse(), Ok(Target::Snowflake(None)));
    }

    #[test]
    fn what_is_no_connection_is_refused_with_the_form_of_one() {
        for bad in ["", "x", "=sqlite:a", "a b=sqlite:x", "x=postgres://h", "x=sqlite:", "x="] {
            assert!(
                bad.parse::<ConnectionSpec>().unwrap_err().contains("sqlite")
                    || bad.contains("a b")
                    || bad.starts_with('='),
                "{bad:?}"
            );
        }
    }
}
