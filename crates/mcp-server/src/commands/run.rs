//! `run "SQL"`: one statement for the person at the keyboard, through the same registry as a tool call.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use registry_core::QueryRegistry;
use registry_core::id::QueryId;
use registry_core::options::{QueryContext, QueryOptions, QueryRequest};
use registry_core::registry::{RegistryConfig, RowFollower, Shutdown};
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use sql_guard::{Kind, Rule, Verdict};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::progress::ProgressLine;
use super::rows::{Part, Printer, RowArgs};
use super::unless_interrupted;
use crate::call::now;
use crate::config::{Config, Settings};
use crate::connection;
use crate::lazy::Opened;
use crate::policy::Mode;
use crate::shutdown::Signals;
use crate::stdio;
use crate::words;

/// Rows that arrive are looked for this often.
const LOOK: Duration = Duration::from_millis(100);
/// After an interruption, how long the engine's word is waited for.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any query may run.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(60 * 24 * 3600);
const CLOSE: Duration = Duration::from_secs(2);
/// What past results may take of the time of this one.
const PRUNE: Duration = Duration::from_secs(1);

/// What to run and how to print it.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("statement").required(true).args(["sql", "file"])))]
pub struct RunArgs {
    /// One SQL statement; `-` reads it from stdin.
    #[arg(allow_hyphen_values = true,
          value_parser = crate::cli::values::statement)]
    sql: Option<String>,
    /// Read the statement from a file.
    #[arg(long, short, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Stop the statement after this time, as 90, 90s, 15m or 2h.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::values::time)]
    timeout: Option<Duration>,
    /// Which of the configured connections runs it [default: the first].
    #[arg(long = "on", value_name = "NAME")]
    on: Option<String>,
    /// A word for it, shown in lists.
    #[arg(long)]
    label: Option<String>,
    /// Print at most so many rows; the others are kept [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    max_rows: Option<u64>,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    context: ContextArgs,
}

/// Where and as whom the statement runs. Whoever types this is the operator, so no list restricts it.
#[derive(Debug, Args)]
struct ContextArgs {
    /// The role whose rights it has, at Snowflake [default: the connection's].
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// The warehouse that computes it, at Snowflake [default: the connection's].
    #[arg(long, value_name = "NAME")]
    warehouse: Option<String>,
    /// The database of unqualified names, at Snowflake; `--database` is where to connect.
    #[arg(long, value_name = "NAME")]
    use_database: Option<String>,
    /// The schema of unqualified names, at Snowflake.
    #[arg(long, value_name = "NAME")]
    schema: Option<String>,
}

impl ContextArgs {
    fn context(&self) -> QueryContext {
        QueryContext {
            role: self.role.clone(),
            warehouse: self.warehouse.clone(),
            database: self.use_database.clone(),
            schema: self.schema.clone(),
        }
    }
}

/// Runs one statement and prints its rows.
pub async fn run(config: Config, args: RunArgs) -> ProcessCode {
    let as_json = args.rows.json;
    super::end(begin(config, args).await, as_json).await
}

async fn begin(config: Config, args: RunArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let request = unless_interrupted(&mut signals, request(&args)).await?;
    // It ends with its own query, so those of others are left to the servers.
    let settings = config.settings.clone();
    let registry = RegistryConfig { takes_over: false, ..config.registry.clone() };
    let opening = connection::opener(Config { registry, ..config })();
    let opened = unless_interrupted(&mut signals, async { Ok(opening.await?) }).await?;
    let outcome = execute(&settings, &opened, request, &args, &mut signals).await;
    let registry = opened.registry;
    if outcome.is_ok() {
        // Where no server runs, nobody else forgets what is past its time.
        let _ = timeout(PRUNE, registry.prune_expired()).await;
    }
    // Whatever is left is stopped or left to run, as configured.
    let _ = timeout(CLOSE, registry.close(Shutdown::Immediate)).await;
    outcome
}

async fn execute(
    settings: &Settings,
    opened: &Opened,
    request: QueryRequest,
    args: &RunArgs,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let chosen = settings.dialect(request.connection.as_deref()).map(|(name, _)| name.to_owned());
    if let Some(error) = chosen.as_deref().and_then(|name| opened.missing.get(name)) {
        return Err(error.clone().into());
    }
    let registry = &opened.registry;
    settings.permits_by_hand(registry, &request).await.map_err(|verdict| refused(settings, &verdict))?;
    // By name, so that a default that could not be set up is not replaced by another.
    let request = QueryRequest { connection: chosen.or(request.connection), ..request };
    let accepted = registry.execute_query(request).await?;
    if let Some(limit) = settings.shortened(args.timeout) {
        stdio::tell(&format!("async-query-mcp: {}\n", words::shortened(limit))).await;
    }
    follow(registry, accepted.snapshot, args, signals).await
}

fn refused(settings: &Settings, verdict: &Verdict) -> Failure {
    let message = format!("the statement was not run. {}", verdict.message);
    let may_write = verdict.kind == Kind::Write && settings.policy.mode == Mode::ReadOnly;
    let next = if may_write { " To run it all the same, pass --mode read-write." } else { "" };
    // What is no statement is a slip on the command line.
    let code = if verdict.rule == Rule::Empty { ExitCode::Usage } else { ExitCode::Failed };
    Failure::new(code, message).next(format!("{}{next}", verdict.mend))
}

