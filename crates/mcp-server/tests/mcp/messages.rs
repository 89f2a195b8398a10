//! Every sentence that models read, in one file that a person can review.

use std::path::PathBuf;
use std::time::Duration;

use mcp_server::answer::QueryFacts;
use mcp_server::error::ToolError;
use mcp_server::words;
use registry_core::clock::Timestamp;
use registry_core::error::{ErrorInfo, ErrorKind, RegistryError};
use registry_core::id::QueryId;
use registry_core::journal::JournalError;
use registry_core::options::QueryRequest;
use registry_core::record::{LostRows, StopReason};
use registry_core::registry::CancelReason;
use registry_core::results::Truncation;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use registry_core::{Backend, QueryRegistry};
use serde_json::{Value, json};

use crate::snapshot::assert_snapshot;
use crate::world::remote;

const START: Timestamp = Timestamp::from_millis(1_795_219_200_000);

fn id() -> QueryId {
    format!("q_{}", "0".repeat(26)).parse().unwrap()
}

/// A query of the registry, made to look as the test wants it.
async fn query(status: QueryStatus) -> QuerySnapshot {
    let backend: std::sync::Arc<dyn Backend> = std::sync::Arc::new(remote());
    let state = registry_core::registry::StateLocation::Ephemeral;
    let registry =
        QueryRegistry::open(Default::default(), state, vec![("main".to_owned(), backend)]).await.unwrap();
    let accepted = registry.execute_query(QueryRequest::new("select 1")).await.unwrap();
    let mut snapshot = accepted.snapshot;
    snapshot.query_id = id();
    snapshot.status = status;
    snapshot.created_at = START;
    snapshot.finished_at = status.is_terminal().then_some(START + Duration::from_secs(42));
    snapshot.queue_position = None;
    snapshot.never_sent = false;
    snapshot
}

fn failed(mut snapshot: QuerySnapshot, kind: ErrorKind, message: &str) -> QuerySnapshot {
    snapshot.error = Some(ErrorInfo::new(kind, message));
    snapshot
}

#[tokio::test]
async fn a_duration_is_told_in_whole_milliseconds() {
    let running = query(QueryStatus::Running).await;
    for (millis, told) in [(0, "0.0"), (420, "0.42"), (1_118, "1.118"), (4_242_009, "4242.009")] {
        let facts = QueryFacts::of(&running, START + Duration::from_millis(millis));
        let facts = serde_json::to_value(facts).unwrap();
        assert_eq!(facts["duration_seconds"].to_string(), told);
    }
}

#[tokio::test]
async fn only_an_end_of_its_own_is_told_to_have_come_after_the_time_limit() {
    for (status, told) in [(QueryStatus::Succeeded, json!(true)), (QueryStatus::Timeout, Value::Null)] {
        let mut snapshot = query(status).await;
        snapshot.deadline_exceeded = true;
        let facts = serde_json::to_value(QueryFacts::of(&snapshot, START)).unwrap();
        assert_eq!(facts["deadline_exceeded"], told, "{status}");
    }
}

