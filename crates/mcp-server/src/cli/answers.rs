//! How tool calls are answered.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::values::{at_least_one, page_chars, wait};

/// How tool calls are answered.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tool answers")]
pub struct AnswerArgs {
    /// The longest a tool call waits, at most 300 seconds.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_WAIT_SECONDS", value_name = "SECONDS",
          value_parser = wait, default_value = "50")]
    pub max_wait_seconds: Duration,

    /// Characters of one tool answer, 4000 to 48000.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_PAGE_CHARS", value_name = "N", value_parser = page_chars,
          default_value_t = 30_000)]
    pub page_chars: usize,

    /// Tool calls that are answered at the same time.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_CALLS", value_name = "N", value_parser = at_least_one,
          default_value_t = 64)]
    pub max_calls: usize,

    /// The directory that agents may write whole results into, as CSV or JSON Lines [default: none, no exports].
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_EXPORT_DIR", value_name = "DIR")]
    pub export_dir: Option<PathBuf>,

    /// Start a statement again even while an identical one runs.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_NO_DEDUPLICATE", value_parser = BoolishValueParser::new())]
    pub no_deduplicate: bool,
}
