//! What can go wrong, sorted by what the caller does next.

use serde::{Deserialize, Serialize};

use crate::id::QueryId;
use crate::journal::JournalError;
use crate::snapshot::QueryStatus;
use crate::state_dir::StateDirError;

/// The result of a registry call.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// Why the registry could not do what was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// The request itself is wrong; mend it and ask again.
    #[error("{0}")]
    InvalidRequest(String),
    /// No record has this id: never accepted here, or past its retention.
    #[error("no query {0} is known here")]
    NotFound(QueryId),
    /// The query did not succeed, so it has no rows.
    #[error("query {id} is {status}, so it has no result")]
    NoResult {
        /// The query asked for.
        id: QueryId,
        /// What became of it.
        status: QueryStatus,
        /// Why, when it failed.
        error: Option<ErrorInfo>,
    },
    /// The rows of a finished query are no longer there.
    #[error("the rows of query {0} are gone")]
    ResultExpired(QueryId),
    /// The rows were removed to make room for newer ones.
    #[error("the rows of query {id} were removed to make room: all results together may take {limit} bytes")]
    RowsEvicted {
        /// The query asked for.
        id: QueryId,
        /// The bytes that all results together might take.
        limit: u64,
    },
    /// The idempotency key already stands for another statement.
    #[error("idempotency_key \"{key}\" already stands for another statement, query {id}")]
    KeyReused {
        /// The key as given.
        key: String,
        /// The query that it stands for.
        id: QueryId,
    },
    /// No further query is taken until one of the waiting ones has started.
    #[error("the queue is full: {running} running (--max-running), {queued} waiting (--max-queued)")]
    QueueFull {
        /// Queries that run now.
        running: usize,
        /// Queries that wait.
        queued: usize,
    },
    /// The connection is not one of the configured ones.
    #[error("no connection is named \"{name}\"; configured: {}", known.join(", "))]
    UnknownConnection {
        /// The name as given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The registry is shutting down and takes no new query.
    #[error("the server is shutting down")]
    Closed,
    /// The record could not be read or written; nothing was sent to the engine.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The state directory cannot be used.
    #[error(transparent)]
    StateDir(#[from] StateDirError),
    /// The stored rows could not be read.
    #[error("cannot read the stored rows: {0}")]
    Results(String),
}

impl RegistryError {
    /// The class of the error in a word, for answers.
    pub fn kind_word(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::NotFound(_) => "not_found",
            Self::NoResult { error: Some(error), .. } => error.kind.as_str(),
            Self::NoResult { error: None, .. } => "no_result",
            Self::ResultExpired(_) => "rows_gone",
            Self::RowsEvicted { .. } => "rows_evicted",
            Self::KeyReused { .. } => "key_reused",
            Self::QueueFull { .. } => "queue_full",
            Self::UnknownConnection { .. } => "unknown_connection",
            Self::Closed => "shutting_down",
            Self::Journal(_) | Self::StateDir(_) => "state_directory",
            Self::Results(_) => "result_store",
        }
    }

    /// A request that must be mended.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidRequest(message.into())
    }
}

/// Why a query ended without a result, as records and answers carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// The class of the error.
    #[serde(rename = "type")]
    pub kind: ErrorKind,
    /// One or two sentences: what went wrong and what to do.
    pub message: String,
    /// The engine's number, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// The engine's code as it spells it, leading zeros kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_text: Option<String>,
}

impl ErrorInfo {
    /// An error without an engine code.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, code_text: None }
    }

    /// The same error with the engine's code.
    pub fn with_code(self, code: i64, text: impl Into<String>) -> Self {
        Self { code: Some(code), code_text: Some(text.into()), ..self }
    }
}

/// Classes of error, by what the caller does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The statement is wrong: mend the SQL and submit again.
    Sql,
    /// The statement was refused by the safety policy.
    Refused,
    /// The engine refuses this role or user.
    Permission,
    /// Signing in failed.
    Authentication,
    /// The connection is set up wrongly, such as a file that is not there: the user mends the configuration.
    Configuration,
    /// The engine cannot be reached.
    Unavailable,
    /// The engine asks for fewer requests.
    Throttled,
    /// A limit on time, memory or size ended the statement.
    ResourceLimit,
    /// Somebody else stopped the statement at the engine.
    CanceledExternally,
    /// The time limit ended the statement.
    Timeout,
    /// The engine ran inside a server process that is gone: submit again.
    EngineStopped,
    /// The engine no longer knows the statement; what became of it is not known.
    RemoteLost,
    /// The engine never confirmed that it received the statement: before a write is submitted again, look.
    SubmitLost,
    /// The statement succeeded but its rows could not be fetched.
    ResultFetch,
    /// The statement succeeded but its rows could not be stored on this machine.
    ResultStore,
    /// The engine answered what nobody expected.
    Protocol,
    /// A fault in this program.
    Internal,
}

impl ErrorKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Refused => "refused",
            Self::Permission => "permission",
            Self::Authentication => "authentication",
            Self::Configuration => "configuration",
            Self::Unavailable => "unavailable",
            Self::Throttled => "throttled",
            Self::ResourceLimit => "resource_limit",
            Self::CanceledExternally => "canceled_externally",
            Self::Timeout => "timeout",
            Self::EngineStopped => "engine_stopped",
            Self::RemoteLost => "remote_lost",
            Self::SubmitLost => "submit_lost",
            Self::ResultFetch => "result_fetch",
            Self::ResultStore => "result_store",
            Self::Protocol => "protocol",
            Self::Internal => "internal",
        }
    }

    /// Whether the same statement may succeed when submitted again unchanged.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Unavailable
            | Self::Throttled
            | Self::EngineStopped
            | Self::ResultFetch
            | Self::ResultStore => true,
            Self::Sql
            | Self::Refused
            | Self::Permission
            | Self::Authentication
            | Self::Configuration
            | Self::ResourceLimit
            | Self::CanceledExternally
            | Self::Timeout
            | Self::RemoteLost
            | Self::SubmitLost
            | Self::Protocol
            | Self::Internal => false,
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_with_type_message_and_code() {
        let error = ErrorInfo::new(ErrorKind::Sql, "no such table").with_code(604, "000604");
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(json, r#"{"type":"sql","message":"no such table","code":604,"code_text":"000604"}"#);
        assert_eq!(serde_json::from_str::<ErrorInfo>(&json).unwrap(), error);
    }

    #[test]
    fn the_word_of_a_kind_is_its_word_on_the_wire() {
        for kind in [ErrorKind::ResourceLimit, ErrorKind::EngineStopped, ErrorKind::CanceledExternally] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
    }
}
