//! Rows on their way to disk.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use uuid::Uuid;

use super::cell::write_row;
use super::files::{self, ResultFiles};
use super::index::{IndexWriter, Summary, Token};
use super::so_far::RowsSoFar;
use super::spool::{Allowance, Spool};
use super::{Cell, ColumnMeta, ResultLimits, ResultStoreError, STRIDE, StoredRows, Truncation};

/// Rows are handed to the system in pieces of this size.
const WRITE_BUFFER: usize = 128 * 1024;

/// Writes the rows of one result as they stream in. The files appear with the first call, so a writer that is never
/// used leaves nothing; one that is dropped before [`ResultWriter::finish`] removes what it wrote.
///
/// Every call may block for as long as a disk takes. After an error nothing more is taken.
pub struct ResultWriter {
    files: ResultFiles,
    limits: ResultLimits,
    spool: Arc<Spool>,
    sync: bool,
    /// What the engine was told that we want, less the one row by which it shows that there are more.
    ceiling: Option<u64>,
    columns: Vec<ColumnMeta>,
    output: Option<Output>,
    so_far: Arc<RowsSoFar>,
    truncated: Option<Truncation>,
    failed: Option<ResultStoreError>,
}

/// Whether more rows are wanted.
#[must_use = "a full result takes no more rows; the statement is to be ended"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The row is stored.
    More,
    /// The row is not stored: a ceiling is reached, and the result will say so.
    Full,
}

impl ResultWriter {
    pub(super) fn new(files: ResultFiles, limits: ResultLimits, spool: Arc<Spool>) -> Self {
        Self {
            files,
            limits,
            spool,
            sync: false,
            ceiling: None,
            columns: Vec::new(),
            output: None,
            so_far: Arc::default(),
            truncated: None,
            failed: None,
        }
    }

