//! How much may run, for how long, and how much is kept of it.

use std::time::Duration;

use clap::Args;
use registry_core::registry::RegistryConfig;

use super::values::{at_least_one, size, statement_size, time};

/// How much may run, for how long, and how much is kept of it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// Queries that run at the same time on one connection.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_RUNNING", value_name = "N", value_parser = at_least_one,
          default_value_t = RegistryConfig::default().max_running)]
    pub max_running: usize,

    /// Queries that may wait for a place on one connection.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_QUEUED", value_name = "N",
          default_value_t = RegistryConfig::default().max_queued)]
    pub max_queued: usize,

    /// The longest a statement may run, as 90, 90s, 15m, 6h or 2d.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_TIMEOUT", value_name = "TIME", value_parser = time,
          default_value = "24h")]
    pub max_timeout: Duration,

    /// Rows that are kept of one result.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_RESULT_ROWS", value_name = "N", default_value_t = 50_000_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_result_rows: u64,

    /// Bytes that are kept of one result, as 500000, 64mib or 4gib.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_RESULT_BYTES", value_name = "SIZE", value_parser = size,
          default_value = "4gib")]
    pub max_result_bytes: u64,

    /// Bytes that all results in one state directory take together; beyond it those that were finished first go.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_SPOOL_BYTES", value_name = "SIZE", value_parser = size,
          default_value = "20gib")]
    pub max_spool_bytes: u64,

    /// Bytes of one SQL statement, at most 64kib: more is not read before it is sent.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_STATEMENT_BYTES", value_name = "SIZE",
          value_parser = statement_size, default_value = "64kib")]
    pub max_statement_bytes: u64,
}
