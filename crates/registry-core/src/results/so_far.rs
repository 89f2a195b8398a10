//! A result while it is written: what its writer tells of it, and its rows for somebody who does not wait for the end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::files::{self, ResultFiles};
use super::reader::{READ_BUFFER, parse};
use super::{ColumnMeta, ResultStoreError, Row};

/// What a writer tells of its result, readable while the writer is busy.
#[derive(Debug, Default)]
pub struct RowsSoFar {
    count: AtomicU64,
    columns: OnceLock<Vec<ColumnMeta>>,
    /// The bytes of the rows that may be read.
    shown: AtomicU64,
    awaited: AtomicBool,
}

impl RowsSoFar {
    /// Rows taken so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn count_to(&self, rows: u64) {
        self.count.store(rows, Ordering::Relaxed);
    }

    pub(super) fn name_columns(&self, columns: &[ColumnMeta]) {
        // A writer names them once.
        let _ = self.columns.set(columns.to_vec());
    }

    pub(super) fn show_to(&self, bytes: u64) {
        self.shown.store(bytes, Ordering::Release);
    }

    /// Whether somebody has read all that is shown and waits for more; asked once, answered once.
    pub(super) fn take_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed)
    }
}

/// Consecutive rows of a result that may not be complete.
#[derive(Debug, Clone, PartialEq)]
pub struct RowsArrived {
    /// Names and types of the columns.
    pub columns: Vec<ColumnMeta>,
    /// The rows; at least one.
    pub rows: Vec<Row>,
    /// Where the next row begins, in bytes.
    pub(crate) end: u64,
    /// The caller's limits, and not the end of what is shown, ended it.
    pub is_full: bool,
}

impl RowsArrived {
    fn none(columns: &[ColumnMeta], end: u64) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), end, is_full: false }
    }
}

/// The rows that are shown from byte `start` on, up to `limit` of them and `max_bytes`, but one at least. Where there is
/// none, the writer learns that somebody waits.
///
/// Another attempt at the same result writes the same bytes again, so a place stays good.
pub(super) fn arrived(
    files: &ResultFiles,
    so_far: &RowsSoFar,
    start: u64,
    limit: u64,
    max_bytes: u64,
) -> Result<Option<RowsArrived>, ResultStoreError> {
    let arrived = match (so_far.columns.get(), so_far.shown.load(Ordering::Acquire)) {
        (Some(columns), shown) if shown > start => {
            read(files, columns, start..shown, limit, max_bytes).map(Some)?
        }
        _ => None,
    };
    so_far.awaited.store(!arrived.as_ref().is_some_and(|arrived| arrived.is_full), Ordering::Relaxed);
    Ok(arrived)
}

fn read(
    files: &ResultFiles,
    columns: &[ColumnMeta],
    bytes: Range<u64>,
    limit: u64,
    max_bytes: u64,
) -> Result<RowsArrived, ResultStoreError> {
    let failed = |error| files::unreadable(&files.rows, &error);
    let mut file = open(files, &bytes).map_err(failed)?;
    let (mut arrived, mut line) = (RowsArrived::none(columns, bytes.start), Vec::new());
    while arrived.end < bytes.end && !arrived.is_full {
        line.clear();
        let end = arrived.end + file.read_until(b'\n', &mut line).map_err(failed)? as u64;
        if !arrived.rows.is_empty() && end - bytes.start > max_bytes {
            arrived.is_full = true;
            break;
        }
        line.pop_if(|byte| *byte == b'\n');
        arrived.rows.push(parse(&line, columns.len() as u64)?);
        arrived.end = end;
        arrived.is_full = arrived.rows.len() as u64 >= limit;
    }
    Ok(arrived)
}

fn open(files: &ResultFiles, bytes: &Range<u64>) -> io::Result<BufReader<Take<File>>> {
    let mut file = File::open(&files.rows)?;
    file.seek(SeekFrom::Start(bytes.start))?;
    Ok(BufReader::with_capacity(READ_BUFFER, file.take(bytes.end - bytes.start)))
}
