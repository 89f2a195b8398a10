//! Text from outside made safe to show: what an eye cannot see is spelled out.
//!
//! Cells, names and error texts come from a database that strangers may write to. A line break in a cell could forge
//! the end of a table, an escape sequence could rule a terminal, a text-direction mark could turn a sentence around.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text on one line, its hidden characters written as `\n`, `\t`, `\r` or `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    spelled_out(text, is_hidden)
}

/// As [`visible`], with line breaks kept: for messages of several lines.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    spelled_out(text, |c| c != '\n' && is_hidden(c))
}

fn spelled_out(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hidden(c) { spell(&mut out, c) } else { out.push(c) }
    }
    Cow::Owned(out)
}

fn spell(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a string cannot fail.
        _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Control characters, text-direction marks, characters without width, tags and variation selectors.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone_without_a_copy() {
        for text in ["", "plain", "naïve café", "日本語", "C:\\temp", "a\u{a0}b", "👍"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn hidden_characters_are_spelled_out() {
        let cases = [
            ("a\nb", "a\\nb"),
            ("a\r\n\tb", "a\\r\\n\\tb"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("evil\u{202e}txt", "evil\\u{202e}txt"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("\u{e0041}tag", "\\u{e0041}tag"),
            ("nul\0", "nul\\u{0}"),
        ];
        for (text, expected) in cases {
            assert_eq!(visible(text), expected);
        }
    }

    #[test]
    fn no_hidden_character_gets_through() {
        let every: String = ('\0'..=char::MAX).filter(|&c| is_hidden(c)).collect();
        assert!(every.chars().count() > 4000);
        assert!(!visible(&every).chars().any(is_hidden));
        assert_eq!(visible_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }
}
