//! The command line: every flag has a variable, so that a client's configuration can use either.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use registry_core::registry::RegistryConfig;

use crate::commands::run::RunArgs;
use crate::config::{LEAST_PAGE_CHARS, MOST_PAGE_CHARS, MOST_WAIT};
use crate::connection::{ConnectionSpec, Target};

/// Run long SQL queries for AI agents, and by hand.
#[derive(Debug, Parser)]
#[command(name = "async-query-mcp", version, propagate_version = true)]
pub struct Cli {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What all commands share.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Speak MCP on stdin and stdout (the default).
    Serve,
    /// Run one statement and print its rows.
    Run(RunArgs),
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct GlobalArgs {
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

    /// Allow statements that write. Without it the engine itself refuses them.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_ALLOW_WRITES", value_parser = BoolishValueParser::new())]
    pub allow_writes: bool,

    /// Where queries and results are kept [default: the platform's place for state].
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Keep nothing beyond this process.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_EPHEMERAL", value_parser = BoolishValueParser::new(),
          conflicts_with = "state_dir")]
    pub ephemeral: bool,

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

    /// How long queries and results are kept.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_TTL", value_name = "TIME", value_parser = time,
          default_value = "24h")]
    pub ttl: Duration,

    /// Rows that are kept of one result.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_RESULT_ROWS", value_name = "N", default_value_t = 50_000_000,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub max_result_rows: u64,

    /// Bytes that are kept of one result, as 500000, 64mib or 4gib.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_MAX_RESULT_BYTES", value_name = "SIZE", value_parser = size,
          default_value = "4gib")]
    pub max_result_bytes: u64,

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

    /// Start a statement again even while an identical one runs.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_NO_DEDUPLICATE", value_parser = BoolishValueParser::new())]
    pub no_deduplicate: bool,

    /// What happens to queries at a remote engine when the server ends.
    #[arg(
        long,
        global = true,
        env = "ASYNC_QUERY_MCP_ON_EXIT",
        value_name = "POLICY",
        default_value = "detach"
    )]
    pub on_exit: ExitPolicy,

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

/// What happens to queries at a remote engine when the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExitPolicy {
    /// They go on, and the next start takes them up again.
    Detach,
    /// They are canceled.
    Cancel,
}

/// How it is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}

impl GlobalArgs {
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

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number, 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn page_chars(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(chars) if (LEAST_PAGE_CHARS..=MOST_PAGE_CHARS).contains(&chars) => Ok(chars),
        Ok(_) | Err(_) => {
            Err(format!("it must be a whole number from {LEAST_PAGE_CHARS} to {MOST_PAGE_CHARS}"))
        }
    }
}

fn wait(text: &str) -> Result<Duration, String> {
    match text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(wait) if wait <= MOST_WAIT => Ok(wait),
        Some(_) | None => Err(format!("it must be a number of seconds from 0 to {}", MOST_WAIT.as_secs())),
    }
}

/// A span of time: a number of seconds, or a number and its unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be a time such as 90, 90s, 15m, 6h or 2d, up to 31d".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let seconds: f64 = number.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(seconds * factor) {
        Ok(span) if !span.is_zero() && span <= Duration::from_secs(31 * 86_400) => Ok(span),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

/// A number of bytes, or a number and its unit.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a size such as 500000, 64mib or 4gib".to_owned();
    let lower = text.to_ascii_lowercase();
    let (number, unit) = lower.split_at(lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len()));
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_global_flag_has_a_variable() {
        for argument in Cli::command().get_arguments().filter(|argument| argument.is_global_set()) {
            let name = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(name.starts_with("ASYNC_QUERY_MCP_"), "--{} has none", argument.get_id());
        }
    }

    #[test]
    fn nothing_named_is_to_serve_the_sample() {
        let cli = Cli::try_parse_from(["async-query-mcp"]).unwrap();
        assert!(cli.command.is_none());
        let connections = cli.global.connections().unwrap();
        assert_eq!(connections.len(), 1);
        assert!(connections[0].is_sample());
    }

    #[test]
    fn two_connections_of_one_name_are_refused() {
        let args = ["async-query-mcp", "--connection", "a=sqlite:x", "--connection", "a=sqlite:y"];
        let error = Cli::try_parse_from(args).unwrap().global.connections().unwrap_err();
        assert!(error.to_string().contains("\"a\""), "{error}");
    }

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        let seconds = |text| time(text).map(|span| span.as_secs_f64());
        assert_eq!(seconds("90"), Ok(90.0));
        assert_eq!(seconds("1.5m"), Ok(90.0));
        assert_eq!(seconds("2d"), Ok(172_800.0));
        for bad in ["", "0", "-1", "h", "1w", "nan", "inf", "1e300", "32d"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
        assert_eq!(size("64MiB"), Ok(64 << 20));
        for bad in ["", "0", "x", "1.5g", "99999999999g"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for (flag, value, hint) in [
            ("--page-chars", "100", "4000"),
            ("--page-chars", "48001", "48000"),
            ("--max-wait-seconds", "301", "300"),
            ("--max-wait-seconds", "-1", "300"),
            ("--max-running", "0", "1 or more"),
        ] {
            let flag = format!("{flag}={value}");
            let error = Cli::try_parse_from(["async-query-mcp", &flag]).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
