//! `run "SQL"`: one statement for the person at the keyboard, through the same registry as a tool call.

mod print;
mod progress;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use registry_core::QueryRegistry;
use registry_core::error::RegistryError;
use registry_core::options::{QueryOptions, QueryRequest};
use registry_core::registry::{CancelReason, Canceled, Shutdown};
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use tokio::time::timeout;

use crate::call::now;
use crate::config::Config;
use crate::connection;
use crate::lazy::LazyRegistry;
use crate::shutdown::{INTERRUPTED, Signals};
use crate::stdio;
use crate::words;
use print::Printer;
use progress::ProgressLine;

/// After an interruption, how long the engine's word is waited for.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// A query that has nothing to say is looked at this often.
const REFRESH: Duration = Duration::from_millis(250);
/// Longer than any query may run.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(60 * 24 * 3600);
const CLOSE: Duration = Duration::from_secs(2);

/// What to run and how to print it.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// One SQL statement; `-` reads it from stdin.
    pub sql: String,
    /// How rows are printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    pub format: Format,
    /// Stop the statement after this time, as 90, 90s, 15m or 2h.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::values::time)]
    pub timeout: Option<Duration>,
    /// Which of the configured connections runs it [default: the first].
    #[arg(long = "on", value_name = "NAME")]
    pub on: Option<String>,
    /// A word for it, shown in lists.
    #[arg(long)]
    pub label: Option<String>,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header; NULL is empty, an empty text is "".
    Csv,
    /// One JSON array of objects.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// How the command ended.
enum Outcome {
    Printed,
    Failed,
    Interrupted,
}

/// Runs one statement and prints its rows.
pub async fn run(config: Config, args: RunArgs) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let sql = if args.sql == "-" { stdio::read_all().await? } else { args.sql.clone() };
    let lazy = LazyRegistry::new(connection::opener(config));
    let registry = match lazy.get().await {
        Ok(registry) => registry,
        Err(error) => return Ok(complain(&error.to_string()).await),
    };
    let request = QueryRequest {
        connection: args.on.clone(),
        label: args.label.clone(),
        client: Some("command line".to_owned()),
        options: QueryOptions { query_timeout: args.timeout, ..QueryOptions::default() },
        ..QueryRequest::new(sql)
    };
    let outcome = match registry.execute_query(request).await {
        Ok(accepted) => follow(registry, accepted.snapshot, args.format, &mut signals).await,
        Err(error) => Err(error.into()),
    };
    // Whatever is left is stopped or left to run, as configured.
    let _ = timeout(CLOSE, registry.close(Shutdown::Immediate)).await;
    Ok(match outcome {
        Ok(Outcome::Printed) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(RunError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(RunError::Registry(
            error @ (RegistryError::InvalidRequest(_) | RegistryError::UnknownConnection { .. }),
        )) => {
            complain(&error.to_string()).await;
            ExitCode::from(2)
        }
        Err(error) => complain(&error.to_string()).await,
    })
}

#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("cannot print the rows: {0}")]
    Output(#[from] io::Error),
}

async fn complain(message: &str) -> ExitCode {
    stdio::tell(&format!("async-query-mcp: {message}\n")).await;
    ExitCode::FAILURE
}

async fn follow(
    registry: &QueryRegistry,
    snapshot: QuerySnapshot,
    format: Format,
    signals: &mut Signals,
) -> Result<Outcome, RunError> {
    let id = snapshot.query_id;
    let ended = tokio::select! {
        ended = wait(registry, &snapshot) => ended?,
        () = signals.next() => return interrupted(registry, &snapshot, signals).await,
    };
    match ended.status {
        QueryStatus::Succeeded => {
            let mut printer = Printer::new(format);
            tokio::select! {
                printed = printer.print(registry, id) => printed?,
                // The query has ended; only its printing is given up.
                () = signals.next() => return Ok(Outcome::Interrupted),
            };
            stdio::tell(&format!("{}\n", printer.footer(&ended))).await;
            Ok(Outcome::Printed)
        }
        QueryStatus::Pending
        | QueryStatus::Running
        | QueryStatus::Failed
        | QueryStatus::Canceled
        | QueryStatus::Timeout => {
            complain(&words::state(&ended, now())).await;
            if let Some(next) = ended.error.as_ref().and_then(|error| words::for_a_person(error.kind)) {
                stdio::tell(&format!("{next}\n")).await;
            }
            Ok(Outcome::Failed)
        }
    }
}

/// Waits for the end and shows on a terminal that something goes on.
async fn wait(registry: &QueryRegistry, snapshot: &QuerySnapshot) -> Result<QuerySnapshot, RegistryError> {
    let id = snapshot.query_id;
    let end = registry.wait_for_end(id, AS_LONG_AS_IT_TAKES);
    tokio::pin!(end);
    let mut line = ProgressLine::new(stdio::stderr_is_terminal());
    let mut ticks = tokio::time::interval(REFRESH);
    ticks.tick().await;
    let ended = loop {
        tokio::select! {
            biased;
            ended = &mut end => break ended,
            _ = ticks.tick(), if line.is_shown() => {
                if let Ok(Some(snapshot)) = registry.get_snapshot(id).await {
                    line.show(&words::progress(&snapshot, now())).await;
                }
            }
        }
    };
    line.clear().await;
    ended
}

async fn interrupted(
    registry: &QueryRegistry,
    snapshot: &QuerySnapshot,
    signals: &mut Signals,
) -> Result<Outcome, RunError> {
    let id = snapshot.query_id;
    let said = tokio::select! {
        canceled = registry.cancel(id, CANCEL_PATIENCE) => outcome_of_cancel(&canceled?),
        () = signals.next() => format!("query {id} may still be running at the engine"),
    };
    stdio::tell(&format!("\nasync-query-mcp: {said}\n")).await;
    Ok(Outcome::Interrupted)
}

fn outcome_of_cancel(canceled: &Canceled) -> String {
    let id = canceled.snapshot.query_id;
    match canceled.reason {
        CancelReason::Canceled | CancelReason::AlreadyCanceled => {
            format!("query {id} is canceled; the engine confirmed that it stopped")
        }
        CancelReason::AlreadyCompleted => {
            format!("query {id} had ended before, as {}", canceled.snapshot.status)
        }
        CancelReason::Requested => {
            format!("the cancel of query {id} is requested; the engine has not confirmed yet")
        }
        CancelReason::Unconfirmed => {
            format!("query {id} is canceled here; the engine has not confirmed that it stopped")
        }
        CancelReason::Refused => {
            let words = canceled
                .snapshot
                .cancel_refused
                .as_ref()
                .map_or("no reason given", |error| error.message.as_str());
            format!("the engine refused to cancel query {id}: {words}")
        }
    }
}
