//! Rows on their way back from disk.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::abridge::{Abridged, CutCell};
use super::files::{self, ResultFiles};
use super::index::{Index, damaged};
use super::{ResultStoreError, STRIDE};

pub(super) const READ_BUFFER: usize = 64 * 1024;

/// One row as JSON values, in the order of the columns.
pub type Row = Vec<serde_json::Value>;

/// Consecutive rows of a result.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredPage {
    /// The rows.
    pub rows: Vec<Row>,
    /// Cells of which only the beginning is in them, in the order of the rows.
    pub cuts: Vec<CutCell>,
}

/// Reads a result from some row to its end, one row at a time, as the JSON arrays that were stored. It needs no more
/// memory than the longest row.
pub struct RowReader {
    lines: Lines,
    line: Vec<u8>,
}

impl RowReader {
    pub(super) fn open(files: &ResultFiles, offset: u64) -> Result<Self, ResultStoreError> {
        Ok(Self { lines: Lines::open(files, offset)?, line: Vec::new() })
    }

    /// The next row as the text of a JSON array; `None` after the last one.
    pub fn next_line(&mut self) -> Result<Option<&str>, ResultStoreError> {
        match self.lines.read(&mut self.line, u64::MAX)? {
            Line::Row => array_text(&self.line).map(Some),
            Line::TooLong | Line::End => Ok(None),
        }
    }
}

impl fmt::Debug for RowReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowReader").field("next_row", &self.lines.next_row).finish_non_exhaustive()
    }
}

/// Reads the rows from `offset` on that `limit` and `max_bytes` allow, each text up to `cell_chars` characters. No more
/// than that of a row is ever in memory.
pub(super) fn page(
    files: &ResultFiles,
    offset: u64,
    limit: u64,
    max_bytes: u64,
    cell_chars: u64,
) -> Result<StoredPage, ResultStoreError> {
    let mut lines = Lines::open(files, offset)?;
    let (mut page, mut row, mut used) = (StoredPage::default(), Abridged::new(cell_chars), 0);
    while (page.rows.len() as u64) < limit {
        let room = if page.rows.is_empty() { u64::MAX } else { max_bytes.saturating_sub(used) };
        let (place, before) = (lines.next_row, lines.position);
        match lines.read_abridged(&mut row, room)? {
            Line::Row => page.rows.push(parse(row.line(), lines.columns)?),
            Line::TooLong | Line::End => break,
        }
        let cut = |&(column, characters): &_| CutCell { row: place, column, characters };
        page.cuts.extend(row.cuts().iter().map(cut));
        used += lines.position - before;
    }
    Ok(page)
}

pub(super) fn parse(line: &[u8], columns: u64) -> Result<Row, ResultStoreError> {
    let row: Row = serde_json::from_slice(line).map_err(|_| no_row())?;
    if row.len() as u64 == columns { Ok(row) } else { Err(no_row()) }
}

/// Takes a line for a row without parsing it. A file that lost a part has zeros there, and no row holds a control
/// character.
fn array_text(line: &[u8]) -> Result<&str, ResultStoreError> {
    let framed = line.starts_with(b"[") && line.ends_with(b"]");
    if !framed || line.iter().fold(false, |found, &byte| found | (byte < 0x20)) {
        return Err(no_row());
    }
    std::str::from_utf8(line).map_err(|_| no_row())
}

fn no_row() -> ResultStoreError {
    damaged("a line is no row")
}

/// What a look for the next line found.
#[derive(Debug, PartialEq, Eq)]
enum Line {
    Row,
    /// A line that does not fit into the room given; the reader stands within it.
    TooLong,
    End,
}

/// The lines of a complete result, checked block by block against the index.
struct Lines {
    path: PathBuf,
    rows: BufReader<File>,
    index: Index,
    columns: u64,
    next_row: u64,
    position: u64,
    block_end: u64,
}

