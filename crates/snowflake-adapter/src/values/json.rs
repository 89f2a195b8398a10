//! Values and rows in JSON: both protocols write every value as a string or null.

use std::borrow::Cow;
use std::fmt;

use registry_core::results::{Flow, ResultStoreError, ResultWriter};
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::time::parse_seconds;
use super::{Column, Kind, RowBuffer, Zone, push_date, push_time, push_timestamp};

/// Where decoded rows go.
pub(crate) struct RowSink<'w> {
    columns: &'w [Column],
    writer: &'w mut ResultWriter,
    row: RowBuffer,
    /// Rows that were taken.
    taken: u64,
    stop: Option<Stop>,
}

/// Why decoding ended before the text did.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    Full,
    Store(ResultStoreError),
}

/// What became of the rows of one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// All so many rows are stored.
    All(u64),
    /// The result takes no more.
    Full,
}

/// Why rows could not be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The text is not what it should be; what is wrong with it.
    Malformed(String),
    /// The store failed.
    Store(ResultStoreError),
}

/// Stores the rows of `text`: an array of arrays, or an object that has one under `data`.
pub(crate) fn store_rows(
    text: &[u8],
    columns: &[Column],
    writer: &mut ResultWriter,
) -> Result<Decoded, DecodeError> {
    let mut sink = RowSink { columns, writer, row: RowBuffer::default(), taken: 0, stop: None };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let parsed = Body(&mut sink).deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (sink.stop, parsed) {
        (Some(Stop::Full), _) => Ok(Decoded::Full),
        (Some(Stop::Store(error)), _) => Err(DecodeError::Store(error)),
        (None, Ok(())) => Ok(Decoded::All(sink.taken)),
        (None, Err(error)) => Err(DecodeError::Malformed(error.to_string())),
    }
}

impl RowSink<'_> {
    /// Stores the row in the buffer; `false` when nothing may follow.
    fn store(&mut self) -> bool {
        let stop = match self.writer.push(&self.row.cells()) {
            Ok(Flow::More) => None,
            Ok(Flow::Full) => Some(Stop::Full),
            Err(error) => Some(Stop::Store(error)),
        };
        self.taken += u64::from(stop.is_none());
        self.stop = stop;
        self.stop.is_none()
    }
}

impl Column {
    /// Appends a value that came as text.
    pub(crate) fn decode(&self, text: &str, row: &mut RowBuffer) {
        match self.kind {
            Kind::Fixed if self.scale == 0 => match text.parse() {
                Ok(value) => row.int(value),
                Err(_) => row.decimal(text),
            },
            Kind::Fixed | Kind::DecFloat => row.decimal(text),
            Kind::Float => match text.parse() {
                Ok(value) => row.float(value),
                Err(_) => row.text(text),
            },
            Kind::Boolean => match text {
                "true" | "TRUE" | "1" => row.bool(true),
                "false" | "FALSE" | "0" => row.bool(false),
                other => row.text(other),
            },
            Kind::Binary => row.binary(text, |out| push_hex(text, out)),
            Kind::Text => row.text(text),
            Kind::Date | Kind::Time | Kind::TimestampNtz | Kind::TimestampLtz | Kind::TimestampTz => {
                row.composed(text, |out| self.push_moment(text, out));
            }
        }
    }

    fn push_moment(&self, text: &str, out: &mut String) -> Option<()> {
        if self.kind == Kind::Date {
            return push_date(text.parse().ok()?, out);
        }
        let (moment, offset) = match text.split_once(' ') {
            Some((moment, offset)) => (moment, Some(offset)),
            None => (text, None),
        };
        let (seconds, nanos) = parse_seconds(moment)?;
        let zone = match (self.kind, offset) {
            (Kind::Time, None) => return push_time(seconds, nanos, self.scale, out),
            (Kind::TimestampNtz, None) => Zone::None,
            (Kind::TimestampLtz, None) => Zone::Utc,
            (Kind::TimestampTz, Some(offset)) => Zone::Offset(parse_offset(offset)?),
            _ => return None,
        };
        push_timestamp(seconds, nanos, self.scale, zone, out)
    }
}

/// Offsets are written as minutes after the westernmost place there could be.
fn parse_offset(text: &str) -> Option<i32> {
    let minutes: i32 = text.parse().ok().filter(|minutes| (0..=2880).contains(minutes))?;
    Some(minutes - 1440)
}

fn push_hex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    for [high, low] in pairs {
        out.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(())
}

/// The whole text.
struct Body<'s, 'w>(&'s mut RowSink<'w>);

impl<'de> DeserializeSeed<'de> for Body<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows of a result")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = false;
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            if key == "data" && !seen {
                seen = true;
                map.next_value_seed(Rows(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if seen { Ok(()) } else { Err(de::Error::missing_field("data")) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, rows: A) -> Result<(), A::Error> {
        Rows(self.0).visit_seq(rows)
    }
}

/// All rows.
struct Rows<'s, 'w>(&'s mut RowSink<'w>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(Row(self.0))?.is_some() {
            if !self.0.store() {
                return Err(de::Error::custom("no more rows are taken"));
            }
        }
        Ok(())
    }
}

/// One row, into the buffer.
struct Row<'s, 'w>(&'s mut RowSink<'w>);

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a row of {} values", self.0.columns.len())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let RowSink { columns, row, .. } = self.0;
        row.clear();
        for column in *columns {
            let value = Value { column, row: &mut *row };
            if values.next_element_seed(value)?.is_none() {
                return Err(de::Error::invalid_length(row.len(), &"as many values as columns"));
            }
        }
        match values.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(de::Error::invalid_length(row.len() + 1, &"as many values as columns")),
        }
    }
}

/// One value, into the buffer.
struct Value<'v> {
    column: &'v Column,
    row: &'v mut RowBuffer,
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or null")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.column.decode(text, self.row);
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.row.null();
        Ok(())
    }

    // Numbers and truth values are not written bare today; if they are one day, they mean the same.

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.visit_str(if value { "true" } else { "false" })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.visit_str(&value.to_string())
    }
}