#[tokio::test]
async fn the_states_are_said_as_reviewed() {
    let now = START + Duration::from_secs(42);
    let mut out = String::new();
    let mut say = |title: &str, snapshot: &QuerySnapshot| {
        let next = words::next(snapshot).unwrap_or_default();
        out.push_str(&format!("# {title}\n{}\nnext: {next}\n\n", words::state(snapshot, now)));
    };
    say("pending", &query(QueryStatus::Pending).await);
    let mut queued = query(QueryStatus::Pending).await;
    queued.queue_position = Some(3);
    say("queued", &queued);
    let mut running = query(QueryStatus::Running).await;
    say("running", &running);
    running.stored_rows = 3400;
    say("running with rows", &running);
    let mut fetching = running.clone();
    (fetching.is_fetching, fetching.stop_reason) = (true, Some(StopReason::User));
    say("running, its rows on their way", &fetching);
    let down = ErrorInfo::new(ErrorKind::Unavailable, "connection refused");
    let mut waiting = query(QueryStatus::Pending).await;
    waiting.unreachable = Some(down.clone());
    say("pending, the engine out of reach", &waiting);
    assert_eq!(words::progress(&waiting, now), "pending: 42 s, engine out of reach: connection refused");
    let mut unheard = running.clone();
    unheard.unreachable = Some(down.clone());
    say("running, the engine out of reach", &unheard);
    running.stop_reason = Some(StopReason::User);
    say("being stopped", &running);
    let mut succeeded = query(QueryStatus::Succeeded).await;
    succeeded.row_count = Some(1);
    say("succeeded", &succeeded);
    (succeeded.truncated, succeeded.stored_rows) = (Some(Truncation::ByteCeiling), 435);
    succeeded.row_count = Some(3000);
    say("succeeded, its rows cut", &succeeded);
    succeeded.row_count = None;
    say("succeeded, its rows cut before the engine knew their number", &succeeded);
    (succeeded.truncated, succeeded.row_count) = (None, Some(1));
    succeeded.lost_rows = Some(LostRows::Evicted { limit: 20 << 30 });
    say("succeeded, its rows evicted", &succeeded);
    for kind in [
        ErrorKind::Sql,
        ErrorKind::Refused,
        ErrorKind::Permission,
        ErrorKind::Authentication,
        ErrorKind::Unavailable,
        ErrorKind::ResourceLimit,
        ErrorKind::CanceledExternally,
        ErrorKind::EngineStopped,
        ErrorKind::RemoteLost,
        ErrorKind::Internal,
    ] {
        let snapshot = failed(query(QueryStatus::Failed).await, kind, "the engine's words");
        say(&format!("failed: {kind}"), &snapshot);
    }
    let mut keyed = failed(query(QueryStatus::Failed).await, ErrorKind::EngineStopped, "the engine's words");
    keyed.has_key = true;
    say("failed: engine_stopped, with a key", &keyed);
    let mut canceled = query(QueryStatus::Canceled).await;
    canceled.stop_confirmed = true;
    say("canceled", &canceled);
    canceled.never_sent = true;
    say("canceled before it was sent", &canceled);
    (canceled.stop_confirmed, canceled.never_sent) = (false, false);
    say("canceled without a word", &canceled);
    canceled.has_key = true;
    say("canceled, with a key", &canceled);
    say("timeout", &failed(query(QueryStatus::Timeout).await, ErrorKind::Timeout, "stopped after 42 s"));
    say(
        "timeout, nothing was sent",
        &failed(
            query(QueryStatus::Timeout).await,
            ErrorKind::Unavailable,
            "the engine could not be reached within 42 s",
        ),
    );
    assert_snapshot("states.txt", &out);
}

#[tokio::test]
async fn cancels_are_said_as_reviewed() {
    let mut out = String::new();
    for reason in CancelReason::ALL {
        let mut snapshot = query(QueryStatus::Succeeded).await;
        snapshot.cancel_refused = Some(ErrorInfo::new(ErrorKind::Permission, "not the owner"));
        let next = words::after_cancel(reason, &snapshot).unwrap_or_default();
        out.push_str(&format!(
            "# {}\n{}\nnext: {next}\n\n",
            reason.as_str(),
            words::cancel(reason, &snapshot)
        ));
    }
    let mut fetching = query(QueryStatus::Running).await;
    fetching.is_fetching = true;
    let late = CancelReason::Requested;
    let next = words::after_cancel(late, &fetching).unwrap_or_default();
    out.push_str(&format!("# requested too late\n{}\nnext: {next}\n\n", words::cancel(late, &fetching)));
    assert_snapshot("cancels.txt", &out);
}

#[tokio::test]
async fn errors_are_said_as_reviewed() {
    let path = PathBuf::from("/state/journal.db");
    let damaged = JournalError::Corrupt { path: path.clone(), reason: "file is not a database".to_owned() };
    let errors = [
        RegistryError::invalid("max_inline_rows must be at least 1"),
        RegistryError::NotFound(id()),
        RegistryError::NoResult { id: id(), status: QueryStatus::Canceled, error: None },
        RegistryError::NoResult {
            id: id(),
            status: QueryStatus::Failed,
            error: Some(ErrorInfo::new(ErrorKind::Sql, "no such table").with_code(2003, "002003")),
        },
        RegistryError::ResultExpired(id()),
        RegistryError::RowsEvicted { id: id(), limit: 20 << 30 },
        RegistryError::KeyReused { key: "k".to_owned(), id: id() },
        RegistryError::QueueFull { running: 8, queued: 64 },
        RegistryError::UnknownConnection { name: "x".to_owned(), known: vec!["main".to_owned()] },
        RegistryError::Closed,
        RegistryError::Journal(damaged),
        RegistryError::Journal(JournalError::DiskFull { path }),
        RegistryError::Results("the stored rows are damaged: row 7".to_owned()),
    ];
    let known = [query(QueryStatus::Running).await];
    let texts: Vec<String> =
        errors.iter().map(|error| ToolError::of_registry(error, &known).text()).collect();
    let unknown = ToolError::unknown_id("\u{1b}[2Jq_x", &[]).text();
    assert_snapshot("errors.txt", &format!("{}\n\n---\n\n{unknown}", texts.join("\n\n---\n\n")));
}
