//! What is wrong with a text before any word of it is understood.

use crate::verdict::{Objection, Rule};

/// Longer texts are not looked at.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

/// Objects to texts that are too long, and to characters that hide what the text says.
pub(crate) fn check(sql: &str) -> Result<(), Objection> {
    if sql.len() > MAX_BYTES {
        return Err(too_long(sql.len()));
    }
    let mut characters = sql.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let ends_line = c == '\r' && matches!(characters.peek(), Some((_, '\n')));
        if is_hidden(c) && !ends_line {
            return Err(hidden(c).at(at));
        }
    }
    Ok(())
}

fn too_long(length: usize) -> Objection {
    Objection::refused(
        Rule::TextSize,
        format!("The statement has {length} bytes; at most {MAX_BYTES} are taken."),
        "Shorten it: replace long lists of values by a range or a join, or split the question over several calls.",
    )
}

fn hidden(c: char) -> Objection {
    Objection::refused(
        Rule::HiddenCharacters,
        format!(
            "The character U+{:04X} ({}) stands{{at}}; it does not show, so what is read is not what runs.",
            u32::from(c),
            name(c)
        ),
        "Remove it; inside a text value, build it with CHR() or CHAR(), or compare with a pattern instead.",
    )
}

fn name(c: char) -> &'static str {
    match c {
        '\0' => "NUL",
        '\r' => "carriage return without line feed",
        '\u{80}'..='\u{9f}' => "control character",
        _ if c.is_ascii() => "control character",
        '\u{e0000}'..='\u{e0fff}' => "tag character",
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}' => {
            "text direction mark"
        }
        '\u{2028}' | '\u{2029}' => "line separator",
        _ => "invisible character",
    }
}

/// Whether `c` takes no room, turns the writing direction, or controls a terminal.
fn is_hidden(c: char) -> bool {
    match c {
        '\t' | '\n' => false,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' => true,
        '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' => true,
        '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' | '\u{1d173}'..='\u{1d17a}' => true,
        _ => c.is_control(),
    }
}
