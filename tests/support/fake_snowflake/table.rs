//! Results as the service holds them: typed columns, typed cells, and a sample of every type there is.

use serde::{Deserialize, Serialize};

/// A finished result.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// What kind of statement made it, by the drivers' numbers.
    pub(super) statement_type: u32,
    /// Rows changed by a statement that changes rows.
    pub(super) changed: u64,
    /// The service kept only a part of it.
    pub(super) cut: bool,
}

/// A column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) nullable: bool,
}

/// Snowflake's types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Fixed { precision: u8, scale: u8 },
    Real,
    DecFloat,
    Text,
    Boolean,
    Binary,
    Date,
    Time { scale: u8 },
    TimestampNtz { scale: u8 },
    TimestampLtz { scale: u8 },
    TimestampTz { scale: u8 },
    Variant,
    Object,
    Array,
    Geography,
    Vector { dimension: u8 },
}

/// A value. Numbers with a scale are integers of that scale; times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Cell {
    Null,
    Integer(i128),
    Real(f64),
    DecFloat { significand: i64, exponent: i16 },
    Text(String),
    Boolean(bool),
    Binary(Vec<u8>),
    Days(i32),
    Nanos(i64),
    Zoned { nanos: i64, offset_minutes: i32 },
    Vector(Vec<f32>),
}

impl Kind {
    /// Its name in a row type.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fixed { .. } => "fixed",
            Self::Real => "real",
            Self::DecFloat => "decfloat",
            Self::Text => "text",
            Self::Boolean => "boolean",
            Self::Binary => "binary",
            Self::Date => "date",
            Self::Time { .. } => "time",
            Self::TimestampNtz { .. } => "timestamp_ntz",
            Self::TimestampLtz { .. } => "timestamp_ltz",
            Self::TimestampTz { .. } => "timestamp_tz",
            Self::Variant => "variant",
            Self::Object | Self::Geography => "object",
            Self::Array => "array",
            Self::Vector { .. } => "vector",
        }
    }

    /// Digits in all, where the type counts them.
    pub(super) fn precision(self) -> Option<u8> {
        match self {
            Self::Fixed { precision, .. } => Some(precision),
            Self::DecFloat => Some(38),
            Self::Time { .. }
            | Self::TimestampNtz { .. }
            | Self::TimestampLtz { .. }
            | Self::TimestampTz { .. } => Some(0),
            _ => None,
        }
    }

    /// Digits after the point, where the type has them.
    pub(super) fn scale(self) -> Option<u8> {
        match self {
            Self::Fixed { scale, .. }
            | Self::Time { scale }
            | Self::TimestampNtz { scale }
            | Self::TimestampLtz { scale }
            | Self::TimestampTz { scale } => Some(scale),
            _ => None,
        }
    }

    /// The longest value, where the type bounds it.
    pub(super) fn length(self) -> Option<u32> {
        match self {
            Self::Text => Some(16_777_216),
            Self::Binary => Some(8_388_608),
            _ => None,
        }
    }
}

impl Column {
    pub(super) fn new(name: &str, kind: Kind) -> Self {
        Self { name: name.to_owned(), kind, nullable: true }
    }
}

/// Of a statement that only selects.
pub(super) const SELECT: u32 = 4096;
/// Of a statement about the session.
pub(super) const SESSION: u32 = 16_384;

impl Table {
    /// One row with one text, as most commands answer.
    pub(super) fn message(text: &str, statement_type: u32) -> Self {
        Self {
            columns: vec![Column::new("status", Kind::Text)],
            rows: vec![vec![Cell::Text(text.to_owned())]],
            statement_type,
            ..Self::default()
        }
    }

    /// Numbered rows with a text of `width` bytes.
    pub(super) fn numbered(rows: usize, width: usize) -> Self {
        let fixed = Kind::Fixed { precision: 18, scale: 0 };
        let row = |n: usize| vec![Cell::Integer(n as i128), Cell::Text(format!("{n:0>width$}"))];
        Self {
            columns: vec![Column::new("N", fixed), Column::new("S", Kind::Text)],
            rows: (0..rows).map(row).collect(),
            statement_type: SELECT,
            ..Self::default()
        }
    }

