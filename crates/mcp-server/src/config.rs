//! What the server was told by flags and variables, checked and made ready to use.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::options::QueryRequest;
use registry_core::registry::{OnExit, RegistryConfig, StateLocation};
use registry_core::results::ResultLimits;
use registry_core::snapshot::QuerySnapshot;
use registry_core::state::Timing;
use sql_guard::{Dialect, Verdict};

use crate::cli::{ExitPolicy, GlobalArgs};
use crate::connection::ConnectionSpec;
use crate::policy::{Policy, Ruling};
use crate::words;

/// Above this, clients put an answer into a file instead of before the model.
pub const MOST_PAGE_CHARS: usize = 48_000;
/// Below this, the facts beside the rows would leave no room for them.
pub const LEAST_PAGE_CHARS: usize = 4_000;
/// Clients give up a call that takes longer.
pub const MOST_WAIT: Duration = Duration::from_secs(300);

/// Everything a command needs to work.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where statements run; the first is the default.
    pub connections: Vec<ConnectionSpec>,
    /// Where records and rows are kept.
    pub state: StateLocation,
    /// How the registry behaves.
    pub registry: RegistryConfig,
    /// How the tools behave.
    pub settings: Settings,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
}

/// How the tools behave.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What statements may do.
    pub policy: Policy,
    /// Names of the connections, the default one first.
    pub connections: Vec<String>,
    /// The dialect that each of them speaks.
    pub dialects: HashMap<String, Dialect>,
    /// What the built-in sample holds, when a connection is on it.
    pub sample: Option<&'static str>,
    /// An identical statement that still runs and only reads stands for a new one.
    pub deduplicate: bool,
    /// The longest a statement may run.
    pub max_timeout: Duration,
    /// The longest a tool call waits.
    pub max_wait: Duration,
    /// Characters of one answer.
    pub page_chars: usize,
    /// How long queries and rows are kept.
    pub retention: Duration,
    /// Tool calls at the same time.
    pub max_calls: usize,
    /// The directory that whole results may be written into; none is no exports.
    pub export_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            connections: vec!["main".to_owned()],
            dialects: HashMap::from([("main".to_owned(), Dialect::Sqlite)]),
            sample: None,
            deduplicate: true,
            max_timeout: Timing::default().max_timeout,
            max_wait: Duration::from_secs(50),
            page_chars: 30_000,
            retention: Duration::from_secs(24 * 3600),
            max_calls: 64,
            export_dir: None,
        }
    }
}

impl Settings {
    /// The retention as a person says it.
    pub fn retention_words(&self) -> String {
        words::retention(self.retention)
    }

    /// The time limit of a statement, when it is not the one asked for.
    pub fn shortened(&self, asked: Option<Duration>) -> Option<Duration> {
        asked.filter(|asked| *asked > self.max_timeout).map(|_| self.max_timeout)
    }

    /// The connection that `name` chooses, and its dialect; `None` for a name that is not configured.
    pub fn dialect(&self, name: Option<&str>) -> Option<(&str, Dialect)> {
        let (name, dialect) =
            self.dialects.get_key_value(name.or(self.connections.first().map(String::as_str))?)?;
        Some((name, *dialect))
    }

    /// Whether a role and the like mean anything on one of the connections.
    pub fn has_snowflake(&self) -> bool {
        self.dialects.values().any(|dialect| *dialect == Dialect::Snowflake)
    }

    /// Whether the person at the keyboard may run a statement. Their command is their word for one that writes.
    pub async fn permits_by_hand(
        &self,
        registry: &QueryRegistry,
        request: &QueryRequest,
    ) -> Result<(), Verdict> {
        let chosen = request.connection.as_deref();
        // The registry says what there is to choose from.
        let Some((_, dialect)) = self.dialect(chosen) else { return Ok(()) };
        match self.policy.rule(request, dialect, registry).await {
            Ruling::Run { .. } | Ruling::Ask(_) => Ok(()),
            Ruling::Refuse(verdict) => Err(verdict),
        }
    }

    /// The connection of a query, where there is a choice.
    pub fn name_of(&self, snapshot: &QuerySnapshot) -> Option<String> {
        (self.connections.len() > 1).then(|| snapshot.connection.clone())
    }
}

impl Config {
    /// What `args` say, with `environment` for the directories of this machine.
    pub fn from_args(
        args: &GlobalArgs,
        environment: impl Fn(&str) -> Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let connections = args.connections.connections()?;
        let settings = Settings {
            policy: args.policy.policy(),
            connections: connections.iter().map(|connection| connection.name.clone()).collect(),
            dialects: connections.iter().map(|spec| (spec.name.clone(), spec.dialect())).collect(),
            sample: connections
                .iter()
                .any(ConnectionSpec::is_sample)
                .then_some(sqlite_adapter::sample::DESCRIPTION),
            deduplicate: !args.answers.no_deduplicate,
            max_timeout: args.limits.max_timeout,
            max_wait: args.answers.max_wait_seconds,
            page_chars: args.answers.page_chars,
            retention: args.state.ttl,
            max_calls: args.answers.max_calls,
            // The path keeps its meaning whatever becomes of the working directory.
            export_dir: args.answers.export_dir.as_deref().map(std::path::absolute).transpose()?,
        };
        Ok(Self {
            connections,
            state: state_location(args, environment)?,
            registry: registry(args),
            settings,
            metrics: args.logging.metrics,
        })
    }
}

