//! Where results live, how large they may get, and how they go.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use super::ResultStoreError;
use super::files::{self, ResultFiles};
use super::reader::{self, RowReader, StoredPage};
use super::so_far::{self, RowsArrived, RowsSoFar};
use super::spool::{Evictor, Spool};
use super::writer::ResultWriter;
use crate::id::QueryId;

/// The largest result that is kept; beyond it the statement is ended and the result says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultLimits {
    /// Rows of one result.
    pub max_rows: u64,
    /// Bytes of one result on disk.
    pub max_bytes: u64,
}

impl Default for ResultLimits {
    fn default() -> Self {
        Self { max_rows: 50_000_000, max_bytes: 4 << 30 }
    }
}

/// The results of all queries in one directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct ResultStore {
    directory: Arc<PathBuf>,
    limits: ResultLimits,
    spool: Arc<Spool>,
}

impl ResultStore {
    /// Uses `directory`, which is made with access for this user only.
    pub fn open(directory: PathBuf, limits: ResultLimits) -> Result<Self, ResultStoreError> {
        files::create_directory(&directory)?;
        let spool = Arc::new(Spool::endless(directory.clone()));
        Ok(Self { directory: Arc::new(directory), limits, spool })
    }

    /// The same store with so much room for all results together; `evictor` says which of them may go.
    #[must_use]
    pub(crate) fn within(self, max_bytes: u64, evictor: Arc<dyn Evictor>) -> Self {
        let spool = Arc::new(Spool::limited(self.directory.to_path_buf(), max_bytes, evictor));
        Self { spool, ..self }
    }

    /// Removes the results that were finished first until all fit into their room.
    pub(crate) fn keep_within(&self) -> Result<(), ResultStoreError> {
        self.spool.keep_within()
    }

    /// Rows that are kept of one result.
    pub(crate) fn max_rows(&self) -> u64 {
        self.limits.max_rows
    }

    /// A writer for the result of `id`; an earlier unfinished one is replaced.
    pub fn writer(&self, id: QueryId) -> ResultWriter {
        ResultWriter::new(self.files(id), self.limits, Arc::clone(&self.spool))
    }

    /// Up to `limit` rows from `offset` on, ending early once they take more than `max_bytes` on disk, but with one
    /// row at least. An offset past the end gives no rows.
    pub fn page(
        &self,
        id: QueryId,
        offset: u64,
        limit: u64,
        max_bytes: u64,
    ) -> Result<StoredPage, ResultStoreError> {
        self.abridged_page(id, offset, limit, max_bytes, u64::MAX)
    }

    /// As [`ResultStore::page`], with no more than the first `cell_chars` characters of each text, and with the size of
    /// each one that is longer. The others are never read into memory.
    pub fn abridged_page(
        &self,
        id: QueryId,
        offset: u64,
        limit: u64,
        max_bytes: u64,
        cell_chars: u64,
    ) -> Result<StoredPage, ResultStoreError> {
        reader::page(&self.files(id), offset, limit, max_bytes, cell_chars)
    }

    /// Rows of a result that is still written, from byte `start` on: up to `limit` whole ones that take no more than
    /// `max_bytes` on disk, but one at least; `None` while there is none.
    pub(crate) fn arrived(
        &self,
        id: QueryId,
        so_far: &RowsSoFar,
        start: u64,
        limit: u64,
        max_bytes: u64,
    ) -> Result<Option<RowsArrived>, ResultStoreError> {
        so_far::arrived(&self.files(id), so_far, start, limit, max_bytes)
    }

    /// A reader that starts at row `offset`.
    pub fn reader(&self, id: QueryId, offset: u64) -> Result<RowReader, ResultStoreError> {
        RowReader::open(&self.files(id), offset)
    }

    /// Removes the rows of `id`; none there is no error.
    pub fn remove(&self, id: QueryId) -> Result<(), ResultStoreError> {
        self.files(id).remove()
    }

    /// The queries that rows are kept for, to find those whose record is gone.
    pub fn ids(&self) -> Result<Vec<QueryId>, ResultStoreError> {
        let read = |error| files::failed(&self.directory, &error);
        let mut ids = BTreeSet::new();
        for entry in fs::read_dir(self.directory.as_path()).map_err(read)? {
            ids.extend(entry.map_err(read)?.file_name().to_str().and_then(files::owner));
        }
        Ok(ids.into_iter().collect())
    }

    fn files(&self, id: QueryId) -> ResultFiles {
        ResultFiles::new(&self.directory, id)
    }
}
