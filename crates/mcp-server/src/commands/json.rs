//! JSON for programs, harmless on a terminal.

use serde::Serialize;
use serde_json::Value;

use crate::visible::visible_json;

/// One document on one line.
pub(super) fn line(document: &impl Serialize) -> String {
    // The documents hold nothing that JSON cannot: text, numbers, truth values and JSON itself.
    let value = serde_json::to_value(document).unwrap_or_default();
    let mut out = String::new();
    write(&mut out, &value);
    out.push('\n');
    out
}

/// JSON in which hidden characters are escapes: the same value, harmless on a terminal.
pub(super) fn write(out: &mut String, value: &Value) {
    out.push_str(&visible_json(&value.to_string()));
}
