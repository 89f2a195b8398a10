//! The room that all results of a directory share, among all processes that write there.
//!
//! What lies on disk is counted by looking, because other processes come and go; in between it is known from what
//! this process was granted since. A writer asks for room before it takes a row. Where there is none, whole results
//! go, the one that was finished first before all others, until there is. Who decides whether a result may go knows
//! its record: the record says that the rows are gone before they go, so that a crash in between leaves files that
//! nobody counts on, and never a record that promises rows which are not there.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::ResultStoreError;
use super::files::{self, ResultFiles};
use crate::id::QueryId;

/// How long the count of what lies on disk is believed while other processes may write too.
const BELIEVED_FOR: Duration = Duration::from_secs(2);
/// Room is granted in pieces of this size, so that not every row asks for it.
const PIECE: u64 = 1 << 20;

/// Decides about stored results when their room is needed. Its calls block.
pub(crate) trait Evictor: fmt::Debug + Send + Sync {
    /// Whether the rows of `id` may be removed now. Once it says so, nothing promises them any more.
    fn gives_up(&self, id: QueryId) -> bool;
}

/// The room of one directory.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    limit: u64,
    evictor: Option<Arc<dyn Evictor>>,
    usage: Mutex<Usage>,
}

#[derive(Debug, Default)]
struct Usage {
    /// Bytes on disk, and when they were counted.
    used: u64,
    counted_at: Option<Instant>,
    /// Bytes that writers of this process were granted and have not written yet.
    promised: u64,
}

impl Usage {
    fn taken(&self) -> u64 {
        self.used.saturating_add(self.promised)
    }

    fn is_stale(&self) -> bool {
        self.counted_at.is_none_or(|at| at.elapsed() >= BELIEVED_FOR)
    }
}

/// A result as its files show it.
#[derive(Debug)]
struct Stored {
    finished: SystemTime,
    id: QueryId,
    bytes: u64,
}

impl Spool {
    pub(super) fn endless(directory: PathBuf) -> Self {
        Self { directory, limit: u64::MAX, evictor: None, usage: Mutex::default() }
    }

    pub(super) fn limited(directory: PathBuf, limit: u64, evictor: Arc<dyn Evictor>) -> Self {
        Self { directory, limit, evictor: Some(evictor), usage: Mutex::default() }
    }

    /// Room for `least` bytes or somewhat more; nothing where there is not even that and nothing more can go.
    fn grant(&self, least: u64) -> Result<u64, ResultStoreError> {
        let wanted = least.max(PIECE.min(self.limit / 64));
        let mut usage = self.usage();
        if self.limit == u64::MAX {
            return Ok(wanted);
        }
        if usage.is_stale() || usage.taken().saturating_add(wanted) > self.limit {
            self.make_room(&mut usage, wanted)?;
        }
        let room = self.limit.saturating_sub(usage.taken());
        if room < least {
            return Ok(0);
        }
        let granted = wanted.min(room);
        usage.promised += granted;
        Ok(granted)
    }

    /// Brings what lies on disk back under the limit, which may have been a higher one before.
    pub(super) fn keep_within(&self) -> Result<(), ResultStoreError> {
        if self.limit == u64::MAX { Ok(()) } else { self.make_room(&mut self.usage(), 0) }
    }

    fn make_room(&self, usage: &mut Usage, wanted: u64) -> Result<(), ResultStoreError> {
        let mut stored = self.stored()?;
        usage.used = stored.iter().map(|result| result.bytes).sum();
        usage.counted_at = Some(Instant::now());
        stored.sort_unstable_by_key(|result| (result.finished, result.id));
        for result in stored {
            if usage.taken().saturating_add(wanted) <= self.limit {
                break;
            }
            if self.evict(result.id) {
                usage.used = usage.used.saturating_sub(result.bytes);
            }
        }
        Ok(())
    }

    fn evict(&self, id: QueryId) -> bool {
        if !self.evictor.as_ref().is_some_and(|evictor| evictor.gives_up(id)) {
            return false;
        }
        match ResultFiles::new(&self.directory, id).remove() {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(query_id = %id, %error, "rows that were given up could not be removed");
                false
            }
        }
    }

    /// What lies in the directory. A file that goes meanwhile takes no room.
    fn stored(&self) -> Result<Vec<Stored>, ResultStoreError> {
        let read = |error| files::failed(&self.directory, &error);
        let mut found = std::collections::HashMap::<QueryId, Stored>::new();
        for entry in fs::read_dir(&self.directory).map_err(read)? {
            let entry = entry.map_err(read)?;
            let Some(id) = entry.file_name().to_str().and_then(files::owner) else { continue };
            let Ok(metadata) = entry.metadata() else { continue };
            let finished = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let result = found.entry(id).or_insert(Stored { finished, id, bytes: 0 });
            // The index is written last.
            result.finished = result.finished.max(finished);
            result.bytes += metadata.len();
        }
        Ok(found.into_values().collect())
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room that one writer was granted; what it did not use goes back with it.
#[derive(Debug)]
pub(super) struct Allowance {
    spool: Arc<Spool>,
    granted: u64,
    written: u64,
}

impl Allowance {
    pub(super) fn of(spool: Arc<Spool>) -> Self {
        Self { spool, granted: 0, written: 0 }
    }

    /// Whether the result may grow to `bytes` in all.
    pub(super) fn covers(&mut self, bytes: u64) -> Result<bool, ResultStoreError> {
        if bytes > self.granted {
            self.granted += self.spool.grant(bytes - self.granted)?;
        }
        Ok(bytes <= self.granted)
    }

    /// Notes that so many more bytes are on disk.
    pub(super) fn wrote(&mut self, bytes: u64) {
        self.written += bytes;
        let mut usage = self.spool.usage();
        usage.promised = usage.promised.saturating_sub(bytes);
        usage.used = usage.used.saturating_add(bytes);
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        let rest = self.granted.saturating_sub(self.written);
        let mut usage = self.spool.usage();
        usage.promised = usage.promised.saturating_sub(rest);
    }
}