    /// Whether [`ResultWriter::finish`] waits until the disk has the rows. Worth its time where a statement is dear to
    /// repeat, as on a remote engine; without it a power cut may leave a damaged result, never a wrong one.
    #[must_use]
    pub fn sync_on_finish(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// Keeps no more than `rows`, of which the engine was told when it began: its number of rows says nothing beyond.
    #[must_use]
    pub fn at_most(mut self, rows: Option<u64>) -> Self {
        self.ceiling = rows;
        self.limits.max_rows = rows.map_or(self.limits.max_rows, |rows| rows.min(self.limits.max_rows));
        self
    }

    /// Names the columns; once, before the first row.
    pub fn columns(&mut self, columns: Vec<ColumnMeta>) -> Result<(), ResultStoreError> {
        self.guarded(|writer| {
            if writer.output.is_some() {
                return Err(ResultStoreError::Io("the columns of a result are named only once".to_owned()));
            }
            writer.output = Some(Output::create(&writer.files, &writer.spool)?);
            writer.so_far.name_columns(&columns);
            writer.columns = columns;
            Ok(())
        })
    }

    /// Stores one row.
    pub fn push(&mut self, row: &[Cell<'_>]) -> Result<Flow, ResultStoreError> {
        self.guarded(|writer| writer.try_push(row))
    }

    /// Shows the rows so far to those who follow the result. Another attempt at it has to write the same ones again.
    pub fn show(&mut self) -> Result<(), ResultStoreError> {
        self.guarded(|writer| {
            let Some(output) = &mut writer.output else { return Ok(()) };
            output.flush()?;
            writer.so_far.show_to(output.bytes);
            Ok(())
        })
    }

    /// As [`ResultWriter::show`], if somebody waits for it; cheap enough for every row.
    pub fn show_if_awaited(&mut self) -> Result<(), ResultStoreError> {
        if self.so_far.take_awaited() { self.show() } else { Ok(()) }
    }

    /// Completes the files. `total_rows` is the engine's own number, where it has one that differs from what it
    /// delivered; a result that was not cut short has as many rows as were stored.
    pub fn finish(mut self, total_rows: Option<u64>) -> Result<StoredRows, ResultStoreError> {
        self.guarded(|writer| writer.try_finish(total_rows))
    }

    /// What can be told of the result while the writer is busy.
    pub fn so_far(&self) -> Arc<RowsSoFar> {
        Arc::clone(&self.so_far)
    }

    /// Lets nothing follow a failure: half a row may be on disk, and a gap must not be taken for a result.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, ResultStoreError>,
    ) -> Result<T, ResultStoreError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        work(self).inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn try_push(&mut self, row: &[Cell<'_>]) -> Result<Flow, ResultStoreError> {
        let Some(output) = &mut self.output else {
            return Err(ResultStoreError::Io("a row came before the columns".to_owned()));
        };
        if row.len() != self.columns.len() {
            let (values, columns) = (row.len(), self.columns.len());
            return Err(ResultStoreError::Io(format!("a row has {values} values for {columns} columns")));
        }
        if self.truncated.is_none() {
            self.truncated = output.push(row, &self.limits)?;
        }
        if self.truncated.is_some() {
            return Ok(Flow::Full);
        }
        self.so_far.count_to(output.row_count);
        Ok(Flow::More)
    }

    fn try_finish(&mut self, total_rows: Option<u64>) -> Result<StoredRows, ResultStoreError> {
        let created = match self.output.take() {
            Some(output) => output,
            None => Output::create(&self.files, &self.spool)?,
        };
        let output = self.output.insert(created);
        output.finish(self.columns.len(), self.sync)?;
        if !self.files.belong_to(&output.token) {
            return Err(ResultStoreError::Io("the rows were replaced or removed while written".to_owned()));
        }
        let (rows, bytes) = (output.row_count, output.bytes);
        // An engine that stopped where it was told to does not know how many there would have been.
        let total_rows =
            total_rows.filter(|&total| self.ceiling.is_none_or(|rows| total != rows.saturating_add(1)));
        // Nothing is left to remove.
        self.output = None;
        Ok(StoredRows {
            columns: std::mem::take(&mut self.columns),
            rows,
            bytes,
            total_rows: total_rows.or(self.truncated.is_none().then_some(rows)),
            truncated: self.truncated,
        })
    }
}

impl Drop for ResultWriter {
    fn drop(&mut self) {
        let Some(output) = self.output.take() else { return };
        let token = output.token;
        // Closed first: some systems do not remove open files.
        drop(output);
        if self.files.belong_to(&token)
            && let Err(error) = self.files.remove()
        {
            tracing::warn!(%error, "unfinished rows stay until the next start removes them");
        }
    }
}

impl fmt::Debug for ResultWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultWriter")
            .field("file", &self.files.rows)
            .field("so_far", &self.so_far)
            .field("truncated", &self.truncated)
            .finish_non_exhaustive()
    }
}

/// The open files of a result that is being written.
struct Output {
    files: ResultFiles,
    token: Token,
    rows: File,
    index: IndexWriter,
    /// Rows not yet handed to the system.
    buffer: Vec<u8>,
    row_count: u64,
    /// Bytes of all rows, those in the buffer among them.
    bytes: u64,
    allowance: Allowance,
}

impl Output {
    /// Makes new files in place of older ones, whose writer may still hold them open.
    fn create(files: &ResultFiles, spool: &Arc<Spool>) -> Result<Self, ResultStoreError> {
        files.remove()?;
        let token = *Uuid::new_v4().as_bytes();
        let open = || Ok((IndexWriter::create(&files.index, &token)?, files::create(&files.rows)?));
        // The error is worth more than the one of a removal that fails too.
        let (index, rows) = open().inspect_err(|_| drop(files.remove()))?;
        Ok(Self::new(files.clone(), token, rows, index, Allowance::of(Arc::clone(spool))))
    }

    fn new(files: ResultFiles, token: Token, rows: File, index: IndexWriter, allowance: Allowance) -> Self {
        let buffer = Vec::with_capacity(WRITE_BUFFER);
        Self { files, token, rows, index, buffer, row_count: 0, bytes: 0, allowance }
    }

