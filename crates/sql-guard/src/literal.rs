//! What a text says once its quotes and escapes are gone.

use std::iter::Peekable;
use std::str::Chars;

use crate::lexer::{Piece, PieceKind};

/// The value of a text of Snowflake; none if `piece` is none.
pub(crate) fn value(piece: &Piece<'_>) -> Option<String> {
    if piece.kind != PieceKind::Text {
        return None;
    }
    match piece.text.strip_prefix("$$") {
        Some(text) => Some(text.trim_end_matches("$$").to_owned()),
        None => Some(unescaped(piece.inner())),
    }
}

fn unescaped(text: &str) -> String {
    let mut value = String::new();
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        value.push(if c == '\\' { escape(&mut characters) } else { c });
    }
    value
}

/// The character for which the signs behind a backslash stand.
fn escape(rest: &mut Peekable<Chars<'_>>) -> char {
    match rest.next() {
        Some('x') => code(rest, 0, 16, 2),
        Some('u') => code(rest, 0, 16, 4),
        Some(c @ '0'..='7') => code(rest, c.to_digit(8).unwrap_or_default(), 8, 2),
        Some('b' | 'f' | 'n' | 'r' | 't') => ' ',
        other => other.unwrap_or('\\'),
    }
}

fn code(rest: &mut Peekable<Chars<'_>>, start: u32, radix: u32, digits: usize) -> char {
    let mut code = start;
    for _ in 0..digits {
        let Some(digit) = rest.peek().and_then(|c| c.to_digit(radix)) else { break };
        code = code * radix + digit;
        rest.next();
    }
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        value(&Piece { kind: PieceKind::Text, start: 0, text })
    }

    #[test]
    fn every_way_to_write_a_character_gives_the_same_value() {
        for text in ["'@s'", "'\\@s'", "'\\x40s'", "'\\u0040s'", "'\\100s'", "$$@s$$"] {
            assert_eq!(of(text).as_deref(), Some("@s"), "{text}");
        }
        assert_eq!(of("'\\n\\t\\r\\b\\f@s'").as_deref(), Some("     @s"));
        assert_eq!(of("'\\x4z\\78\\1011\\ud800'").as_deref(), Some("\u{4}z\u{7}8A1\u{fffd}"));
        assert_eq!(of("$$\\x40s$$").as_deref(), Some("\\x40s"));
    }

    #[test]
    fn what_is_no_text_has_no_value() {
        assert_eq!(value(&Piece { kind: PieceKind::Word, start: 0, text: "s" }), None);
    }
}
