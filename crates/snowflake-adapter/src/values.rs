//! One meaning for every type of Snowflake, whichever protocol and format carried the value.
//!
//! Numbers are exact, moments are text in one form, and what is not known stays as it was given: the statement has
//! succeeded, and one odd value is no reason to lose its rows.

pub(crate) mod arrow;
pub(crate) mod json;
mod number;
mod row;
#[cfg(test)]
pub(crate) mod tests;
mod time;

use registry_core::results::ColumnMeta;

pub(crate) use number::push_decimal;
pub(crate) use row::RowBuffer;
pub(crate) use time::{Zone, push_date, push_time, push_timestamp};

/// No type has more digits behind the point; a larger number is a fault of the answer.
const MAX_SCALE: u32 = 38;

/// One column of a result: its name, its type, and how its values read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) meta: ColumnMeta,
    pub(crate) kind: Kind,
    /// Digits behind the point, of a number or of a second.
    pub(crate) scale: u32,
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// NUMBER.
    Fixed,
    /// FLOAT.
    Float,
    /// DECFLOAT.
    DecFloat,
    /// BOOLEAN.
    Boolean,
    /// BINARY.
    Binary,
    /// DATE.
    Date,
    /// TIME.
    Time,
    /// TIMESTAMP_NTZ.
    TimestampNtz,
    /// TIMESTAMP_LTZ.
    TimestampLtz,
    /// TIMESTAMP_TZ.
    TimestampTz,
    /// Everything that is text already: VARCHAR, VARIANT, GEOGRAPHY, and what is not invented yet.
    Text,
}

impl Column {
    /// A column as the metadata of a result describes it.
    pub(crate) fn new(name: &str, type_name: &str, scale: Option<i64>, precision: Option<i64>) -> Self {
        let kind = Kind::of(type_name);
        let usual = if matches!(kind, Kind::Fixed) { 0 } else { 9 };
        let scale = scale.map_or(usual, |scale| u32::try_from(scale).unwrap_or_default().min(MAX_SCALE));
        let meta = ColumnMeta::new(name, sql_type(kind, type_name, scale, precision));
        Self { meta, kind, scale }
    }
}

impl Kind {
    fn of(type_name: &str) -> Self {
        match type_name.to_ascii_lowercase().as_str() {
            "fixed" | "number" => Self::Fixed,
            "real" | "float" | "double" => Self::Float,
            "decfloat" => Self::DecFloat,
            "boolean" => Self::Boolean,
            "binary" => Self::Binary,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp_ntz" => Self::TimestampNtz,
            "timestamp_ltz" => Self::TimestampLtz,
            "timestamp_tz" => Self::TimestampTz,
            _ => Self::Text,
        }
    }
}

/// The type as SQL spells it, because the reader writes SQL.
fn sql_type(kind: Kind, type_name: &str, scale: u32, precision: Option<i64>) -> String {
    match kind {
        Kind::Fixed => format!("NUMBER({},{scale})", precision.unwrap_or(38)),
        Kind::Float => "FLOAT".to_owned(),
        Kind::Time | Kind::TimestampNtz | Kind::TimestampLtz | Kind::TimestampTz => {
            format!("{}({scale})", type_name.to_ascii_uppercase())
        }
        Kind::Text if type_name.eq_ignore_ascii_case("text") => "VARCHAR".to_owned(),
        _ => type_name.to_ascii_uppercase(),
    }
}
