//! Rows as JSON objects, one a line: every value as the tools answer it.

use std::collections::HashSet;

use registry_core::results::{ColumnMeta, Row};
use serde_json::Value;

use crate::visible::visible_json;

/// `row` as an object with `names` as its keys, appended to `out`.
pub fn write_object(out: &mut String, names: &[String], row: &Row) {
    out.push('{');
    for (place, (name, value)) in names.iter().zip(row).enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_json(out, &Value::from(name.as_str()));
        out.push(':');
        write_json(out, value);
    }
    out.push('}');
}

/// JSON in which hidden characters are escapes, appended to `out`: the same value, harmless to whoever looks at it.
pub fn write_json(out: &mut String, value: &Value) {
    out.push_str(&visible_json(&value.to_string()));
}

/// Names as keys of an object: a repeated one gets a number.
pub fn distinct_names(columns: &[ColumnMeta]) -> Vec<String> {
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
