//! Rows as Arrow streams, with the physical types and the field metadata that Snowflake's drivers expect.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeListArray, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::NullBuffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};

use super::table::{Cell, Column, Kind};

const SECOND: i64 = 1_000_000_000;

/// One stream with one batch.
pub(super) fn stream(columns: &[Column], rows: &[Vec<Cell>]) -> Result<Vec<u8>, ArrowError> {
    let arrays: Vec<ArrayRef> =
        columns.iter().enumerate().map(|(place, column)| array(column.kind, &cells(rows, place))).collect();
    let fields: Vec<Field> =
        columns.iter().zip(&arrays).map(|(column, array)| field(column, array)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&batch)?;
    writer.into_inner()
}

fn cells(rows: &[Vec<Cell>], place: usize) -> Vec<&Cell> {
    rows.iter().map(|row| row.get(place).unwrap_or(&Cell::Null)).collect()
}

fn field(column: &Column, array: &ArrayRef) -> Field {
    let kind = column.kind;
    let number = |value: Option<u32>| value.unwrap_or(0).to_string();
    let metadata = HashMap::from([
        ("logicalType".to_owned(), kind.name().to_uppercase()),
        ("precision".to_owned(), number(kind.precision().map(u32::from))),
        ("scale".to_owned(), number(kind.scale().map(u32::from))),
        ("charLength".to_owned(), number(kind.length())),
        ("byteLength".to_owned(), number(width(kind))),
        ("finalType".to_owned(), "T".to_owned()),
    ]);
    Field::new(&column.name, array.data_type().clone(), true).with_metadata(metadata)
}

/// Drivers tell the two shapes of a zoned timestamp apart by its width.
fn width(kind: Kind) -> Option<u32> {
    match kind {
        Kind::TimestampTz { scale } => Some(if scale <= 3 { 8 } else { 16 }),
        kind => kind.length(),
    }
}

fn array(kind: Kind, cells: &[&Cell]) -> ArrayRef {
    match kind {
        Kind::Fixed { precision, scale } => fixed(precision, scale, cells),
        Kind::Real => Arc::new(Float64Array::from_iter(cells.iter().map(|cell| real(cell)))),
        Kind::DecFloat => decfloat(cells),
        Kind::Boolean => Arc::new(BooleanArray::from_iter(cells.iter().map(|cell| match cell {
            Cell::Boolean(value) => Some(*value),
            _ => None,
        }))),
        Kind::Binary => Arc::new(BinaryArray::from_iter(cells.iter().map(|cell| match cell {
            Cell::Binary(bytes) => Some(bytes),
            _ => None,
        }))),
        Kind::Date => Arc::new(Date32Array::from_iter(cells.iter().map(|cell| match cell {
            Cell::Days(days) => Some(*days),
            _ => None,
        }))),
        Kind::Time { scale } => Arc::new(Int64Array::from_iter(cells.iter().map(|cell| units(cell, scale)))),
        Kind::TimestampNtz { scale } | Kind::TimestampLtz { scale } => timestamp(scale, cells),
        Kind::TimestampTz { scale } => zoned(scale, cells),
        Kind::Vector { dimension } => vector(dimension, cells),
        Kind::Text | Kind::Variant | Kind::Object | Kind::Array | Kind::Geography => {
            Arc::new(StringArray::from_iter(cells.iter().map(|cell| match cell {
                Cell::Text(text) => Some(text),
                _ => None,
            })))
        }
    }
}

fn real(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Real(value) => Some(*value),
        Cell::Integer(value) => Some(*value as f64),
        _ => None,
    }
}

fn integer(cell: &Cell) -> Option<i128> {
    match cell {
        Cell::Integer(value) => Some(*value),
        _ => None,
    }
}

/// Numbers take the narrowest integer that holds their precision.
fn fixed(precision: u8, scale: u8, cells: &[&Cell]) -> ArrayRef {
    let values = cells.iter().map(|cell| integer(cell));
    match precision {
        0..=2 => Arc::new(Int8Array::from_iter(values.map(|value| value.and_then(|v| v.try_into().ok())))),
        3..=4 => Arc::new(Int16Array::from_iter(values.map(|value| value.and_then(|v| v.try_into().ok())))),
        5..=9 => Arc::new(Int32Array::from_iter(values.map(|value| value.and_then(|v| v.try_into().ok())))),
        10..=18 => Arc::new(Int64Array::from_iter(values.map(|value| value.and_then(|v| v.try_into().ok())))),
        _ => {
            let array = Decimal128Array::from_iter(values);
            // Without the right type the batch is refused, which says more than a guess would.
            array
                .clone()
                .with_precision_and_scale(precision, scale.cast_signed())
                .map_or_else(|_| Arc::new(array) as ArrayRef, |array| Arc::new(array) as ArrayRef)
        }
    }
}

