//! Edits of one entry in a JSON text with comments that leave every other byte as it is.

use jsonc_parser::ast::{Object, ObjectProp, Value as Node};
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};
use serde_json::{Map, Value};

use super::layout::{Layout, content_end, is_blank};

const BOM: char = '\u{feff}';

/// Why a text cannot be edited, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct Unfit {
    /// The line, from 1.
    pub line: usize,
    /// The character in that line, from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: String,
}

/// The named entries of the object at `key`, in their order.
pub fn entries(text: &str, key: &str) -> Result<Vec<(String, Value)>, Unfit> {
    let parsed = Parsed::read(body(text))?;
    let Some(servers) = parsed.servers(key)? else { return Ok(Vec::new()) };
    let entry =
        |property: &ObjectProp<'_>| (property.name.as_str().to_owned(), Value::from(property.value.clone()));
    Ok(servers.properties.iter().map(entry).collect())
}

/// Whether the text has the object at `key`.
pub fn has_key(text: &str, key: &str) -> bool {
    Parsed::read(body(text)).is_ok_and(|parsed| parsed.servers(key).is_ok_and(|servers| servers.is_some()))
}

/// The text with `entry` under `name` in the object at `key`, which is made where it is missing.
pub fn with_entry(text: &str, key: &str, name: &str, entry: &Value) -> Result<String, Unfit> {
    edit(text, |parsed| {
        let Some(root) = &parsed.root else { return Ok(fresh(parsed.text, key, name, entry)) };
        let Some(servers) = parsed.servers(key)? else {
            return Ok(parsed.inserted(root, key, &object(name, entry)));
        };
        Ok(match find(servers, name) {
            None => parsed.inserted(servers, name, entry),
            Some((_, old)) if Value::from(old.value.clone()) == *entry => Vec::new(),
            Some((_, old)) => vec![parsed.replaced(old, entry)],
        })
    })
}

/// The text without the entry `name`, and without the object at `key` when nothing else is in it, unless `keep_key`.
pub fn without_entry(text: &str, key: &str, name: &str, keep_key: bool) -> Result<String, Unfit> {
    edit(text, |parsed| {
        let (Some(root), Some(servers)) = (&parsed.root, parsed.servers(key)?) else { return Ok(Vec::new()) };
        let Some((place, entry)) = find(servers, name) else { return Ok(Vec::new()) };
        if keep_key || !parsed.is_alone(servers, entry) {
            return Ok(parsed.removed(servers, place));
        }
        Ok(find(root, key).map_or_else(Vec::new, |(place, _)| parsed.removed(root, place)))
    })
}

/// A stretch of the text and what stands there afterwards.
#[derive(Debug)]
struct Edit {
    start: usize,
    end: usize,
    text: String,
}

impl Edit {
    fn insert(at: usize, text: impl Into<String>) -> Self {
        Self { start: at, end: at, text: text.into() }
    }

    fn remove(start: usize, end: usize) -> Self {
        Self { start, end, text: String::new() }
    }
}

struct Parsed<'a> {
    text: &'a str,
    root: Option<Object<'a>>,
    tokens: Vec<TokenAndRange<'a>>,
    layout: Layout<'a>,
}

impl<'a> Parsed<'a> {
    fn read(text: &'a str) -> Result<Self, Unfit> {
        let collect = CollectOptions { tokens: true, comments: CommentCollectionStrategy::AsTokens };
        let found = parse_to_ast(text, &collect, &json_with_comments()).map_err(|error| Unfit {
            line: error.line_display(),
            column: error.column_display(),
            reason: error.kind().to_string(),
        })?;
        let root = match found.value {
            None => None,
            Some(Node::Object(root)) => Some(root),
            Some(other) => return Err(unfit(text, other.range().start, "the file must hold one object { }")),
        };
        let layout = Layout::of(text, root.as_ref());
        Ok(Self { text, root, tokens: found.tokens.unwrap_or_default(), layout })
    }

