//! The record of one query: everything that must survive a crash.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::error::ErrorInfo;
use crate::id::{InstanceId, QueryId, RemoteHandle, RequestId};
use crate::options::{QueryOptions, QueryRequest};
use crate::results::StoredRows;
use crate::snapshot::QueryStatus;

/// The durable state of one query. Only [`crate::state::step`] makes a changed one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryRecord {
    /// Our name for the query.
    pub id: QueryId,
    /// The statement, byte for byte as the caller gave it.
    pub sql: String,
    /// The connection that runs it.
    pub connection: String,
    /// What that connection stood for.
    pub engine: EngineFacts,
    /// How it is to be run.
    pub options: QueryOptions,
    /// Rows that are kept of its result; the engine is told, so this must not grow later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_ceiling: Option<u64>,
    /// The caller's word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The client program on whose behalf it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The caller's key against double submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,

    /// The public one-word state.
    pub status: QueryStatus,
    /// What the engine says it is doing, while it runs.
    #[serde(default)]
    pub phase: RemotePhase,
    /// Grows by one with every durable change: the cursor of the long poll.
    pub version: u64,
    /// Which process may drive the query, and under which fencing number.
    pub lease: Lease,

    /// When the query was accepted.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// When the engine took the statement.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When the query ended.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// When the record is forgotten.
    pub ttl_expires_at: Timestamp,
    /// When the time limit strikes; known from the first submission on.
    #[serde(default)]
    pub deadline_at: Option<Timestamp>,

    /// Recognises a repeated submission; written before anything is sent.
    pub request_id: RequestId,
    /// How often the statement was sent and answered.
    #[serde(default)]
    pub posts: Posts,
    /// The engine's name for the statement, once known.
    #[serde(default)]
    pub handle: Option<RemoteHandle>,
    /// Why the query is to be stopped; the first reason stays.
    #[serde(default)]
    pub intent: Option<Intent>,
    /// What was done at the engine to stop it.
    #[serde(default)]
    pub cancel: CancelWork,
    /// Debts at the engine that outlive the end of the query.
    #[serde(default)]
    pub owes: BTreeSet<Obligation>,
    /// Why the engine could not be reached, while it cannot.
    #[serde(default)]
    pub unreachable: Option<ErrorInfo>,

    /// Nothing runs any more: by the engine's word, or because it never had the statement. `false` when the wait for its
    /// word was given up.
    #[serde(default)]
    pub stop_confirmed: bool,
    /// What was stored of the result, once the query succeeded.
    #[serde(default)]
    pub result: Option<StoredRows>,
    /// The rows of a success were removed before the record.
    #[serde(default)]
    pub rows_gone: bool,
    /// They were removed to make room, when all results together might take so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evicted_under: Option<u64>,
    /// Why there is no result.
    #[serde(default)]
    pub error: Option<ErrorInfo>,
    /// The retention ended; the record stays out of sight until it has ended and paid.
    #[serde(default)]
    pub forgotten: bool,
}

impl QueryRecord {
    /// The record of a query that was just accepted: nothing was sent yet.
    pub fn accept(
        request: QueryRequest,
        connection: String,
        engine: EngineFacts,
        owner: InstanceId,
        now: Timestamp,
        ttl: std::time::Duration,
    ) -> Self {
        Self {
            id: QueryId::generate(),
            sql: request.sql,
            connection,
            engine,
            options: request.options,
            row_ceiling: None,
            label: request.label,
            client: request.client,
            idempotency_key: request.idempotency_key,
            status: QueryStatus::Pending,
            phase: RemotePhase::default(),
            version: 1,
            lease: Lease { owner, epoch: 1 },
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
            ttl_expires_at: now + ttl,
            deadline_at: None,
            request_id: RequestId::generate(),
            posts: Posts::default(),
            handle: None,
            intent: None,
            cancel: CancelWork::default(),
            owes: BTreeSet::new(),
            unreachable: None,
            stop_confirmed: false,
            result: None,
            rows_gone: false,
            evicted_under: None,
            error: None,
            forgotten: false,
        }
    }

    /// Whether the status can change no more.
    pub fn is_terminal(&self) -> bool {
        self.status.is_terminal()
    }

    /// Whether the engine certainly never had the statement: stopping is then free of doubt.
    pub fn is_unsent(&self) -> bool {
        self.posts.sent == 0
    }

    /// Whether a process must still do something at the engine.
    pub fn needs_a_driver(&self) -> bool {
        !self.is_terminal() || !self.owes.is_empty()
    }

    /// Whether rows that are stored for it are needed, now or at its end.
    pub fn counts_on_rows(&self) -> bool {
        !self.is_terminal() || (self.status == QueryStatus::Succeeded && !self.rows_gone)
    }

