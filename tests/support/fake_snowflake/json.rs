//! Rows and row types in JSON, as both protocols write them.

use serde_json::{Value, json};

use super::table::{Cell, Column, Kind};

/// The two ways to write a boolean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    SqlApi,
    Driver,
}

/// The description of the columns.
pub(super) fn row_type(columns: &[Column]) -> Value {
    columns.iter().map(describe).collect()
}

fn describe(column: &Column) -> Value {
    let kind = column.kind;
    let mut description = json!({
        "name": column.name, "database": "", "schema": "", "table": "", "scale": kind.scale(),
        "precision": kind.precision(), "length": kind.length(), "type": kind.name(),
        "nullable": column.nullable, "byteLength": kind.length(), "collation": null,
    });
    if kind == Kind::Geography {
        description["extTypeName"] = json!("GEOGRAPHY");
    }
    if let Kind::Vector { dimension } = kind {
        description["vectorDimension"] = json!(dimension);
        description["fields"] = json!([describe(&Column::new("", Kind::Real))]);
    }
    description
}

/// Rows as arrays of texts and nulls.
pub(super) fn rows(columns: &[Column], rows: &[Vec<Cell>], dialect: Dialect) -> Vec<Value> {
    let cells = |row: &Vec<Cell>| {
        columns
            .iter()
            .zip(row)
            .map(|(column, cell)| text(column.kind, cell, dialect).map_or(Value::Null, Value::String))
            .collect()
    };
    rows.iter().map(cells).collect()
}

/// One value; `None` is null.
fn text(kind: Kind, cell: &Cell, dialect: Dialect) -> Option<String> {
    let scale = kind.scale().unwrap_or(0);
    Some(match cell {
        Cell::Null => return None,
        Cell::Integer(value) => scaled(*value, scale),
        Cell::Real(value) => real(*value),
        Cell::DecFloat { significand, exponent } => format!("{significand}e{exponent}"),
        Cell::Text(value) => value.clone(),
        Cell::Boolean(value) if dialect == Dialect::Driver => u8::from(*value).to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Binary(bytes) => bytes.iter().map(|byte| format!("{byte:02X}")).collect(),
        Cell::Days(days) => days.to_string(),
        Cell::Nanos(nanos) => seconds(*nanos, scale),
        Cell::Zoned { nanos, offset_minutes } => {
            format!("{} {}", seconds(*nanos, scale), offset_minutes + 1440)
        }
        Cell::Vector(values) => json!(values).to_string(),
    })
}

fn real(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        value if value.is_infinite() => if value > 0.0 { "inf" } else { "-inf" }.to_owned(),
        value => value.to_string(),
    }
}

fn seconds(nanos: i64, scale: u8) -> String {
    scaled(i128::from(nanos) / 10_i128.pow(9 - u32::from(scale)), scale)
}

/// An integer of a scale, with its point.
fn scaled(value: i128, scale: u8) -> String {
    if scale == 0 {
        return value.to_string();
    }
    let unit = 10_u128.pow(u32::from(scale));
    let (sign, digits) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
    format!("{sign}{}.{:0width$}", digits / unit, digits % unit, width = usize::from(scale))
}