    /// Rows of every type; each third row is all null.
    pub(super) fn all_types(rows: usize) -> Self {
        let sample = samples();
        let columns = sample.iter().map(|(name, kind, ..)| Column::new(name, *kind)).collect();
        let row = |n: usize| match n % 3 {
            0 => sample.iter().map(|(_, _, usual, _)| usual.clone()).collect(),
            1 => sample.iter().map(|(_, _, _, edge)| edge.clone()).collect(),
            _ => vec![Cell::Null; sample.len()],
        };
        let rows = (0..rows).map(row).collect();
        Self { columns, rows, statement_type: SELECT, ..Self::default() }
    }
}

/// Name, type, a usual value, and one from the edge.
fn samples() -> Vec<(&'static str, Kind, Cell, Cell)> {
    let text = |text: &str| Cell::Text(text.to_owned());
    let fixed = |precision, scale| Kind::Fixed { precision, scale };
    // 2021-03-19 17:13:39.123456789 UTC, and one and a half seconds before the epoch.
    let (then, before) = (1_616_174_019_123_456_789, -1_500_000_000);
    let zoned = |nanos, offset_minutes| Cell::Zoned { nanos, offset_minutes };
    let nines = 10_i128.pow(38) - 1;
    vec![
        ("C_TINY", fixed(2, 0), Cell::Integer(42), Cell::Integer(-99)),
        ("C_SHORT", fixed(4, 1), Cell::Integer(1234), Cell::Integer(-9999)),
        ("C_INTEGER", fixed(9, 0), Cell::Integer(123_456_789), Cell::Integer(-999_999_999)),
        ("C_LONG", fixed(18, 0), Cell::Integer(1), Cell::Integer(999_999_999_999_999_999)),
        ("C_NUMBER", fixed(38, 0), Cell::Integer(nines), Cell::Integer(-nines)),
        ("C_DECIMAL", fixed(38, 10), Cell::Integer(12_345_678_901_234), Cell::Integer(-1)),
        ("C_REAL", Kind::Real, Cell::Real(1.5), Cell::Real(-2.2250738585072014e-308)),
        (
            "C_DECFLOAT",
            Kind::DecFloat,
            Cell::DecFloat { significand: 12345, exponent: -2 },
            Cell::DecFloat { significand: -7, exponent: 200 },
        ),
        ("C_TEXT", Kind::Text, text("plain"), text("quote \" newline \n ünï 雪 \u{1F600}")),
        ("C_BOOLEAN", Kind::Boolean, Cell::Boolean(true), Cell::Boolean(false)),
        ("C_BINARY", Kind::Binary, Cell::Binary(vec![0xde, 0xad]), Cell::Binary(vec![])),
        ("C_DATE", Kind::Date, Cell::Days(18_262), Cell::Days(-719_162)),
        ("C_TIME", Kind::Time { scale: 9 }, Cell::Nanos(82_919_000_000_001), Cell::Nanos(86_399_999_999_999)),
        ("C_NTZ", Kind::TimestampNtz { scale: 9 }, Cell::Nanos(then), Cell::Nanos(before)),
        (
            "C_NTZ3",
            Kind::TimestampNtz { scale: 3 },
            Cell::Nanos(1_616_174_019_123_000_000),
            Cell::Nanos(before),
        ),
        ("C_LTZ", Kind::TimestampLtz { scale: 9 }, Cell::Nanos(then), Cell::Nanos(before)),
        ("C_TZ", Kind::TimestampTz { scale: 9 }, zoned(then, 60), zoned(before, -480)),
        ("C_TZ3", Kind::TimestampTz { scale: 3 }, zoned(1_616_174_019_123_000_000, 330), zoned(before, 0)),
        ("C_VARIANT", Kind::Variant, text("{\"a\": [1, null]}"), text("null")),
        ("C_OBJECT", Kind::Object, text("{\n  \"k\": \"v\"\n}"), text("{}")),
        ("C_ARRAY", Kind::Array, text("[\n  1,\n  undefined\n]"), text("[]")),
        (
            "C_GEOGRAPHY",
            Kind::Geography,
            text("{\"coordinates\":[1,2],\"type\":\"Point\"}"),
            text("{\"coordinates\":[-180,90],\"type\":\"Point\"}"),
        ),
        (
            "C_VECTOR",
            Kind::Vector { dimension: 2 },
            Cell::Vector(vec![1.5, -2.0]),
            Cell::Vector(vec![0.0, 1e10]),
        ),
    ]
}