impl Lines {
    /// Opens the files so that `offset` is the next row; reads nothing before its block.
    fn open(files: &ResultFiles, offset: u64) -> Result<Self, ResultStoreError> {
        let index = Index::open(&files.index)?;
        let summary = index.summary();
        let path = files.rows.clone();
        let read = |error| files::unreadable(&files.rows, &error);
        let file = File::open(&path).map_err(read)?;
        if file.metadata().map_err(read)?.len() != summary.bytes {
            return Err(damaged("the rows file has not the length it was left with"));
        }
        let rows = BufReader::with_capacity(READ_BUFFER, file);
        let columns = summary.columns;
        let mut lines = Self { path, rows, index, columns, next_row: offset, position: 0, block_end: 0 };
        if offset < summary.rows {
            lines.seek(offset)?;
        }
        Ok(lines)
    }

    fn seek(&mut self, offset: u64) -> Result<(), ResultStoreError> {
        self.position = self.index.seek(offset)?;
        self.block_end = self.index.next()?;
        self.begin_at_line()?;
        for _ in 0..offset % STRIDE {
            self.skip()?;
        }
        Ok(())
    }

    /// Moves to `position`, where a line must begin.
    fn begin_at_line(&mut self) -> Result<(), ResultStoreError> {
        let Some(before) = self.position.checked_sub(1) else { return Ok(()) };
        let mut byte = [0];
        let moved = self.rows.seek(SeekFrom::Start(before)).and_then(|_| self.rows.read_exact(&mut byte));
        moved.map_err(|error| files::unreadable(&self.path, &error))?;
        if byte == *b"\n" { Ok(()) } else { Err(damaged("rows and index do not agree")) }
    }

    fn skip(&mut self) -> Result<(), ResultStoreError> {
        let rest = self.block_end - self.position;
        let skipped = self.rows.by_ref().take(rest).skip_until(b'\n');
        self.position += skipped.map_err(|error| files::unreadable(&self.path, &error))? as u64;
        Ok(())
    }

    /// Reads the next line into `line`, without its end, unless it has more than `room` bytes.
    fn read(&mut self, line: &mut Vec<u8>, room: u64) -> Result<Line, ResultStoreError> {
        line.clear();
        if self.next_row >= self.index.summary().rows {
            return Ok(Line::End);
        }
        let rest = self.block_end - self.position;
        let read = self.rows.by_ref().take(rest.min(room)).read_until(b'\n', line);
        self.position += read.map_err(|error| files::unreadable(&self.path, &error))? as u64;
        if line.pop_if(|byte| *byte == b'\n').is_none() {
            return if room < rest { Ok(Line::TooLong) } else { Err(no_row()) };
        }
        self.next_row += 1;
        self.check_block()?;
        Ok(Line::Row)
    }

    /// As [`Lines::read`], without ever holding the whole line.
    fn read_abridged(&mut self, row: &mut Abridged, room: u64) -> Result<Line, ResultStoreError> {
        row.clear();
        if self.next_row >= self.index.summary().rows {
            return Ok(Line::End);
        }
        let rest = self.block_end - self.position;
        let mut piece_by_piece = self.rows.by_ref().take(rest.min(room));
        let mut ended = false;
        while !ended {
            let piece = piece_by_piece.fill_buf().map_err(|error| files::unreadable(&self.path, &error))?;
            if piece.is_empty() {
                return if room < rest { Ok(Line::TooLong) } else { Err(no_row()) };
            }
            let end = piece.iter().position(|&byte| byte == b'\n');
            let (text, _) = piece.split_at(end.unwrap_or(piece.len()));
            row.feed(text);
            ended = end.is_some();
            let read = text.len() + usize::from(ended);
            piece_by_piece.consume(read);
            self.position += read as u64;
        }
        self.next_row += 1;
        self.check_block()?;
        Ok(Line::Row)
    }

    /// The last line of a block must end where the index says so; the next block begins there.
    fn check_block(&mut self) -> Result<(), ResultStoreError> {
        let rows = self.index.summary().rows;
        if self.next_row != rows && !self.next_row.is_multiple_of(STRIDE) {
            return Ok(());
        }
        if self.position != self.block_end {
            return Err(damaged("rows and index do not agree"));
        }
        if self.next_row != rows {
            self.block_end = self.index.next()?;
        }
        Ok(())
    }
}