async fn request(args: &RunArgs) -> Result<QueryRequest, Failure> {
    let sql = match (&args.file, args.sql.as_deref()) {
        (Some(path), _) => {
            let unreadable = |reason: &dyn std::fmt::Display| {
                Failure::new(ExitCode::Usage, format!("cannot read {}: {reason}", path.display()))
            };
            let path = path.clone();
            let read = tokio::task::spawn_blocking(move || stdio::read_file(&path)).await;
            read.map_err(|fault| unreadable(&fault))?.map_err(|error| unreadable(&error))?
        }
        (None, Some("-")) => {
            let unreadable = |error| Failure::new(ExitCode::Usage, format!("cannot read stdin: {error}"));
            stdio::read_all().await.map_err(unreadable)?
        }
        (None, sql) => sql.unwrap_or_default().to_owned(),
    };
    Ok(QueryRequest {
        connection: args.on.clone(),
        label: args.label.clone(),
        client: Some("command line".to_owned()),
        options: QueryOptions {
            query_timeout: args.timeout,
            context: args.context.context(),
            ..QueryOptions::default()
        },
        ..QueryRequest::new(sql)
    })
}

async fn follow(
    registry: &QueryRegistry,
    snapshot: QuerySnapshot,
    args: &RunArgs,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let mut printer = Printer::new(args.rows, Part { offset: 0, limit: args.max_rows });
    let mut follower = registry.follow_rows(snapshot.query_id).await?;
    let followed = tokio::select! {
        followed = until_end(registry, snapshot.query_id, &mut follower, &mut printer) => followed?,
        () = signals.next() => Err(Leave::Interrupted),
        () = stdio::until_unread() => Err(Leave::Unread),
    };
    let ended = match followed {
        Ok(ended) => ended,
        Err(leave) if follower.is_fetching() => return Err(leave.after_success().await),
        Err(leave) => return give_up(registry, &snapshot, signals, leave).await,
    };
    if ended.status != QueryStatus::Succeeded {
        return Err(without_rows(&ended));
    }
    // The query has ended; an interruption only gives up its printing.
    unless_interrupted(signals, printer.print(registry, &ended)).await?;
    Ok(ExitCode::Success)
}

/// Why a query that has not ended is left.
enum Leave {
    Interrupted,
    /// Nobody reads its rows.
    Unread,
    /// There is nowhere to print to.
    Unprinted(io::Error),
}

impl From<io::Error> for Leave {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Unread } else { Self::Unprinted(error) }
    }
}

impl Leave {
    /// How a line about it begins.
    fn why(&self) -> String {
        match self {
            // The terminal shows ^C on the progress line.
            Self::Interrupted => "\nasync-query-mcp: ".to_owned(),
            Self::Unread => "async-query-mcp: nobody reads the rows; ".to_owned(),
            Self::Unprinted(error) => format!("async-query-mcp: cannot print: {error}; "),
        }
    }

    fn code(&self) -> ExitCode {
        match self {
            Self::Interrupted => ExitCode::Interrupted,
            Self::Unread => ExitCode::Canceled,
            Self::Unprinted(_) => ExitCode::Unreachable,
        }
    }

    /// Only rows were still on their way, so there is nothing to stop.
    async fn after_success(self) -> Failure {
        match self {
            // A reader that has enough is no failure.
            Self::Unread => Failure::silent(ExitCode::Success),
            Self::Unprinted(error) => error.into(),
            Self::Interrupted => {
                let said =
                    format!("{}the statement has succeeded; not all of its rows are here\n", self.why());
                stdio::tell(&said).await;
                Failure::silent(ExitCode::Interrupted)
            }
        }
    }
}

/// Shows that the query is alive, and prints its rows as they arrive where that is wanted.
async fn until_end(
    registry: &QueryRegistry,
    id: QueryId,
    follower: &mut RowFollower,
    printer: &mut Printer,
) -> Result<Result<QuerySnapshot, Leave>, Failure> {
    let mut line = ProgressLine::new(stdio::stderr_is_terminal());
    let end = registry.wait_for_end(id, AS_LONG_AS_IT_TAKES);
    tokio::pin!(end);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let end_or_look = async {
            tokio::select! {
                biased;
                ended = &mut end => ended.map(Some),
                _ = looks.tick() => Ok(None),
            }
        };
        if let Some(ended) = line.until(registry, id, end_or_look).await? {
            line.clear().await;
            return Ok(Ok(ended));
        }
        if let Some(text) = printer.arrived(follower).await {
            if !stdio::stdout_is_file() {
                line.give_way().await;
            }
            if let Err(error) = stdio::print(&text).await {
                return Ok(Err(error.into()));
            }
            looks.reset_immediately();
        }
    }
}

fn without_rows(ended: &QuerySnapshot) -> Failure {
    let failure = Failure::new(ExitCode::of(ended), words::state(ended, now()));
    match ended.error.as_ref().and_then(|error| words::for_a_person(error.kind)) {
        Some(next) => failure.next(next),
        None => failure,
    }
}

async fn give_up(
    registry: &QueryRegistry,
    snapshot: &QuerySnapshot,
    signals: &mut Signals,
    leave: Leave,
) -> Result<ExitCode, Failure> {
    let id = snapshot.query_id;
    stdio::tell(&format!("{}canceling query {id}; Ctrl-C again quits at once\n", leave.why())).await;
    let said = tokio::select! {
        canceled = registry.cancel(id, CANCEL_PATIENCE) => {
            let canceled = canceled?;
            words::cancel(canceled.reason, &canceled.snapshot)
        }
        () = signals.next() => format!("query {id} may still be running at the engine"),
    };
    stdio::tell(&format!("async-query-mcp: {said}\n")).await;
    Err(Failure::silent(leave.code()))
}