    fn servers(&self, key: &str) -> Result<Option<&Object<'a>>, Unfit> {
        let Some((_, property)) = self.root.as_ref().and_then(|root| find(root, key)) else {
            return Ok(None);
        };
        match &property.value {
            Node::Object(servers) => Ok(Some(servers)),
            other => Err(unfit(self.text, other.range().start, &format!("{key:?} must be an object {{ }}"))),
        }
    }

    /// The comma that follows the token ending at `end`, with only comments between.
    fn comma_after(&self, end: usize) -> Option<&TokenAndRange<'a>> {
        let mut after = self.tokens.iter().filter(|token| token.range.start >= end);
        after.find(|token| !is_comment(token)).filter(|token| token.token == Token::Comma)
    }

    fn comma_before(&self, start: usize) -> Option<&TokenAndRange<'a>> {
        let mut before = self.tokens.iter().rev().filter(|token| token.range.end <= start);
        before.find(|token| !is_comment(token)).filter(|token| token.token == Token::Comma)
    }

    /// From where on a property goes: with the blanks before it, unless something would slip into a comment.
    fn start_of_removal(&self, object: &Object<'_>, property: &ObjectProp<'_>, end: usize) -> usize {
        let start = property.range.start;
        let before = self.tokens.iter().rfind(|token| token.range.end <= start);
        let commented = before.is_some_and(|token| matches!(token.token, Token::CommentLine(_)));
        let rest = self.text.get(end..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let ends_line =
            rest.chars().all(is_blank) && self.text.get(end..).is_some_and(|rest| rest.contains('\n'));
        if commented && !ends_line { start } else { content_end(self.text, object.range.start + 1, start) }
    }

    /// Behind the last thing in the object, in the style of what is there.
    fn inserted(&self, object: &Object<'_>, name: &str, value: &Value) -> Vec<Edit> {
        let last = object.properties.last();
        let trailing = last.is_some_and(|last| self.comma_after(last.range.end).is_some());
        let at = content_end(self.text, object.range.start + 1, object.range.end - 1);
        let mut edits = Vec::new();
        if let Some(last) = last.filter(|_| !trailing) {
            edits.push(Edit::insert(last.range.end, ","));
        }
        let mut text = self.layout.property(object, name, value);
        if trailing {
            text.push(',');
        }
        if last.is_none() {
            text.push_str(&self.layout.before_closing(object));
        }
        edits.push(Edit::insert(at, text));
        edits
    }

    fn replaced(&self, old: &ObjectProp<'_>, value: &Value) -> Edit {
        let range = old.value.range();
        let text = self.layout.value_at(old, value);
        Edit { start: range.start, end: range.end, text }
    }

    fn removed(&self, object: &Object<'_>, place: usize) -> Vec<Edit> {
        let Some(property) = object.properties.get(place) else { return Vec::new() };
        if self.is_alone(object, property) {
            return vec![Edit::remove(object.range.start + 1, object.range.end - 1)];
        }
        let after = self.comma_after(property.range.end);
        let end = after.map_or(property.range.end, |comma| comma.range.end);
        let start = self.start_of_removal(object, property, end);
        let comma = after.or_else(|| self.comma_before(property.range.start));
        let mut edits = vec![Edit::remove(start, property.range.end)];
        edits.extend(comma.map(|comma| Edit::remove(comma.range.start, comma.range.end)));
        edits
    }

    /// Whether nothing but blanks and a comma is in the object beside the property.
    fn is_alone(&self, object: &Object<'_>, property: &ObjectProp<'_>) -> bool {
        let before = self.text.get(object.range.start + 1..property.range.start);
        let after = self.text.get(property.range.end..object.range.end - 1);
        let blank =
            |text: Option<&str>| text.is_some_and(|text| text.chars().all(|c| c == ',' || is_blank(c)));
        blank(before) && blank(after)
    }
}

/// What the clients' own readers take; the looser forms of JSON5 they do not.
fn json_with_comments() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn is_comment(token: &TokenAndRange<'_>) -> bool {
    matches!(token.token, Token::CommentLine(_) | Token::CommentBlock(_))
}

fn body(text: &str) -> &str {
    text.strip_prefix(BOM).unwrap_or(text)
}

fn edit(text: &str, change: impl FnOnce(&Parsed<'_>) -> Result<Vec<Edit>, Unfit>) -> Result<String, Unfit> {
    let body = body(text);
    let mut edits = change(&Parsed::read(body)?)?;
    // Stable: what is inserted at one place stays in its order.
    edits.sort_by_key(|edit| (edit.start, edit.end));
    let mut out = String::from(text.get(..text.len() - body.len()).unwrap_or_default());
    let mut done = 0;
    for edit in edits {
        out.push_str(body.get(done..edit.start).unwrap_or_default());
        out.push_str(&edit.text);
        done = edit.end;
    }
    out.push_str(body.get(done..).unwrap_or_default());
    Ok(out)
}

/// The last of a name counts, as in every reader of JSON.
fn find<'o, 'a>(object: &'o Object<'a>, name: &str) -> Option<(usize, &'o ObjectProp<'a>)> {
    object.properties.iter().enumerate().rfind(|(_, property)| property.name.as_str() == name)
}

fn object(name: &str, value: &Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), value.clone())]))
}

/// A document of its own, behind the comments that may be all there is.
fn fresh(text: &str, key: &str, name: &str, entry: &Value) -> Vec<Edit> {
    let layout = Layout::of(text, None);
    let at = content_end(text, 0, text.len());
    let before = if at == 0 { "" } else { layout.newline() };
    let after = if at == text.len() { layout.newline() } else { "" };
    let document = layout.pretty(&object(key, &object(name, entry)), "");
    vec![Edit::insert(at, format!("{before}{document}{after}"))]
}

fn unfit(text: &str, at: usize, reason: &str) -> Unfit {
    let before = text.get(..at).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Unfit {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
#[path = "document_tests.rs"]
mod tests;
