//! The result store: rows on disk, written once as they stream in, read back by row offset.
//!
//! A result is two files named after its query. The rows file holds one JSON array a line; the index file holds the
//! byte offset of every `STRIDE`th row and, once the result is complete, a summary of both. A page is found with one
//! look at the index and at most `STRIDE` lines of reading, however far into the result it lies. Files without a
//! summary, or that do not match theirs, are never taken for a result. Nothing else knows this layout.

mod abridge;
mod cell;
mod files;
mod index;
mod reader;
mod so_far;
mod spool;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use serde::{Deserialize, Serialize};

pub use abridge::CutCell;
pub use cell::Cell;
pub use reader::{Row, RowReader, StoredPage};
pub use so_far::{RowsArrived, RowsSoFar};
pub(crate) use spool::Evictor;
pub use store::{ResultLimits, ResultStore};
pub use writer::{Flow, ResultWriter};

/// Every so many rows the index remembers where one begins: few enough to read past, many enough to keep it small.
const STRIDE: u64 = 128;

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ColumnMeta {
    /// The name as the engine gives it.
    pub name: String,
    /// The engine's type, in its own words.
    #[serde(rename = "type")]
    pub kind: String,
}

impl ColumnMeta {
    /// A column called `name` of type `kind`.
    pub fn new(name: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { name: name.into(), kind: kind.into() }
    }
}

/// What the store keeps of one result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StoredRows {
    /// Names and types; also of an empty result.
    pub columns: Vec<ColumnMeta>,
    /// Rows kept.
    pub rows: u64,
    /// Bytes they take on disk, without the index.
    pub bytes: u64,
    /// The engine's own number of rows; `None` when it was stopped before it knew.
    pub total_rows: Option<u64>,
    /// Why fewer are kept than there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<Truncation>,
}

/// Why a stored result is shorter than the statement's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The ceiling on rows a result was reached.
    RowCeiling,
    /// The ceiling on bytes a result was reached.
    ByteCeiling,
    /// The room for all results together was used up, by results that are being written.
    SpoolCeiling,
}

/// Why the store could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultStoreError {
    /// No rows are kept under this id.
    #[error("no stored rows")]
    Missing,
    /// The disk has no room left.
    #[error("no space left for results in {0}; free some and run the statement again")]
    DiskFull(String),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
    /// The files are not what the writer left.
    #[error("the stored rows are damaged: {0}; run the statement again")]
    Damaged(String),
}
