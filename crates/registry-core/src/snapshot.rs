//! The outside view of a query at one moment.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::{Timestamp, seconds};
use crate::error::ErrorInfo;
use crate::id::{QueryId, RemoteHandle};
use crate::options::{Priority, QueryContext};
use crate::record::{LostRows, QueryRecord, RemotePhase, StopReason};
use crate::results::{ColumnMeta, Truncation};

/// The public one-word state of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryStatus {
    /// Accepted, and not yet known to the engine.
    Pending,
    /// The engine has it.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended with an error.
    Failed,
    /// Stopped on request.
    Canceled,
    /// Stopped by its time limit.
    Timeout,
}

impl QueryStatus {
    /// All of them, in the order of a life.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Canceled, Self::Timeout];

    /// Whether it can change no more.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Canceled | Self::Timeout => true,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Timeout => "timeout",
        }
    }
}

impl fmt::Display for QueryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for QueryStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("no status is called {text:?}; the statuses are {}", known()))
    }
}

/// What the engine's side of a query is called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SnowflakeInfo {
    /// The engine's query id, once known.
    pub sfqid: Option<RemoteHandle>,
}

/// A consistent view of one query. It carries nothing of the runtime: no session, no lease, no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct QuerySnapshot {
    /// Our name for the query.
    pub query_id: QueryId,
    /// The statement.
    pub sql: String,
    /// The connection that runs it.
    pub connection: String,
    /// The caller's word for it.
    pub label: Option<String>,
    /// The client program on whose behalf it runs.
    pub client: Option<String>,
    /// A submission under the same idempotency key finds it.
    pub has_key: bool,
    /// Where and as whom it runs, where that is not what the connection says.
    pub context: QueryContext,
    /// Its rank among the waiting ones.
    pub priority: Priority,
    /// The public state.
    pub status: QueryStatus,
    /// What the engine says it is doing.
    pub phase: RemotePhase,
    /// The cursor of the long poll: pass it back to wait for the next change.
    pub version: u64,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the engine took it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When the record and its rows are forgotten.
    pub ttl_expires_at: Timestamp,
    /// Running time: so far, or in all once it has ended; `None` before the start.
    pub execution_time_seconds: Option<f64>,
    /// The engine's number of rows, where it is known.
    pub row_count: Option<u64>,
    /// Rows kept here, so far or in the end.
    pub stored_rows: u64,
    /// Why fewer rows are kept than the statement has.
    pub truncated: Option<Truncation>,
    /// Why the rows of a success cannot be read any more.
    pub lost_rows: Option<LostRows>,
    /// Names and types, once the query succeeded.
    pub columns: Option<Vec<ColumnMeta>>,
    /// Why there is no result.
    pub error: Option<ErrorInfo>,
    /// The engine's side.
    pub snowflake: SnowflakeInfo,
    /// The statement has succeeded at its engine, and its rows are on their way. Known to the process that drives it.
    pub is_fetching: bool,
    /// Place in the line of waiting queries, counted from 1.
    pub queue_position: Option<usize>,
    /// Why it is being stopped, from the request on.
    pub stop_reason: Option<StopReason>,
    /// Nothing of it runs any more: by the engine's word, or because it never had the statement.
    pub stop_confirmed: bool,
    /// The engine certainly never had the statement.
    pub never_sent: bool,
    /// The engine's words, when it refused to stop the statement.
    pub cancel_refused: Option<ErrorInfo>,
    /// Why the engine cannot be reached at present.
    pub unreachable: Option<ErrorInfo>,
    /// The time limit of what was sent passed before the end, whichever end it was.
    pub deadline_exceeded: bool,
}

/// What the process that drives a query knows beyond its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LiveFacts {
    /// Rows stored so far.
    pub rows_so_far: u64,
    /// They are on their way, because the statement has succeeded.
    pub is_fetching: bool,
    /// Place in the line.
    pub queue_position: Option<usize>,
}

