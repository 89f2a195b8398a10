//! Values and rows in Arrow: the same cells as from JSON, whatever representation Snowflake chose for a batch.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, LargeBinaryArray, LargeStringArray, PrimitiveArray, RecordBatch,
    StringArray, StructArray,
};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{ArrowError, DataType, Field};
use registry_core::results::{Flow, ResultWriter};

use super::json::{DecodeError, Decoded};
use super::{Column, Kind, MAX_SCALE, RowBuffer, Zone, push_date, push_decimal, push_time, push_timestamp};

/// So many bytes of a stream are decoded at a time.
const PIECE: usize = 1 << 20;
/// Beyond so many zeros a number is told with its exponent.
const MAX_ZEROS: i32 = 60;

/// Stores the rows of one stream of batches.
pub(crate) fn store_batches(
    stream: &[u8],
    columns: &[Column],
    writer: &mut ResultWriter,
) -> Result<Decoded, DecodeError> {
    let (mut taken, mut row, mut batches) = (0, RowBuffer::default(), Batches::of(stream));
    while let Some(batch) = batches.next()? {
        match store_batch(&batch, columns, writer, &mut row)? {
            Decoded::All(rows) => taken += rows,
            Decoded::Full => return Ok(Decoded::Full),
        }
    }
    Ok(Decoded::All(taken))
}

/// The batches of a stream. It is fed piece by piece, because a reader of the whole believes every length that the
/// stream claims, and asks for so much memory.
struct Batches<'s> {
    decoder: StreamDecoder,
    pieces: std::slice::Chunks<'s, u8>,
    piece: Buffer,
}

impl<'s> Batches<'s> {
    fn of(stream: &'s [u8]) -> Self {
        Self {
            decoder: StreamDecoder::new(),
            pieces: stream.chunks(PIECE),
            piece: Buffer::from_slice_ref::<u8, _>(&[]),
        }
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, DecodeError> {
        loop {
            if self.piece.is_empty() {
                let Some(piece) = self.pieces.next() else {
                    return self.decoder.finish().map(|()| None).map_err(|error| malformed(&error));
                };
                self.piece = Buffer::from_slice_ref(piece);
            }
            // The library panics on some descriptions that no writer writes.
            let decoded = catch_unwind(AssertUnwindSafe(|| self.decoder.decode(&mut self.piece)));
            let decoded =
                decoded.map_err(|_| DecodeError::Malformed("the batches are damaged".to_owned()))?;
            if let Some(batch) = decoded.map_err(|error| malformed(&error))? {
                return Ok(Some(batch));
            }
        }
    }
}

fn store_batch(
    batch: &RecordBatch,
    columns: &[Column],
    writer: &mut ResultWriter,
    row: &mut RowBuffer,
) -> Result<Decoded, DecodeError> {
    if batch.num_columns() != columns.len() {
        let (found, wanted) = (batch.num_columns(), columns.len());
        return Err(DecodeError::Malformed(format!("a batch has {found} columns instead of {wanted}")));
    }
    let schema = batch.schema();
    let parts = columns.iter().zip(schema.fields()).zip(batch.columns());
    let readers: Vec<Reader<'_>> = parts
        .map(|((column, field), array)| Reader::new(column, field, array.as_ref()))
        .collect::<Result<_, _>>()?;
    for index in 0..batch.num_rows() {
        row.clear();
        for reader in &readers {
            reader.append(index, row);
        }
        match writer.push(&row.cells()).map_err(DecodeError::Store)? {
            Flow::More => {}
            Flow::Full => return Ok(Decoded::Full),
        }
    }
    Ok(Decoded::All(batch.num_rows() as u64))
}

/// One column of one batch.
struct Reader<'a> {
    column: &'a Column,
    /// Of this batch; the description of the result may say nothing of it.
    scale: u32,
    array: &'a dyn Array,
    values: Values<'a>,
}

