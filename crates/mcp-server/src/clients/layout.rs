//! How a JSON text is laid out, so that what is added looks like what is there.

use jsonc_parser::ast::{Object, ObjectProp};
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

const INDENT: &str = "  ";

/// The line ends and the indentation of a text.
#[derive(Debug)]
pub(super) struct Layout<'a> {
    text: &'a str,
    newline: &'static str,
    unit: &'a str,
    one_line: bool,
}

impl<'a> Layout<'a> {
    /// As the first line end and the first member of `root` show it.
    pub(super) fn of(text: &'a str, root: Option<&Object<'_>>) -> Self {
        let newline = match text.find('\n') {
            Some(at) if text.get(..at).is_some_and(|line| line.ends_with('\r')) => "\r\n",
            Some(_) | None => "\n",
        };
        let mut layout = Self { text, newline, unit: INDENT, one_line: false };
        if let Some(root) = root {
            let outer = layout.indent_of(root.range.start);
            let first = root.properties.first().map(|first| first.range.start);
            let inner = first.filter(|&start| layout.starts_line(start)).map(|start| layout.indent_of(start));
            layout.unit =
                inner.and_then(|inner| inner.strip_prefix(outer)).filter(|u| !u.is_empty()).unwrap_or(INDENT);
            layout.one_line = !root.properties.is_empty() && !layout.breaks(root);
        }
        layout
    }

    /// The line end of this text.
    pub(super) fn newline(&self) -> &'static str {
        self.newline
    }

    /// A member and the blanks before it.
    pub(super) fn property(&self, object: &Object<'_>, name: &str, value: &Value) -> String {
        let name = Value::from(name);
        if self.is_inline(object) {
            let (gap, colon) = if self.text.contains("\": ") { (" ", ": ") } else { ("", ":") };
            let gap = if object.properties.is_empty() { "" } else { gap };
            return format!("{gap}{name}{colon}{value}");
        }
        let indent = self.member_indent(object);
        format!("{}{indent}{name}: {}", self.newline, self.pretty(value, &indent))
    }

    /// A value in the place of the one that `property` has.
    pub(super) fn value_at(&self, property: &ObjectProp<'_>, value: &Value) -> String {
        if self.starts_line(property.range.start) {
            self.pretty(value, self.indent_of(property.range.start))
        } else {
            value.to_string()
        }
    }

    /// What an object that was empty needs before its closing brace.
    pub(super) fn before_closing(&self, object: &Object<'_>) -> String {
        if self.is_inline(object) || self.breaks(object) {
            return String::new();
        }
        format!("{}{}", self.newline, self.indent_of(object.range.start))
    }

    /// Over several lines, each but the first behind `indent`.
    pub(super) fn pretty(&self, value: &Value, indent: &str) -> String {
        let mut out = Vec::new();
        let formatter = PrettyFormatter::with_indent(self.unit.as_bytes());
        // A value of text keys written to memory has nothing to fail on.
        let _ = value.serialize(&mut Serializer::with_formatter(&mut out, formatter));
        String::from_utf8_lossy(&out).replace('\n', &format!("{}{indent}", self.newline))
    }

    fn is_inline(&self, object: &Object<'_>) -> bool {
        if object.properties.is_empty() { self.one_line } else { !self.breaks(object) }
    }

    fn breaks(&self, object: &Object<'_>) -> bool {
        self.text.get(object.range.start..object.range.end).is_some_and(|text| text.contains('\n'))
    }

    fn member_indent(&self, object: &Object<'_>) -> String {
        let mut members = object.properties.iter().rev().map(|member| member.range.start);
        match members.find(|&start| self.starts_line(start)) {
            Some(start) => self.indent_of(start).to_owned(),
            None => format!("{}{}", self.indent_of(object.range.start), self.unit),
        }
    }

    fn line_to(&self, at: usize) -> &'a str {
        let before = self.text.get(..at).unwrap_or_default();
        before.rfind('\n').and_then(|newline| before.get(newline + 1..)).unwrap_or(before)
    }

    fn starts_line(&self, at: usize) -> bool {
        self.line_to(at).chars().all(is_blank)
    }

    fn indent_of(&self, at: usize) -> &'a str {
        let line = self.line_to(at);
        line.get(..line.len() - line.trim_start_matches(is_blank).len()).unwrap_or_default()
    }
}

/// What JSON counts as a blank.
pub(super) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Where the last thing that is no blank ends between `start` and `end`.
pub(super) fn content_end(text: &str, start: usize, end: usize) -> usize {
    start + text.get(start..end).unwrap_or_default().trim_end_matches(is_blank).len()
}
