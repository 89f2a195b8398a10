//! What is logged to stderr, and how.

use clap::{Args, ValueEnum};

/// What is logged to stderr, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logging")]
pub struct LoggingArgs {
    /// How much is logged to stderr: error, warn, info, debug, trace, or a filter as RUST_LOG takes it.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// How it is logged.
    #[arg(
        long,
        global = true,
        env = "ASYNC_QUERY_MCP_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}
