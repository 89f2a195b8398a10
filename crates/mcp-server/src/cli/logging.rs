//! What is logged to stderr, how, and what is measured.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

/// What is logged to stderr, how, and what is measured.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs and metrics")]
pub struct LoggingArgs {
    /// How much is logged to stderr: error, warn, info, debug, trace, or a filter as RUST_LOG takes it.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Serve metrics for Prometheus at this address of this machine, as 127.0.0.1:9464; port 0 takes a free one,
    /// which the log names. Only the server does.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_METRICS", value_name = "ADDRESS",
          value_parser = crate::metrics::address)]
    pub metrics: Option<SocketAddr>,

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