/// Its values as they are laid out.
enum Values<'a> {
    Null,
    Int8(&'a PrimitiveArray<Int8Type>),
    Int16(&'a PrimitiveArray<Int16Type>),
    Int32(&'a PrimitiveArray<Int32Type>),
    Int64(&'a PrimitiveArray<Int64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>),
    Float32(&'a PrimitiveArray<Float32Type>),
    Float64(&'a PrimitiveArray<Float64Type>),
    Date(&'a PrimitiveArray<Date32Type>),
    Boolean(&'a BooleanArray),
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Bytes(&'a BinaryArray),
    LargeBytes(&'a LargeBinaryArray),
    Moment(Moment<'a>),
    /// A number with an exponent of its own.
    Floating {
        exponent: &'a PrimitiveArray<Int16Type>,
        significand: &'a BinaryArray,
    },
}

/// A moment in parts.
struct Moment<'a> {
    /// Seconds where there is a fraction, units of the scale where there is none.
    epoch: &'a PrimitiveArray<Int64Type>,
    /// Nanoseconds.
    fraction: Option<&'a PrimitiveArray<Int32Type>>,
    /// Minutes after the westernmost place there could be.
    zone: Option<&'a PrimitiveArray<Int32Type>>,
}

impl<'a> Reader<'a> {
    fn new(column: &'a Column, field: &Field, array: &'a dyn Array) -> Result<Self, DecodeError> {
        let told = field.metadata().get("scale").and_then(|scale| scale.parse().ok());
        let values = Values::new(array).ok_or_else(|| {
            let (name, kind) = (&column.meta.name, array.data_type());
            DecodeError::Malformed(format!("column {name:?} comes as {kind}; cast it to VARCHAR or VARIANT"))
        })?;
        Ok(Self { column, scale: told.unwrap_or(column.scale).min(MAX_SCALE), array, values })
    }

    fn append(&self, index: usize, row: &mut RowBuffer) {
        if self.array.is_null(index) {
            return row.null();
        }
        match &self.values {
            Values::Null => row.null(),
            Values::Int8(values) => self.integer(values.value(index).into(), row),
            Values::Int16(values) => self.integer(values.value(index).into(), row),
            Values::Int32(values) => self.integer(values.value(index).into(), row),
            Values::Int64(values) => self.integer(values.value(index).into(), row),
            Values::Decimal(values) => self.integer(values.value(index), row),
            Values::Float32(values) => row.float(values.value(index).into()),
            Values::Float64(values) => row.float(values.value(index)),
            Values::Date(values) => date(values.value(index).into(), row),
            Values::Boolean(values) => row.bool(values.value(index)),
            Values::Text(values) => self.column.decode(values.value(index), row),
            Values::LargeText(values) => self.column.decode(values.value(index), row),
            Values::Bytes(values) => bytes(values.value(index), row),
            Values::LargeBytes(values) => bytes(values.value(index), row),
            Values::Moment(moment) => self.moment(moment, index, row),
            Values::Floating { exponent, significand } => {
                floating(significand.value(index), exponent.value(index).into(), row);
            }
        }
    }

    /// What a whole number stands for depends on the column's type.
    fn integer(&self, value: i128, row: &mut RowBuffer) {
        match self.column.kind {
            Kind::Date => match i64::try_from(value) {
                Ok(days) => date(days, row),
                Err(_) => row.text(&value.to_string()),
            },
            Kind::Time | Kind::TimestampNtz | Kind::TimestampLtz | Kind::TimestampTz => {
                row.composed(&value.to_string(), |out| {
                    let (seconds, nanos) = split(i64::try_from(value).ok()?, self.scale)?;
                    self.push_moment(seconds, nanos, None, out)
                });
            }
            Kind::Boolean => row.bool(value != 0),
            _ => self.number(value, row),
        }
    }

    fn number(&self, value: i128, row: &mut RowBuffer) {
        match i64::try_from(value) {
            Ok(value) if self.scale == 0 => row.int(value),
            _ => {
                let mut text = String::new();
                push_decimal(value, self.scale, &mut text);
                row.decimal(&text);
            }
        }
    }

    fn moment(&self, moment: &Moment<'_>, index: usize, row: &mut RowBuffer) {
        let epoch = moment.epoch.value(index);
        let zone = moment.zone.map(|zone| zone.value(index));
        row.composed(&epoch.to_string(), |out| {
            let (seconds, nanos) = match moment.fraction {
                Some(fraction) => (epoch, u32::try_from(fraction.value(index)).ok()?),
                None => split(epoch, self.scale)?,
            };
            self.push_moment(seconds, nanos, zone, out)
        });
    }

    fn push_moment(&self, seconds: i64, nanos: u32, zone: Option<i32>, out: &mut String) -> Option<()> {
        let zone = match (self.column.kind, zone) {
            (Kind::Time, _) => return push_time(seconds, nanos, self.scale, out),
            (Kind::TimestampLtz, _) => Zone::Utc,
            (Kind::TimestampTz, Some(zone)) => Zone::Offset(zone.checked_sub(1440)?),
            (Kind::TimestampTz, None) => Zone::Utc,
            _ => Zone::None,
        };
        push_timestamp(seconds, nanos, self.scale, zone, out)
    }
}

impl<'a> Values<'a> {
    fn new(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Int8 => Self::Int8(primitive(array)?),
            DataType::Int16 => Self::Int16(primitive(array)?),
            DataType::Int32 => Self::Int32(primitive(array)?),
            DataType::Int64 => Self::Int64(primitive(array)?),
            DataType::Decimal128(..) => Self::Decimal(primitive(array)?),
            DataType::Float32 => Self::Float32(primitive(array)?),
            DataType::Float64 => Self::Float64(primitive(array)?),
            DataType::Date32 => Self::Date(primitive(array)?),
            DataType::Boolean => Self::Boolean(array.as_any().downcast_ref()?),
            DataType::Utf8 => Self::Text(array.as_any().downcast_ref()?),
            DataType::LargeUtf8 => Self::LargeText(array.as_any().downcast_ref()?),
            DataType::Binary => Self::Bytes(array.as_any().downcast_ref()?),
            DataType::LargeBinary => Self::LargeBytes(array.as_any().downcast_ref()?),
            DataType::Struct(_) => Self::parts(array.as_any().downcast_ref()?)?,
            _ => return None,
        })
    }

    fn parts(parts: &'a StructArray) -> Option<Self> {
        let part = |name: &str| parts.column_by_name(name).map(AsRef::as_ref);
        if let Some(epoch) = part("epoch") {
            let optional = |name: &str| part(name).map_or(Some(None), |part| primitive(part).map(Some));
            let (fraction, zone) = (optional("fraction")?, optional("timezone")?);
            return Some(Self::Moment(Moment { epoch: primitive(epoch)?, fraction, zone }));
        }
        let significand = part("significand")?.as_any().downcast_ref()?;
        Some(Self::Floating { exponent: primitive(part("exponent")?)?, significand })
    }
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array) -> Option<&PrimitiveArray<T>> {
    array.as_any().downcast_ref()
}

fn date(days: i64, row: &mut RowBuffer) {
    row.composed(&days.to_string(), |out| push_date(days, out));
}

fn bytes(value: &[u8], row: &mut RowBuffer) {
    row.binary("", |out| {
        out.extend_from_slice(value);
        Some(())
    });
}

/// Units of 10^-`scale` seconds as seconds and nanoseconds.
fn split(value: i64, scale: u32) -> Option<(i64, u32)> {
    let unit = 10_i64.checked_pow(scale)?;
    let nanos_each = 1_000_000_000_i64.checked_div(unit)?;
    let nanos = value.rem_euclid(unit) * nanos_each;
    Some((value.div_euclid(unit), u32::try_from(nanos).ok()?))
}

/// The significand is a number of any length in two's complement, the highest byte first.
fn floating(significand: &[u8], exponent: i32, row: &mut RowBuffer) {
    let negative = significand.first().is_some_and(|byte| byte & 0x80 != 0);
    let start: i128 = if negative { -1 } else { 0 };
    let value = significand.iter().fold(start, |value, byte| (value << 8) | i128::from(*byte));
    let mut text = String::new();
    match exponent {
        0..=MAX_ZEROS if value != 0 => {
            push_decimal(value, 0, &mut text);
            text.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize));
        }
        _ if value == 0 => text.push('0'),
        _ if (-MAX_ZEROS..0).contains(&exponent) => push_decimal(value, exponent.unsigned_abs(), &mut text),
        _ => text = format!("{value}e{exponent}"),
    }
    row.decimal(&text);
}

fn malformed(error: &ArrowError) -> DecodeError {
    DecodeError::Malformed(error.to_string())
}

/// The first value of a stream where that is text; `Some(None)` when there is no row.
pub(crate) fn first_text(stream: &[u8]) -> Option<Option<String>> {
    let mut batches = Batches::of(stream);
    while let Some(batch) = batches.next().ok()? {
        if batch.num_rows() == 0 {
            continue;
        }
        let texts: &StringArray = batch.columns().first()?.as_any().downcast_ref()?;
        return Some((!texts.is_null(0)).then(|| texts.value(0).to_owned()));
    }
    Some(None)
}

#[cfg(test)]
pub(crate) mod tests;