    /// Takes a row, or tells which ceiling is in its way.
    fn push(
        &mut self,
        row: &[Cell<'_>],
        limits: &ResultLimits,
    ) -> Result<Option<Truncation>, ResultStoreError> {
        if self.row_count >= limits.max_rows {
            return Ok(Some(Truncation::RowCeiling));
        }
        let start = self.buffer.len();
        write_row(row, &mut self.buffer).map_err(|error| self.failed(&error))?;
        self.buffer.push(b'\n');
        let end = self.bytes + (self.buffer.len() - start) as u64;
        let ceiling = match end {
            end if end > limits.max_bytes => Some(Truncation::ByteCeiling),
            end if !self.allowance.covers(end)? => Some(Truncation::SpoolCeiling),
            _ => None,
        };
        if ceiling.is_some() {
            self.buffer.truncate(start);
            return Ok(ceiling);
        }
        if self.row_count.is_multiple_of(STRIDE) {
            self.index.add(self.bytes)?;
        }
        self.row_count += 1;
        self.bytes = end;
        if self.buffer.len() >= WRITE_BUFFER { self.flush().map(|()| None) } else { Ok(None) }
    }

    fn flush(&mut self) -> Result<(), ResultStoreError> {
        self.rows.write_all(&self.buffer).map_err(|error| self.failed(&error))?;
        self.allowance.wrote(self.buffer.len() as u64);
        self.buffer.clear();
        // One huge row shall not cost its memory for the rest of the result.
        self.buffer.shrink_to(2 * WRITE_BUFFER);
        Ok(())
    }

    /// The summary comes after the rows, on disk too, so that it never stands for rows that are not there.
    fn finish(&mut self, columns: usize, sync: bool) -> Result<(), ResultStoreError> {
        self.flush()?;
        if sync {
            self.rows.sync_all().map_err(|error| self.failed(&error))?;
        }
        let summary = Summary { rows: self.row_count, bytes: self.bytes, columns: columns as u64 };
        self.index.finish(summary, sync)?;
        if sync { files::sync_directory(&self.files.directory) } else { Ok(()) }
    }

    fn failed(&self, error: &io::Error) -> ResultStoreError {
        files::failed(&self.files.rows, error)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn endless() -> Arc<Spool> {
        Arc::new(Spool::endless(std::path::PathBuf::new()))
    }

    /// A writer whose rows go to a device that never has room.
    fn on_a_full_disk(directory: &std::path::Path) -> ResultWriter {
        let files = ResultFiles::new(directory, crate::id::QueryId::generate());
        let mut writer = ResultWriter::new(files.clone(), ResultLimits::default(), endless());
        writer.columns(vec![ColumnMeta::new("a", "TEXT")]).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        writer.output.as_mut().unwrap().rows = full;
        writer
    }

    #[test]
    fn a_full_disk_ends_the_writer_and_leaves_no_files() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = on_a_full_disk(directory.path());
        let text = "x".repeat(1000);
        let error = (0..1000).find_map(|_| writer.push(&[Cell::Text(&text)]).err()).unwrap();
        assert!(matches!(error, ResultStoreError::DiskFull(_)), "{error:?}");
        assert_eq!(
            writer.push(&[Cell::Null]),
            Err(error.clone()),
            "half a row is on disk: nothing may follow it"
        );
        assert_eq!(writer.finish(None), Err(error));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_that_is_full_only_at_the_end_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = on_a_full_disk(directory.path());
        assert_eq!(writer.push(&[Cell::Null]), Ok(Flow::More));
        assert!(matches!(writer.finish(None), Err(ResultStoreError::DiskFull(_))));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_huge_row_does_not_keep_its_memory() {
        let directory = tempfile::tempdir().unwrap();
        let files = ResultFiles::new(directory.path(), crate::id::QueryId::generate());
        let mut writer = ResultWriter::new(files, ResultLimits::default(), endless());
        writer.columns(vec![ColumnMeta::new("a", "TEXT")]).unwrap();
        assert_eq!(writer.push(&[Cell::Text(&"x".repeat(16 << 20))]), Ok(Flow::More));
        assert!(writer.output.as_ref().unwrap().buffer.capacity() <= 2 * WRITE_BUFFER);
    }
}
