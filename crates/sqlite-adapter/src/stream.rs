//! Rows on their way from the engine to the result store, one at a time.

use std::sync::{Mutex, PoisonError};

use registry_core::results::{Cell, ColumnMeta, Flow, ResultStoreError, ResultWriter, StoredRows};
use rusqlite::{Row, Statement};

use crate::run::Run;
use crate::value;

/// Why a statement gave no complete result.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It was asked to end between two rows.
    Stopped,
    /// The engine's error.
    Engine(rusqlite::Error),
    /// The store's error.
    Store(ResultStoreError),
    /// One row has this many bytes, more than any answer could carry.
    WideRow(u64),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<ResultStoreError> for Trouble {
    fn from(error: ResultStoreError) -> Self {
        Self::Store(error)
    }
}

/// Rows of more bytes are written one at a time in the whole process: on their way they take several times the room.
const LARGE_ROW_BYTES: u64 = 1 << 20;
static LARGE_ROW: Mutex<()> = Mutex::new(());

/// Runs `statement` to its end, or until the store is full, `run` is told to stop, or something fails.
pub(crate) fn rows(
    statement: &mut Statement<'_>,
    mut writer: ResultWriter,
    max_row_bytes: u64,
    run: &Run,
) -> Result<StoredRows, Trouble> {
    let declared = value::declared(statement);
    if declared.is_empty() {
        return rows_affected(statement, writer);
    }
    let mut named = false;
    // Dropped before the result is completed, so that the engine's locks are gone when its end is told.
    {
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            if !named {
                writer.columns(value::columns(&declared, Some(row))?)?;
                named = true;
            }
            if !run.keeps_going() {
                return Err(Trouble::Stopped);
            }
            if push(&mut writer, row, declared.len(), max_row_bytes)? == Flow::Full {
                break;
            }
            writer.show_if_awaited()?;
        }
    }
    if !named {
        writer.columns(value::columns(&declared, None)?)?;
    }
    if run.is_given_up() {
        return Err(Trouble::Stopped);
    }
    Ok(writer.finish(None)?)
}

fn push(writer: &mut ResultWriter, row: &Row<'_>, width: usize, max_row_bytes: u64) -> Result<Flow, Trouble> {
    let values = value::values(row, width)?;
    let bytes = value::bytes(&values);
    if bytes > max_row_bytes {
        return Err(Trouble::WideRow(bytes));
    }
    let turn = || LARGE_ROW.lock().unwrap_or_else(PoisonError::into_inner);
    let _turn = (bytes > LARGE_ROW_BYTES).then(turn);
    if let Some(cells) = value::cells(&values) {
        return Ok(writer.push(&cells)?);
    }
    let mended = value::mended_texts(&values);
    Ok(writer.push(&value::mended_cells(&values, &mended))?)
}

/// A statement without columns answers with the number of rows it changed.
fn rows_affected(statement: &mut Statement<'_>, mut writer: ResultWriter) -> Result<StoredRows, Trouble> {
    let changed = statement.raw_execute()?;
    writer.columns(vec![ColumnMeta::new("rows_affected", "INTEGER")])?;
    let changed = i64::try_from(changed).unwrap_or(i64::MAX);
    match writer.push(&[Cell::Int(changed)])? {
        Flow::More | Flow::Full => Ok(writer.finish(None)?),
    }
}
