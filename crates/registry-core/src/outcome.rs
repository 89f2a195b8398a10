//! What the registry's calls return.

use crate::id::QueryId;
use crate::options::QueryOptions;
use crate::results::{ColumnMeta, CutCell, Row, Truncation};
use crate::snapshot::QuerySnapshot;

/// An accepted query.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The query as it is now.
    pub snapshot: QuerySnapshot,
    /// Set when an earlier query stands for the request.
    pub joined: Option<Joined>,
    /// The settings that it runs with: not those asked for where an earlier query stands for the request.
    pub options: QueryOptions,
}

/// Why an earlier query stands for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// It has the same idempotency key.
    SameKey,
    /// It runs the same statement right now.
    Identical,
}

/// The end of a wait.
#[derive(Debug, Clone)]
pub struct Waited {
    /// The query as it is now.
    pub snapshot: QuerySnapshot,
    /// Its version is newer than the caller's.
    pub changed: bool,
}

/// What a cancel request achieved.
#[derive(Debug, Clone)]
pub struct Canceled {
    /// In a word.
    pub reason: CancelReason,
    /// The query as it is now.
    pub snapshot: QuerySnapshot,
}

/// What a cancel request achieved, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// The engine confirmed the stop.
    Canceled,
    /// No engine ever had the statement; it will not be sent.
    NeverSent,
    /// The wish is durable; the engine has not confirmed yet.
    Requested,
    /// The query had ended before; its status tells how.
    AlreadyCompleted,
    /// It was canceled before.
    AlreadyCanceled,
    /// The engine refused.
    Refused,
    /// The query ended as canceled without the engine's word; the cancel is tried on.
    Unconfirmed,
}

impl CancelReason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Canceled,
        Self::NeverSent,
        Self::Requested,
        Self::AlreadyCompleted,
        Self::AlreadyCanceled,
        Self::Refused,
        Self::Unconfirmed,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Canceled => "canceled",
            Self::NeverSent => "never_sent",
            Self::Requested => "requested",
            Self::AlreadyCompleted => "already_completed",
            Self::AlreadyCanceled => "already_canceled",
            Self::Refused => "refused",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    /// Whether the query is canceled without a doubt.
    pub fn is_canceled(self) -> bool {
        matches!(self, Self::Canceled | Self::NeverSent | Self::AlreadyCanceled)
    }
}

/// A part of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryPage {
    /// The query it belongs to.
    pub query_id: QueryId,
    /// Names and types of the columns.
    pub columns: Vec<ColumnMeta>,
    /// The rows.
    pub rows: Vec<Row>,
    /// The place of the first row in the result.
    pub offset: u64,
    /// Rows of the whole result by the engine's count, where it is known.
    pub total_rows: Option<u64>,
    /// Rows that can be read here.
    pub stored_rows: u64,
    /// More rows follow this page.
    pub has_more: bool,
    /// Why fewer rows are stored than there are.
    pub truncated: Option<Truncation>,
}

/// A part of a result in which long texts are cut.
#[derive(Debug, Clone, PartialEq)]
pub struct AbridgedPage {
    /// The part.
    pub page: QueryPage,
    /// The cells of which only the beginning is in it.
    pub cuts: Vec<CutCell>,
}

/// What was left when a registry had closed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseReport {
    /// Left running at their engine, to be taken up by the next start.
    pub detached: Vec<QueryId>,
    /// Stopped.
    pub stopped: Vec<QueryId>,
    /// Asked to stop; the engine had not confirmed in time.
    pub unconfirmed: Vec<QueryId>,
}