    /// What became of the rows of a success that are there no more.
    pub fn lost_rows(&self) -> Option<LostRows> {
        self.rows_gone
            .then(|| self.evicted_under.map_or(LostRows::Removed, |limit| LostRows::Evicted { limit }))
    }

    /// The first characters of the statement on one line, for logs and lists.
    pub fn sql_preview(&self) -> String {
        sql_preview(&self.sql)
    }
}

/// What became of the rows of a success that are there no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostRows {
    /// Their files are not there; nobody noted why.
    Removed,
    /// They were removed to make room for newer ones.
    Evicted {
        /// The bytes that all results together might take.
        limit: u64,
    },
}

/// The first 100 characters of a statement, white space folded.
pub fn sql_preview(sql: &str) -> String {
    const LENGTH: usize = 100;
    let mut folded = String::new();
    for word in sql.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
        if folded.len() > 8 * LENGTH {
            break;
        }
    }
    match folded.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &folded[..end]),
        None => folded,
    }
}

/// The engine as it was when the query was accepted: the same name may stand for another one at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineFacts {
    /// What it runs on, without secrets.
    pub target: String,
    /// It runs inside the process that owns the query and dies with it.
    pub embedded: bool,
}

/// Which process may drive a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The holder.
    pub owner: InstanceId,
    /// Grows with every hand-over; a write under an older number is refused.
    pub epoch: u64,
}

/// Submissions of the statement: a rejection is final only when every one of them was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Posts {
    /// Counted durably before each one leaves.
    pub sent: u32,
    /// Those whose answer came.
    pub answered: u32,
    /// When the first one left: past the window after it, none follows.
    pub first_at: Option<Timestamp>,
    /// When the latest one left: past the window after it, none can arrive.
    pub last_at: Option<Timestamp>,
    /// What `last_at` was before the latest one was counted, should that turn out not to have left.
    #[serde(default)]
    pub before_last_at: Option<Timestamp>,
    /// Tries in which nothing left; the pauses grow with them.
    #[serde(default)]
    pub not_sent: u32,
}

impl Posts {
    /// Counts one that is about to leave.
    pub fn count(&mut self, now: Timestamp) {
        self.sent += 1;
        self.before_last_at = self.last_at;
        self.last_at = Some(now);
    }

    /// Takes the latest one back, which did not leave: what was sent before may arrive no longer for that.
    pub fn take_back(&mut self) {
        self.sent = self.sent.saturating_sub(1);
        self.last_at = self.before_last_at;
        self.not_sent = self.not_sent.saturating_add(1);
    }

    /// Takes all of them back: the engine has ruled out that any arrived.
    pub fn take_all_back(&mut self) {
        *self = Self { first_at: self.first_at, not_sent: self.tries(), ..Self::default() };
    }

    /// Tries so far, whether something left or not.
    pub fn tries(self) -> u32 {
        self.sent.saturating_add(self.not_sent)
    }

    /// Submissions that may still take effect.
    pub fn unanswered(self) -> u32 {
        self.sent.saturating_sub(self.answered)
    }
}

/// A durable wish to stop the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Why.
    pub reason: StopReason,
    /// Since when.
    pub at: Timestamp,
}

/// Why a query is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A caller asked for it.
    User,
    /// The record's retention ended while the query still ran.
    Ttl,
    /// The server that owns it is going away.
    Shutdown,
    /// The time limit passed.
    Timeout,
}

impl StopReason {
    /// The status of a query that was stopped for this reason.
    pub fn status(self) -> QueryStatus {
        match self {
            Self::User | Self::Ttl | Self::Shutdown => QueryStatus::Canceled,
            Self::Timeout => QueryStatus::Timeout,
        }
    }
}

/// What was done at the engine to stop the statement.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CancelWork {
    /// Tries, counted durably before each one leaves.
    pub attempts: u32,
    /// When the first one left: the confirm window opens here.
    pub first_at: Option<Timestamp>,
    /// When the next one may leave.
    pub next_at: Option<Timestamp>,
    /// The engine took the request.
    pub acknowledged: bool,
    /// The engine refused it, in its own words.
    pub refused: Option<ErrorInfo>,
}

/// A debt at the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Obligation {
    /// The statement may still run there and must be stopped.
    CancelRemote,
}

/// What the engine says a statement is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemotePhase {
    /// Not at the engine yet, or the engine says no more than "running".
    #[default]
    Running,
    /// Waiting at the engine.
    Queued,
    /// Waiting for the warehouse to start.
    Resuming,
    /// Waiting for another transaction.
    Blocked,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_one_line_of_at_most_100_characters() {
        assert_eq!(sql_preview(" select\n\t1 "), "select 1");
        let long = sql_preview(&"é ".repeat(10_000));
        assert_eq!(long.chars().count(), 101);
        assert!(long.ends_with('…'));
    }
}
