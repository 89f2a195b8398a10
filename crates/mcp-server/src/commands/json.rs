//! JSON for programs, harmless on a terminal.

use serde::Serialize;

use crate::jsonl;

/// One document on one line.
pub(super) fn line(document: &impl Serialize) -> String {
    // The documents hold nothing that JSON cannot: text, numbers, truth values and JSON itself.
    let value = serde_json::to_value(document).unwrap_or_default();
    let mut out = String::new();
    jsonl::write_json(&mut out, &value);
    out.push('\n');
    out
}
