//! Rows as JSON objects, one a line: every value as the tools answer it.

use std::collections::HashSet;
use std::fmt::Write as _;

use registry_core::results::{ColumnMeta, Row};
use serde_json::Value;

use crate::visible::visible_json;

/// The keys that every row's object has, as they are written.
#[derive(Debug, Default)]
pub struct Keys(Vec<String>);

impl Keys {
    /// The names of the columns.
    pub fn of(columns: &[ColumnMeta]) -> Self {
        let written = |name: String| {
            let mut key = String::new();
            write_json(&mut key, &Value::from(name));
            key + ":"
        };
        Self(distinct_names(columns).into_iter().map(written).collect())
    }
}

/// `row` as an object with these keys, appended to `out`.
pub fn write_object(out: &mut String, keys: &Keys, row: &Row) {
    out.push('{');
    for (place, (key, value)) in keys.0.iter().zip(row).enumerate() {
        if place > 0 {
            out.push(',');
        }
        out.push_str(key);
        write_json(out, value);
    }
    out.push('}');
}

/// JSON in which hidden characters are escapes, appended to `out`: the same value, harmless to whoever looks at it.
pub fn write_json(out: &mut String, value: &Value) {
    match value {
        // None of their characters is hidden, and writing to a string cannot fail.
        Value::Null | Value::Bool(_) | Value::Number(_) => _ = write!(out, "{value}"),
        Value::String(_) | Value::Array(_) | Value::Object(_) => {
            out.push_str(&visible_json(&value.to_string()));
        }
    }
}

/// Names as keys of an object: a repeated one gets a number.
fn distinct_names(columns: &[ColumnMeta]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = Vec::new();
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        names.push(name);
    }
    names
}
