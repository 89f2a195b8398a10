//! Just enough of SQLite's lexis to say where something stands in a statement.
//!
//! Nothing here decides what is allowed: that is the engine's part.

use std::ops::Range;

/// What a piece of a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// White space or a comment.
    Trivia,
    /// A keyword, a name or a number.
    Word,
    /// A name in quotes or brackets.
    QuotedName,
    /// A text.
    Text,
    /// A semicolon.
    Semicolon,
    /// Anything else, one character.
    Symbol,
}

/// A piece of a statement and where it stands, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Range<usize>,
}

/// The pieces of `sql`, one after the other, with nothing left out.
pub(crate) fn tokens(sql: &str) -> impl Iterator<Item = Token> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = sql.get(at..).filter(|rest| !rest.is_empty())?;
        let (kind, length) = first_token(rest);
        let span = at..at + length;
        at = span.end;
        Some(Token { kind, span })
    })
}

fn first_token(rest: &str) -> (TokenKind, usize) {
    let Some(first) = rest.chars().next() else { return (TokenKind::Trivia, 0) };
    let up_to = |end: Option<usize>| end.unwrap_or(rest.len());
    match first {
        '-' if rest.starts_with("--") => (TokenKind::Trivia, up_to(rest.find('\n').map(|at| at + 1))),
        '/' if rest.starts_with("/*") => (TokenKind::Trivia, up_to(rest[2..].find("*/").map(|at| at + 4))),
        ' ' | '\t' | '\n' | '\r' | '\u{c}' => {
            (TokenKind::Trivia, up_to(rest.find(|c| !matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}'))))
        }
        '\'' => (TokenKind::Text, quoted(rest, b'\'')),
        '"' => (TokenKind::QuotedName, quoted(rest, b'"')),
        '`' => (TokenKind::QuotedName, quoted(rest, b'`')),
        '[' => (TokenKind::QuotedName, up_to(rest.find(']').map(|at| at + 1))),
        ';' => (TokenKind::Semicolon, 1),
        c if is_word(c) => (TokenKind::Word, up_to(rest.find(|c| !is_word(c)))),
        c => (TokenKind::Symbol, c.len_utf8()),
    }
}

/// The length of a quoted piece; a doubled quote does not end it.
fn quoted(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut at = 1;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == quote {
            if bytes.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    rest.len()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

/// The names and keywords of `sql`, without their quotes.
pub(crate) fn names(sql: &str) -> impl Iterator<Item = &str> {
    tokens(sql).filter_map(|token| match token.kind {
        TokenKind::Word => sql.get(token.span),
        TokenKind::QuotedName => sql.get(token.span.start + 1..token.span.end.saturating_sub(1)),
        _ => None,
    })
}

/// A place in a text as people count: from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Place {
    /// Where byte `offset` of `sql` stands.
    pub(crate) fn of(sql: &str, offset: usize) -> Self {
        let offset = (0..=offset.min(sql.len())).rev().find(|&at| sql.is_char_boundary(at)).unwrap_or(0);
        let before = &sql[..offset];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is not one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOne {
    /// Nothing but white space and comments.
    Empty,
    /// A NUL, at which the engine would stop reading.
    Nul(usize),
    /// Another statement begins here.
    Second(usize),
}

/// Where the statement in `sql` begins and ends, without the semicolons and comments around it.
///
/// Empty statements between others are found here because the engine copies the rest of the text for every one of
/// them: a megabyte of semicolons would keep it busy for minutes.
pub(crate) fn statement_span(sql: &str) -> Result<Range<usize>, NotOne> {
    if let Some(at) = sql.find('\0') {
        return Err(NotOne::Nul(at));
    }
    let (mut start, mut end, mut semicolons) = (None, 0, 0);
    for token in tokens(sql) {
        match token.kind {
            TokenKind::Trivia => {}
            TokenKind::Semicolon => semicolons += 1,
            _ if start.is_some() && semicolons > 1 => return Err(NotOne::Second(token.span.start)),
            _ => {
                start.get_or_insert(token.span.start);
                (end, semicolons) = (token.span.end, 0);
            }
        }
    }
    start.map(|start| start..end).ok_or(NotOne::Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cover_the_whole_text() {
        for sql in [
            "",
            "select 'it''s' -- c\n, \"a\"\"b\" /* x */ [c d];é '",
            "/* open",
            "'",
            "[",
            "-",
            "/*/",
            "\"\"",
        ] {
            let joined: String = tokens(sql).map(|token| &sql[token.span]).collect();
            assert_eq!(joined, sql);
        }
    }

    #[test]
    fn one_statement_is_found_among_semicolons_and_comments() {
        let sql = " ; /* a; */ select ';' -- b;\n ; ;; -- end";
        let span = statement_span(sql).unwrap();
        assert_eq!(&sql[span], "select ';'");
    }

    #[test]
    fn what_is_not_one_statement_is_told() {
        assert_eq!(statement_span(" -- nothing\n;"), Err(NotOne::Empty));
        assert_eq!(statement_span("select 1\0"), Err(NotOne::Nul(8)));
        assert_eq!(statement_span("a;;b"), Err(NotOne::Second(3)));
    }

    #[test]
    fn a_megabyte_of_semicolons_is_read_at_once() {
        let started = std::time::Instant::now();
        let sql = format!("select 1{}select 2", ";".repeat(1 << 20));
        assert!(statement_span(&sql).is_err());
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn places_count_lines_and_characters_from_one() {
        assert_eq!(Place::of("a\né=b", 4), Place { line: 2, column: 2 });
        assert_eq!(Place::of("é", 1), Place { line: 1, column: 1 });
        assert_eq!(Place::of("", 9), Place { line: 1, column: 1 });
    }

    #[test]
    fn names_lose_their_quotes() {
        assert_eq!(names("from \"a b\", [c] x 'no'").collect::<Vec<_>>(), ["from", "a b", "c", "x"]);
    }
}
