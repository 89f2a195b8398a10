//! Which databases there are.

use std::str::FromStr;

use clap::Args;

use crate::connection::{ConnectionSpec, Target};

/// Which databases there are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Databases")]
pub struct ConnectionArgs {
    /// The database: sqlite:PATH, snowflake for the default connection of Snowflake's own configuration,
    /// snowflake:NAME for another, or :memory: for the built-in sample [default: :memory:].
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_DATABASE", value_name = "URL")]
    pub database: Option<Target>,

    /// A named database, NAME=sqlite:PATH or NAME=snowflake; repeat it for several, the first is the default.
    #[arg(
        long = "connection",
        global = true,
        env = "ASYNC_QUERY_MCP_CONNECTIONS",
        value_name = "NAME=URL",
        value_delimiter = ';'
    )]
    pub named: Vec<ConnectionSpec>,
}

impl ConnectionArgs {
    /// The connections, the default one first.
    pub fn connections(&self) -> anyhow::Result<Vec<ConnectionSpec>> {
        let mut connections: Vec<ConnectionSpec> = Vec::new();
        if let Some(target) = &self.database {
            connections.push(ConnectionSpec::single(target.clone()));
        }
        connections.extend(self.named.iter().cloned());
        if connections.is_empty() {
            connections
                .push(ConnectionSpec::single(Target::from_str(":memory:").map_err(anyhow::Error::msg)?));
        }
        for (place, connection) in connections.iter().enumerate() {
            if connections[..place].iter().any(|earlier| earlier.name == connection.name) {
                anyhow::bail!(
                    "two connections are called {:?}; give each --connection another name",
                    connection.name
                );
            }
        }
        Ok(connections)
    }
}
