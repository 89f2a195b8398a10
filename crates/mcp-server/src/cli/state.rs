//! Where queries and results are kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};

use super::values::time;

/// Where queries and results are kept, and for how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "State")]
pub struct StateArgs {
    /// Where queries and results are kept [default: the platform's place for state].
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Keep nothing beyond this process.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_EPHEMERAL", value_parser = BoolishValueParser::new(),
          conflicts_with = "state_dir")]
    pub ephemeral: bool,

    /// How long queries and results are kept.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_TTL", value_name = "TIME", value_parser = time,
          default_value = "24h")]
    pub ttl: Duration,

    /// What happens to queries at a remote engine when the server ends.
    #[arg(
        long,
        global = true,
        env = "ASYNC_QUERY_MCP_ON_EXIT",
        value_name = "POLICY",
        default_value = "detach"
    )]
    pub on_exit: ExitPolicy,
}

/// What happens to queries at a remote engine when the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExitPolicy {
    /// They go on, and the next start takes them up again.
    Detach,
    /// They are canceled.
    Cancel,
}