fn registry(args: &GlobalArgs) -> RegistryConfig {
    let defaults = RegistryConfig::default();
    RegistryConfig {
        max_running: args.limits.max_running,
        max_queued: args.limits.max_queued,
        ttl: args.state.ttl,
        // A little more than an engine's own deadline, so that its words are heard.
        call_timeout: defaults.call_timeout + Duration::from_secs(5),
        timing: Timing { max_timeout: args.limits.max_timeout, ..defaults.timing.clone() },
        max_spool_bytes: args.limits.max_spool_bytes,
        max_statement_bytes: usize::try_from(args.limits.max_statement_bytes).unwrap_or(usize::MAX),
        result_limits: ResultLimits {
            max_rows: args.limits.max_result_rows,
            max_bytes: args.limits.max_result_bytes,
        },
        on_exit: match args.state.on_exit {
            ExitPolicy::Detach => OnExit::Detach,
            ExitPolicy::Cancel => OnExit::Cancel,
        },
        ..defaults
    }
}

fn state_location(
    args: &GlobalArgs,
    environment: impl Fn(&str) -> Option<PathBuf>,
) -> anyhow::Result<StateLocation> {
    if args.state.ephemeral {
        return Ok(StateLocation::Ephemeral);
    }
    let directory = match &args.state.state_dir {
        Some(directory) => directory.clone(),
        None => default_state_dir(environment).ok_or_else(|| {
            anyhow::anyhow!(
                "there is no home directory to keep queries in; name a directory with --state-dir, or keep nothing \
                 with --ephemeral"
            )
        })?,
    };
    Ok(StateLocation::Directory(directory))
}

/// The platform's place for state.
fn default_state_dir(environment: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // Empty and relative values are to be ignored, as the XDG specification says.
    let absolute = |name: &str| environment(name).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        absolute("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        absolute("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
    };
    base.map(|base| base.join("async-query-mcp"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn config(args: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Config> {
        let args = Cli::try_parse_from([&["async-query-mcp"], args].concat())?;
        let find = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        Config::from_args(&args.global, find)
    }

    fn directory(config: Config) -> PathBuf {
        match config.state {
            StateLocation::Directory(path) => path,
            StateLocation::Ephemeral => panic!("ephemeral"),
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_state_directory_is_the_platforms() {
        let home = ("HOME", "/home/ada");
        let found = |environment: &[_]| directory(config(&[], environment).unwrap());
        assert_eq!(found(&[home]), PathBuf::from("/home/ada/.local/state/async-query-mcp"));
        assert_eq!(found(&[home, ("XDG_STATE_HOME", "/s")]), PathBuf::from("/s/async-query-mcp"));
        let relative = found(&[home, ("XDG_STATE_HOME", "s")]);
        assert_eq!(relative, PathBuf::from("/home/ada/.local/state/async-query-mcp"));
    }

    #[test]
    fn without_a_home_the_error_says_what_to_pass() {
        let error = config(&[], &[]).unwrap_err().to_string();
        assert!(error.contains("--state-dir") && error.contains("--ephemeral"), "{error}");
        assert!(matches!(config(&["--ephemeral"], &[]).unwrap().state, StateLocation::Ephemeral));
        assert_eq!(directory(config(&["--state-dir", "x"], &[]).unwrap()), PathBuf::from("x"));
    }

    #[test]
    fn identical_statements_are_joined_unless_told_otherwise() {
        let joins = |args: &[&str]| {
            let args = [&["--ephemeral"], args].concat();
            config(&args, &[]).unwrap().settings.deduplicate
        };
        assert!(joins(&[]));
        assert!(!joins(&["--no-deduplicate"]));
    }

    #[test]
    fn flags_reach_the_registry() {
        let args = [
            "--ephemeral",
            "--max-running",
            "2",
            "--max-queued",
            "3",
            "--max-timeout",
            "90",
            "--ttl",
            "2h",
            "--max-result-rows",
            "10",
            "--max-result-bytes",
            "1mib",
            "--max-spool-bytes",
            "2gib",
            "--max-statement-bytes",
            "1kib",
            "--on-exit",
            "cancel",
        ];
        let registry = config(&args, &[]).unwrap().registry;
        assert_eq!((registry.max_running, registry.max_queued), (2, 3));
        assert_eq!(registry.timing.max_timeout, Duration::from_secs(90));
        assert_eq!(registry.ttl, Duration::from_secs(7200));
        assert_eq!(registry.result_limits, ResultLimits { max_rows: 10, max_bytes: 1 << 20 });
        assert_eq!((registry.max_spool_bytes, registry.max_statement_bytes), (2 << 30, 1 << 10));
        assert_eq!(registry.on_exit, OnExit::Cancel);
    }
}