impl QuerySnapshot {
    /// The view of `record` at `now`.
    pub fn of(record: &QueryRecord, live: LiveFacts, now: Timestamp) -> Self {
        let result = record.result.as_ref();
        let rows_so_far = if record.is_terminal() { 0 } else { live.rows_so_far };
        let ended = record.finished_at.unwrap_or(now);
        Self {
            query_id: record.id,
            sql: record.sql.clone(),
            connection: record.connection.clone(),
            label: record.label.clone(),
            client: record.client.clone(),
            has_key: record.idempotency_key.is_some(),
            context: record.options.context.clone(),
            priority: record.options.priority,
            status: record.status,
            phase: record.phase,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            ttl_expires_at: record.ttl_expires_at,
            execution_time_seconds: record.started_at.map(|start| seconds(ended.since(start))),
            row_count: result.and_then(|rows| rows.total_rows),
            stored_rows: result.map_or(rows_so_far, |rows| rows.rows),
            truncated: result.and_then(|rows| rows.truncated),
            lost_rows: record.lost_rows(),
            columns: result.map(|rows| rows.columns.clone()),
            error: record.error.clone(),
            snowflake: SnowflakeInfo { sfqid: record.handle.clone() },
            is_fetching: live.is_fetching && !record.is_terminal(),
            queue_position: live.queue_position,
            stop_reason: record.intent.map(|intent| intent.reason),
            stop_confirmed: record.stop_confirmed,
            never_sent: record.is_unsent(),
            cancel_refused: record.cancel.refused.clone(),
            unreachable: record.unreachable.clone(),
            deadline_exceeded: !record.is_unsent()
                && record.deadline_at.is_some_and(|deadline| ended >= deadline),
        }
    }

    /// Whether there are rows to read, be it none of many columns.
    pub fn has_result(&self) -> bool {
        let columns = self.columns.as_ref().is_some_and(|columns| !columns.is_empty());
        self.status == QueryStatus::Succeeded && columns && self.lost_rows.is_none()
    }

    /// Whether somebody wants its end and may still get it: the statement of a query whose rows are fetched has succeeded.
    pub fn is_being_stopped(&self) -> bool {
        self.stop_reason.is_some() && !self.status.is_terminal() && !self.is_fetching
    }

    /// Time since the query was accepted, until its end.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        self.finished_at.unwrap_or(now).since(self.created_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InstanceId;
    use crate::options::QueryRequest;
    use crate::record::EngineFacts;

    #[test]
    fn rows_so_far_are_those_of_a_query_that_has_not_ended() {
        let engine = EngineFacts { target: "test".to_owned(), embedded: true };
        let (request, owner) = (QueryRequest::new("select 1"), InstanceId::generate());
        let (now, ttl) = (Timestamp::default(), Duration::from_secs(1));
        let record = QueryRecord::accept(request, "main".to_owned(), engine, owner, now, ttl);
        let live = LiveFacts { rows_so_far: 7, ..LiveFacts::default() };
        for (status, rows) in [(QueryStatus::Running, 7), (QueryStatus::Canceled, 0)] {
            let record = QueryRecord { status, ..record.clone() };
            assert_eq!(QuerySnapshot::of(&record, live, now).stored_rows, rows, "{status}");
        }
    }

    #[test]
    fn the_six_statuses_have_these_words_and_no_other_is_read() {
        let words: Vec<String> =
            QueryStatus::ALL.iter().map(|status| serde_json::to_string(status).unwrap()).collect();
        let expected = ["pending", "running", "succeeded", "failed", "canceled", "timeout"];
        assert_eq!(words, expected.map(|word| format!("\"{word}\"")));
        for word in expected {
            assert_eq!(word.parse::<QueryStatus>().unwrap().as_str(), word);
        }
        assert!("cancelled".parse::<QueryStatus>().is_err());
        assert!(serde_json::from_str::<QueryStatus>("\"done\"").is_err());
    }
}
