//! Text from outside made safe to show: what an eye cannot see is spelled out.
//!
//! Cells, names and error texts come from a database that strangers may write to. A line break in a cell could forge
//! the end of a table, an escape sequence could rule a terminal, a text-direction mark could turn a sentence around.
//!
//! The spelling can be read back: `\n`, `\r`, `\t` and `\u{202e}` stand for one character each, and a backslash that
//! would read as the beginning of one of them, or that stands before another backslash, is doubled. Any other backslash
//! is itself.

use std::borrow::Cow;
use std::fmt;
use std::fmt::Write as _;
use std::str::Chars;

/// Text without a hidden character other than the line breaks of its own layout; nothing else becomes the text of an
/// answer or of a progress message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VisibleText(String);

impl VisibleText {
    /// The text as it is laid out. Data in it went through [`visible`] piece by piece; whatever did not is caught here.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match spelled_out(&text, |c| c != '\n' && is_hidden(c), Backslash::Kept) {
            Cow::Borrowed(_) => Self(text),
            Cow::Owned(safe) => Self(safe),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, to be sent.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Display for VisibleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text on one line, its hidden characters written as `\n`, `\t`, `\r` or `\u{202e}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    spelled_out(text, is_hidden, Backslash::Doubled)
}

/// As [`visible`], with line breaks kept: for a person at a terminal.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    spelled_out(text, |c| c != '\n' && is_hidden(c), Backslash::Kept)
}

/// JSON whose hidden characters are JSON's own escapes: the same value, harmless where it is shown.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if !is_hidden(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            _ = write!(out, "\\u{unit:04x}");
        }
    }
    Cow::Owned(out)
}

/// What becomes of a backslash that could be taken for the beginning of a spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backslash {
    Doubled,
    Kept,
}

fn spelled_out(text: &str, hidden: impl Fn(char) -> bool, backslash: Backslash) -> Cow<'_, str> {
    let doubles = backslash == Backslash::Doubled;
    if !text.chars().any(|c| hidden(c) || (doubles && c == '\\')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' if doubles && is_ambiguous_before(rest.clone()) => out.push_str("\\\\"),
            c if hidden(c) => spell(&mut out, c),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Whether a backslash before this text would be read as more than itself.
fn is_ambiguous_before(mut rest: Chars<'_>) -> bool {
    match rest.next() {
        Some('\\' | 'n' | 'r' | 't') => true,
        Some('u') => rest.next() == Some('{'),
        // What follows is spelled with a backslash of its own.
        Some(c) => is_hidden(c),
        None => false,
    }
}

fn spell(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Control characters, text-direction marks, characters without width, tags and variation selectors. An emoji's
/// selector is spelled out too, because a run of selectors can carry a whole text that nobody sees.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_text_is_left_alone_without_a_copy() {
        for text in ["", "plain", "naïve café", "日本語", "a\u{a0}b", "👍"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
        for text in ["C:\\dir", "\\d+\\.\\w", "ends with \\", "\\u1234"] {
            assert_eq!(visible(text), text);
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
            ("heart \u{2764}\u{fe0f}", "heart \u{2764}\\u{fe0f}"),
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
        let json = serde_json::to_string(&every).unwrap();
        assert!(!visible_json(&json).chars().any(is_hidden));
        assert_eq!(serde_json::from_str::<String>(&visible_json(&json)).unwrap(), every);
    }

    /// Reads the spelling as its description says.
    fn read_back(text: &str) -> String {
        let (mut out, mut rest) = (String::new(), text);
        while let Some(c) = rest.chars().next() {
            let tail = &rest[c.len_utf8()..];
            let known = [("\\", '\\'), ("n", '\n'), ("r", '\r'), ("t", '\t')];
            if c != '\\' {
                out.push(c);
                rest = tail;
            } else if let Some((mark, meant)) = known.iter().find(|(mark, _)| tail.starts_with(mark)) {
                out.push(*meant);
                rest = &tail[mark.len()..];
            } else if let Some(spelled) = tail.strip_prefix("u{") {
                let (code, after) = spelled.split_once('}').unwrap();
                out.push(char::from_u32(u32::from_str_radix(code, 16).unwrap()).unwrap());
                rest = after;
            } else {
                out.push(c);
                rest = tail;
            }
        }
        out
    }

    #[test]
    fn what_is_spelled_out_can_be_read_back() {
        for text in
            ["C:\\temp\\new", "\\\\server", "\\\n", "\\u{202e}", "\u{202e}\\", "{\"a\":\"x\\ny\"}", "\\"]
        {
            assert_eq!(read_back(&visible(text)), text, "{}", visible(text));
        }
    }

    #[test]
    fn random_texts_show_nothing_hidden_and_can_be_read_back() {
        const LETTERS: [char; 16] = [
            '\\',
            '\\',
            'n',
            'u',
            '{',
            '}',
            '2',
            't',
            'é',
            '\n',
            '\r',
            '\t',
            '\u{202e}',
            '\u{e0041}',
            '\u{1b}',
            '\u{fe0f}',
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..100_000 {
            let mut text = String::new();
            for _ in 0..12 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(LETTERS[(state >> 60) as usize]);
            }
            let shown = visible(&text);
            assert!(!shown.chars().any(is_hidden), "{shown:?}");
            assert_eq!(read_back(&shown), text);
        }
    }

    #[test]
    fn visible_text_has_no_hidden_character_whatever_it_is_made_of() {
        let text = VisibleText::new("a\nb\u{1b}[2J\u{202e}\\n");
        assert_eq!(text.as_str(), "a\nb\\u{1b}[2J\\u{202e}\\n");
    }
}
