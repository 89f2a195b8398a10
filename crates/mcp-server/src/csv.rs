//! Rows as CSV: NULL is an empty cell, an empty text is `""`.

use std::borrow::Cow;

use serde_json::Value;

use crate::visible::visible;

/// What becomes of characters that an eye cannot see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// They are spelled out, so that one row is one line: for models and for terminals.
    SpelledOut,
    /// They are kept, as RFC 4180 has them: for files and pipes.
    Kept,
}

/// One line of CSV without its end, appended to `out`.
pub fn write_row(out: &mut String, row: &[Value], hidden: Hidden) {
    for (place, value) in row.iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_cell(out, value, hidden);
    }
}

/// The header line without its end, appended to `out`.
pub fn write_header<'a>(out: &mut String, names: impl IntoIterator<Item = &'a str>, hidden: Hidden) {
    for (place, name) in names.into_iter().enumerate() {
        if place > 0 {
            out.push(',');
        }
        write_text(out, name, hidden);
    }
}

fn write_cell(out: &mut String, value: &Value, hidden: Hidden) {
    match value {
        Value::Null => {}
        Value::String(text) => write_text(out, text, hidden),
        Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::Array(_) | Value::Object(_) => write_text(out, &value.to_string(), hidden),
    }
}

fn write_text(out: &mut String, text: &str, hidden: Hidden) {
    let text = match hidden {
        Hidden::SpelledOut => visible(text),
        Hidden::Kept => Cow::Borrowed(text),
    };
    if !needs_quotes(&text) {
        return out.push_str(&text);
    }
    out.push('"');
    for c in text.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(row: Value, hidden: Hidden) -> String {
        let mut out = String::new();
        write_row(&mut out, row.as_array().unwrap(), hidden);
        out
    }

    #[test]
    fn null_and_empty_text_differ() {
        assert_eq!(line(json!([null, "", "x", null]), Hidden::SpelledOut), r#","",x,"#);
    }

    #[test]
    fn cells_that_need_quotes_get_them() {
        assert_eq!(
            line(json!(["a,b", "say \"hi\"", " pad"]), Hidden::SpelledOut),
            r#""a,b","say ""hi"""," pad""#
        );
        assert_eq!(line(json!(["two\nlines"]), Hidden::Kept), "\"two\nlines\"");
        assert_eq!(line(json!(["two\nlines"]), Hidden::SpelledOut), "two\\nlines");
    }

    #[test]
    fn numbers_truth_values_and_nested_values_are_written_as_json() {
        assert_eq!(
            line(json!([1, -2.5, true, [1, 2], {"a": 1}]), Hidden::Kept),
            r#"1,-2.5,true,"[1,2]","{""a"":1}""#
        );
    }

    #[test]
    fn a_header_is_quoted_like_a_row() {
        let mut out = String::new();
        write_header(&mut out, ["id", "a,b", ""], Hidden::SpelledOut);
        assert_eq!(out, r#"id,"a,b","""#);
    }
}
