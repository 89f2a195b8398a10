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

/// The values of a row as the engine holds them.
pub(crate) fn values<'a>(row: &'a Row<'_>, width: usize) -> rusqlite::Result<Vec<ValueRef<'a>>> {
    let mut values = Vec::with_capacity(width);
    for at in 0..width {
        values.push(row.get_ref(at)?);
    }
    Ok(values)
}

/// The bytes that values take.
pub(crate) fn bytes(values: &[ValueRef<'_>]) -> u64 {
    let bytes = |value: &ValueRef<'_>| match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len() as u64,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 8,
    };
    values.iter().map(bytes).sum()
}

/// The cells of a row; `None` if one of its texts is not UTF-8.
pub(crate) fn cells<'a>(values: &[ValueRef<'a>]) -> Option<Vec<Cell<'a>>> {
    let mut cells = Vec::with_capacity(values.len());
    for value in values {
        cells.push(cell(*value, |bytes| from_utf8(bytes).ok())?);
    }
    Some(cells)
}

/// The texts of a row that are not UTF-8, mended; hardly ever any.
pub(crate) fn mended_texts(values: &[ValueRef<'_>]) -> Vec<String> {
    let texts =
        values.iter().filter_map(|value| if let ValueRef::Text(bytes) = value { Some(*bytes) } else { None });
    texts
        .filter(|bytes| from_utf8(bytes).is_err())
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect()
}

/// The cells of a row in which `mended` stands in for the texts that are not UTF-8, in their order.
pub(crate) fn mended_cells<'a>(values: &[ValueRef<'a>], mended: &'a [String]) -> Vec<Cell<'a>> {
    let mut mended = mended.iter().map(String::as_str);
    let text = |bytes| from_utf8(bytes).ok().or_else(|| mended.next());
    values.iter().scan(text, |text, value| cell(*value, text)).collect()
}

fn cell<'a>(value: ValueRef<'a>, text: impl FnOnce(&'a [u8]) -> Option<&'a str>) -> Option<Cell<'a>> {
    Some(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Int(number),
        ValueRef::Real(number) => Cell::Float(number),
        ValueRef::Text(bytes) => Cell::Text(text(bytes)?),
        ValueRef::Blob(blob) => Cell::Bytes(blob),
    })
}
