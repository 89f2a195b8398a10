//! The journal: where records outlive the process. Nothing else knows how they are stored.

#[cfg(test)]
mod contract;
mod fault;
mod memory;
mod row;
mod schema;
mod searches;
mod sqlite;

use std::fmt;
use std::path::PathBuf;

use crate::clock::Timestamp;
use crate::id::{InstanceId, QueryId};
use crate::metrics::HistogramSnapshot;
use crate::record::QueryRecord;
use crate::snapshot::QueryStatus;

pub use memory::MemoryJournal;
pub use sqlite::{Durability, SqliteJournal, check};

/// Stores records. Calls block for as long as a disk takes, so they are made off the runtime's threads.
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Adds a record unless another one stands for it already, both in one step. A record with the same idempotency
    /// key on the same connection always does; an identical one does where `unique` says so. Forgotten records stand
    /// for nothing.
    fn insert(&self, record: &QueryRecord, unique: &Uniqueness) -> Result<Inserted, JournalError>;

    /// Replaces `before` by `after` if the stored record still has the status, version and lease epoch of `before`.
    /// `after` is a later state of the same query: id, statement, connection, key and acceptance stay what they were.
    fn update(&self, before: &QueryRecord, after: &QueryRecord) -> Result<Updated, JournalError>;

    /// The record with this id, forgotten or not.
    fn get(&self, id: QueryId) -> Result<Option<QueryRecord>, JournalError>;

    /// Records that pass `filter` and are not forgotten, newest first by (created_at, id).
    fn list(&self, filter: &ListFilter) -> Result<Vec<QueryRecord>, JournalError>;

    /// Records that have not ended, or still owe something at the engine, forgotten or not; oldest first by
    /// (created_at, id).
    fn unsettled(&self) -> Result<Vec<QueryRecord>, JournalError>;

    /// At most `limit` records whose retention has ended by `now`, longest overdue first by (ttl_expires_at, id).
    /// Those that are forgotten already and still run or owe something are kept back until they have ended and paid.
    fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<QueryRecord>, JournalError>;

    /// Removes a record that is still at `version`; tells whether it did.
    fn delete(&self, id: QueryId, version: u64) -> Result<bool, JournalError>;

    /// A number that is another one after another process wrote, and the same after our own writes; costs no reading
    /// of records.
    fn change_hint(&self) -> Result<i64, JournalError>;

    /// How long calls waited for each other, as far as that is known.
    fn lock_waits(&self) -> HistogramSnapshot {
        HistogramSnapshot::default()
    }

    /// Whether other processes may write here too.
    fn is_shared(&self) -> bool;
}

/// Which records may stand for a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uniqueness {
    /// An unfinished record with the same statement, connection and context, owned by this process and not to be
    /// stopped, stands for the new one if it keeps at least as many rows.
    pub identical_running: Option<InstanceId>,
    /// Add nothing: only look for a record that stands for the new one.
    pub refuse_new: bool,
}

/// Whether `stored` does what `new` would do, under `owner`, to its natural end. How long it may take, when its turn
/// comes and how many rows an answer carries makes no other result of it.
fn is_identical(stored: &QueryRecord, new: &QueryRecord, owner: InstanceId) -> bool {
    !stored.is_terminal()
        && !stored.forgotten
        && stored.intent.is_none()
        && stored.lease.owner == owner
        && stored.connection == new.connection
        && stored.sql == new.sql
        && stored.options.context == new.options.context
        && keeps_as_many_rows(stored, new)
}

/// The ceiling is told to the engine, and may have been lower before a restart.
fn keeps_as_many_rows(stored: &QueryRecord, new: &QueryRecord) -> bool {
    stored.row_ceiling.is_none_or(|kept| new.row_ceiling.is_some_and(|wanted| kept >= wanted))
}

/// Whether nobody has written `stored` since it was read as `before`.
fn is_same_revision(stored: &QueryRecord, before: &QueryRecord) -> bool {
    let revision = |record: &QueryRecord| (record.version, record.status, record.lease.epoch);
    revision(stored) == revision(before)
}

/// What became of an insertion.
#[derive(Debug, Clone, PartialEq)]
pub enum Inserted {
    /// The record is stored.
    New,
    /// The record has an idempotency key, and this one has the same key on the same connection; whether it has the
    /// same statement is for the caller to see.
    SameKey(Box<QueryRecord>),
    /// An identical statement is running.
    Identical(Box<QueryRecord>),
    /// Nothing stands for it, and nothing was to be added.
    Refused,
}

/// What became of an update.
#[derive(Debug, Clone, PartialEq)]
pub enum Updated {
    /// The new record is stored.
    Applied,
    /// Somebody else wrote first; here is what is stored now, `None` if it was removed.
    Conflict(Option<Box<QueryRecord>>),
}

/// Which records to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListFilter {
    /// Only this status.
    pub status: Option<QueryStatus>,
    /// At most so many; `None` is all.
    pub limit: Option<usize>,
}

/// Why the journal could not do its work, by what a person does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The file is no journal or is damaged.
    #[error(
        "the query journal {} is damaged ({reason}); move it aside to start with an empty one, or choose another \
         --state-dir",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        reason: String,
    },
    /// A newer release wrote it.
    #[error(
        "the query journal {} has schema version {found} and this release knows {known}; install the newer release, \
         or choose another --state-dir",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The directory or file may not be written.
    #[error(
        "the query journal {} cannot be written ({reason}); give this user write access, choose another --state-dir, \
         or start with --ephemeral",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The disk has no room left.
    #[error("no space left for the query journal {}; free some, nothing was lost", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// Another process held the journal for too long.
    #[error("the query journal {} is locked by another process; try again", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("the query journal {} failed: {reason}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// SQLite's words.
        reason: String,
    },
}
