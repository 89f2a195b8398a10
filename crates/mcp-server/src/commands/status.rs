//! `status ID`: everything that is known of one query.

use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::Args;
use registry_core::clock::Timestamp;
use registry_core::inspection::Inspection;
use registry_core::record::Obligation;
use registry_core::snapshot::QuerySnapshot;
use serde::Serialize;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::guest::Guest;
use super::list::holder_word;
use super::progress::ProgressLine;
use super::terminal::{ColorArgs, Paint};
use super::{json, unless_interrupted};
use crate::answer::QueryFacts;
use crate::call::now;
use crate::config::Config;
use crate::shutdown::Signals;
use crate::stdio;
use crate::visible::{visible, visible_lines};
use crate::words::{self, span};

/// Which query, and whether to wait for its end.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The id of the query, its beginning if no other begins so, or `last` for the newest.
    #[arg(value_name = "ID")]
    query: String,
    /// Wait for the end of the query, at most so long if a time is given; the exit code then tells how it ended.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "31d",
          value_parser = crate::cli::values::time)]
    wait: Option<Duration>,
    /// For programs: one JSON document on one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    color: ColorArgs,
}

/// The query for programs: what the tool `query_status` tells, and what stands behind it.
#[derive(Debug, Serialize)]
struct Document {
    #[serde(flatten)]
    query: QueryFacts,
    sql: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_rows: Option<u64>,
    stored_bytes: u64,
    rows_gone: bool,
    stop_confirmed: bool,
    never_sent: bool,
    cancel_attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancel_refused: Option<String>,
    owes: Vec<Obligation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'static str>,
}

/// Shows one query.
pub async fn status(config: Config, args: StatusArgs) -> ProcessCode {
    let as_json = args.json;
    super::end(run(&config, args).await, as_json).await
}

async fn run(config: &Config, args: StatusArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let guest = Guest::open(config).await?;
    let outcome = unless_interrupted(&mut signals, show(&guest, &args)).await;
    guest.close().await;
    outcome
}

async fn show(guest: &Guest, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let mut found = guest.find(&args.query).await?;
    if let Some(limit) = args.wait {
        found = wait(guest, found, limit).await?;
    }
    let text = match args.json {
        true => json::line(&Document::of(&found, now())),
        false => page(&found, now(), args.color.paint()),
    };
    stdio::print(&text).await?;
    Ok(if args.wait.is_some() { ExitCode::of(&found.snapshot) } else { ExitCode::Success })
}

/// The query once it has ended, or when `limit` is over; with a line on a terminal that shows it is alive.
pub(super) async fn wait(guest: &Guest, found: Inspection, limit: Duration) -> Result<Inspection, Failure> {
    let id = found.snapshot.query_id;
    if !found.snapshot.status.is_terminal() {
        let end = guest.registry.wait_for_end(id, limit);
        let mut line = ProgressLine::new(stdio::stderr_is_terminal());
        let waited = line.until(&guest.registry, id, end).await;
        line.clear().await;
        waited?;
    }
    guest.again(id).await
}

impl Document {
    fn of(one: &Inspection, now: Timestamp) -> Self {
        let snapshot = &one.snapshot;
        let mut query = QueryFacts::of(snapshot, now);
        query.message = words::state(snapshot, now);
        query.connection = Some(snapshot.connection.clone());
        let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        Self {
            query,
            sql: snapshot.sql.clone(),
            client: snapshot.client.clone(),
            target: one.target.clone(),
            started_at: moment(snapshot.started_at),
            finished_at: moment(snapshot.finished_at),
            deadline_at: moment(one.deadline_at),
            execution_seconds: snapshot.execution_time_seconds,
            rows: snapshot.columns.as_ref().map(|_| snapshot.stored_rows),
            total_rows: snapshot.row_count,
            stored_bytes: one.stored_bytes,
            rows_gone: one.rows_gone,
            stop_confirmed: snapshot.stop_confirmed,
            never_sent: snapshot.never_sent,
            cancel_attempts: one.cancel_attempts,
            cancel_refused: snapshot.cancel_refused.as_ref().map(|error| error.message.clone()),
            owes: one.owes.clone(),
            server: (!snapshot.status.is_terminal()).then(|| holder_word(one.holder)),
        }
    }
}