fn nanos(cell: &Cell) -> Option<i64> {
    match cell {
        Cell::Nanos(nanos) | Cell::Zoned { nanos, .. } => Some(*nanos),
        _ => None,
    }
}

fn units(cell: &Cell, scale: u8) -> Option<i64> {
    nanos(cell).map(|nanos| nanos / 10_i64.pow(9 - u32::from(scale)))
}

fn epochs(cells: &[&Cell]) -> ArrayRef {
    Arc::new(Int64Array::from_iter(cells.iter().map(|cell| nanos(cell).map(|n| n.div_euclid(SECOND)))))
}

fn fractions(cells: &[&Cell]) -> ArrayRef {
    let fraction = |nanos: i64| i32::try_from(nanos.rem_euclid(SECOND)).unwrap_or_default();
    Arc::new(Int32Array::from_iter(cells.iter().map(|cell| nanos(cell).map(fraction))))
}

/// Coarse timestamps are one integer, fine ones seconds and nanoseconds.
fn timestamp(scale: u8, cells: &[&Cell]) -> ArrayRef {
    if scale <= 6 {
        return Arc::new(Int64Array::from_iter(cells.iter().map(|cell| units(cell, scale))));
    }
    structure(
        cells,
        vec![("epoch", DataType::Int64, epochs(cells)), ("fraction", DataType::Int32, fractions(cells))],
    )
}

fn zoned(scale: u8, cells: &[&Cell]) -> ArrayRef {
    let zones: ArrayRef = Arc::new(Int32Array::from_iter(cells.iter().map(|cell| match cell {
        Cell::Zoned { offset_minutes, .. } => Some(offset_minutes + 1440),
        _ => None,
    })));
    let zone = ("timezone", DataType::Int32, zones);
    if scale <= 3 {
        let units: ArrayRef = Arc::new(Int64Array::from_iter(cells.iter().map(|cell| units(cell, scale))));
        return structure(cells, vec![("epoch", DataType::Int64, units), zone]);
    }
    let fraction = ("fraction", DataType::Int32, fractions(cells));
    structure(cells, vec![("epoch", DataType::Int64, epochs(cells)), fraction, zone])
}

fn decfloat(cells: &[&Cell]) -> ArrayRef {
    let exponents: ArrayRef = Arc::new(Int16Array::from_iter(cells.iter().map(|cell| match cell {
        Cell::DecFloat { exponent, .. } => Some(*exponent),
        _ => None,
    })));
    let significands: ArrayRef = Arc::new(BinaryArray::from_iter(cells.iter().map(|cell| match cell {
        Cell::DecFloat { significand, .. } => Some(significand.to_be_bytes()),
        _ => None,
    })));
    structure(
        cells,
        vec![("exponent", DataType::Int16, exponents), ("significand", DataType::Binary, significands)],
    )
}

fn vector(dimension: u8, cells: &[&Cell]) -> ArrayRef {
    let size = usize::from(dimension);
    let values = cells.iter().flat_map(|cell| match cell {
        Cell::Vector(values) => values.clone(),
        _ => vec![0.0; size],
    });
    let values = Arc::new(Float32Array::from_iter_values(values));
    let metadata = HashMap::from([("logicalType".to_owned(), "REAL".to_owned())]);
    let item = Arc::new(Field::new("item", DataType::Float32, true).with_metadata(metadata));
    Arc::new(FixedSizeListArray::new(item, i32::from(dimension), values, Some(presence(cells))))
}

fn structure(cells: &[&Cell], parts: Vec<(&str, DataType, ArrayRef)>) -> ArrayRef {
    let field = |(name, kind, _): &(&str, DataType, ArrayRef)| Field::new(*name, kind.clone(), true);
    let fields: Fields = parts.iter().map(field).collect();
    let arrays = parts.into_iter().map(|(_, _, array)| array).collect();
    Arc::new(StructArray::new(fields, arrays, Some(presence(cells))))
}

fn presence(cells: &[&Cell]) -> NullBuffer {
    cells.iter().map(|cell| **cell != Cell::Null).collect::<Vec<bool>>().into()
}
