//! SQLite's values and types in the words of the result store.

use std::str::from_utf8;

use registry_core::results::{Cell, ColumnMeta};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement};

/// The columns of a statement. A column of a table has its declared type. Anything else has the type of its value in
/// the first row, and `ANY` when there is none to look at: SQLite has no other answer for an expression.
pub(crate) fn columns(
    statement_columns: &[(String, Option<String>)],
    first: Option<&Row<'_>>,
) -> rusqlite::Result<Vec<ColumnMeta>> {
    let describe = |(at, (name, declared)): (usize, &(String, Option<String>))| {
        let kind = match (declared, first) {
            (Some(declared), _) => declared.clone(),
            (None, Some(row)) => storage_class(row.get_ref(at)?).to_owned(),
            (None, None) => "ANY".to_owned(),
        };
        Ok(ColumnMeta::new(name.clone(), kind))
    };
    statement_columns.iter().enumerate().map(describe).collect()
}

/// Names and declared types, as the compiled statement has them.
pub(crate) fn declared(statement: &Statement<'_>) -> Vec<(String, Option<String>)> {
    let declared = |kind: &str| (!kind.trim().is_empty()).then(|| kind.to_uppercase());
    let columns = statement.columns();
    columns.map(|column| (column.name().to_owned(), column.decl_type().and_then(declared))).collect()
}

fn storage_class(value: ValueRef<'_>) -> &'static str {
    match value {
        ValueRef::Null => "ANY",
        ValueRef::Integer(_) => "INTEGER",
        ValueRef::Real(_) => "REAL",
        ValueRef::Text(_) => "TEXT",
        ValueRef::Blob(_) => "BLOB",
    }
}

/// The texts of a row that are not UTF-8, mended; hardly ever any.
pub(crate) fn mended_texts(row: &Row<'_>, width: usize) -> rusqlite::Result<Vec<String>> {
    let mut mended = Vec::new();
    for at in 0..width {
        if let ValueRef::Text(bytes) = row.get_ref(at)?
            && from_utf8(bytes).is_err()
        {
            mended.push(String::from_utf8_lossy(bytes).into_owned());
        }
    }
    Ok(mended)
}

/// The bytes that the values of a row take.
pub(crate) fn bytes(row: &Row<'_>, width: usize) -> rusqlite::Result<u64> {
    let mut bytes = 0;
    for at in 0..width {
        bytes += match row.get_ref(at)? {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
            ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        };
    }
    Ok(bytes)
}

/// The cells of a row. `mended` stands in for the texts that are not UTF-8, in their order.
pub(crate) fn cells<'a>(
    row: &'a Row<'_>,
    width: usize,
    mended: &'a [String],
) -> rusqlite::Result<Vec<Cell<'a>>> {
    let mut mended = mended.iter();
    let cell = |at| {
        Ok(match row.get_ref(at)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Int(number),
            ValueRef::Real(number) => Cell::Float(number),
            ValueRef::Text(text) => match from_utf8(text) {
                Ok(text) => Cell::Text(text),
                Err(_) => Cell::Text(mended.next().map_or("", String::as_str)),
            },
            ValueRef::Blob(blob) => Cell::Bytes(blob),
        })
    };
    (0..width).map(cell).collect()
}