/// A sentence, then one fact a line, then the statement.
fn page(one: &Inspection, now: Timestamp, paint: Paint) -> String {
    let mut out = format!("{}\n\n", visible_lines(&words::state(&one.snapshot, now)));
    for (name, value) in facts(one, now) {
        let value = visible(&value);
        let value =
            if name == "status" { paint.status(one.snapshot.status, &value) } else { value.into_owned() };
        out.push_str(&format!("{name:<14}{value}\n"));
    }
    out.push_str(&format!("\n{}\n", visible_lines(&one.snapshot.sql)));
    out
}

fn facts(one: &Inspection, now: Timestamp) -> Vec<(&'static str, String)> {
    let snapshot = &one.snapshot;
    let mut facts = vec![
        ("query", snapshot.query_id.to_string()),
        ("status", snapshot.status.to_string()),
        ("connection", format!("{} ({})", snapshot.connection, one.target)),
    ];
    let mut add = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    add("remote id", snapshot.snowflake.sfqid.as_ref().map(ToString::to_string));
    for (name, value) in snapshot.context.parts() {
        add(name, Some(value.to_owned()));
    }
    add("client", snapshot.client.clone());
    add("label", snapshot.label.clone());
    add("accepted", Some(snapshot.created_at.to_string()));
    add("started", snapshot.started_at.map(|moment| moment.to_string()));
    add("ended", snapshot.finished_at.map(|moment| moment.to_string()));
    add("time", Some(span(snapshot.elapsed(now))));
    add("run time", snapshot.execution_time_seconds.and_then(seconds));
    add("time limit", one.deadline_at.filter(|_| !snapshot.status.is_terminal()).map(|at| at.to_string()));
    add("kept until", Some(snapshot.ttl_expires_at.to_string()));
    add("rows", rows(one));
    add("error", snapshot.error.as_ref().map(|error| format!("{}: {}", error.kind, error.message)));
    add("unreachable", snapshot.unreachable.as_ref().map(|error| error.message.clone()));
    add("stopping", snapshot.stop_reason.map(|reason| stopping(snapshot, words::stop_reason(reason))));
    add("refused", snapshot.cancel_refused.as_ref().map(|error| error.message.clone()));
    add("owed", (!one.owes.is_empty()).then(|| owed(one)));
    add("server", server(one));
    facts
}

fn seconds(seconds: f64) -> Option<String> {
    Duration::try_from_secs_f64(seconds).ok().map(span)
}

fn rows(one: &Inspection) -> Option<String> {
    let snapshot = &one.snapshot;
    snapshot.columns.as_ref()?;
    let of = match (snapshot.truncated, snapshot.row_count) {
        (Some(_), Some(all)) => format!(" of {all}; the rest was not kept"),
        (Some(_), None) => "; the rest was not kept".to_owned(),
        (None, _) => String::new(),
    };
    let gone = if one.rows_gone { ", no longer there" } else { "" };
    Some(format!("{}{of}, {}{gone}", snapshot.stored_rows, super::prune::size(one.stored_bytes)))
}

fn stopping(snapshot: &QuerySnapshot, reason: &str) -> String {
    match (snapshot.status.is_terminal(), snapshot.stop_confirmed) {
        (true, true) if snapshot.never_sent => format!("{reason}; it was never sent to the engine"),
        (true, true) => format!("{reason}; the engine confirmed that it stopped"),
        (true, false) => reason.to_owned(),
        (false, _) => format!("{reason}; the engine has not confirmed yet"),
    }
}

fn owed(one: &Inspection) -> String {
    let who = match one.is_orphaned() {
        true => "the next server that starts, or cancel, goes on stopping it",
        false => "its server goes on stopping it",
    };
    format!("the statement may still run at the engine; {who}")
}

fn server(one: &Inspection) -> Option<String> {
    use registry_core::instance::Holder;
    if one.snapshot.status.is_terminal() {
        return None;
    }
    Some(match one.holder {
        Holder::Alive => "alive".to_owned(),
        Holder::Stalled => "shows no sign of life; another server may take the query over".to_owned(),
        Holder::Gone => {
            "gone; the next server that starts with this connection takes the query over".to_owned()
        }
    })
}
