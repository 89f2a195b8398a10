//! `LIKE` and `GLOB` that can be stopped.
//!
//! SQLite's own compare a text with a pattern in one step, which takes seconds for a large text and a pattern made for
//! the purpose. These give the same answers and look at the brake on the way. What they give up is SQLite's use of an
//! index for a pattern that begins with letters.

use memchr::{memchr, memchr2};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::{Connection, Error, Result, ffi};

use crate::functions::{Texts, any_null};
use crate::stop::{Brake, Looks};

/// SQLite's own limit.
const MAX_PATTERN_BYTES: usize = 50_000;

/// Replaces the functions on `connection`.
pub(crate) fn install(connection: &Connection, flags: FunctionFlags, brake: &Brake) -> Result<()> {
    for (name, style) in [("like", Style::LIKE), ("glob", Style::GLOB)] {
        let (texts, brake) = (Texts::default(), brake.clone());
        connection
            .create_scalar_function(name, 2, flags, move |call| compare(call, &texts, style, &brake))?;
    }
    let (texts, brake) = (Texts::default(), brake.clone());
    connection.create_scalar_function("like", 3, flags, move |call| compare_escaped(call, &texts, &brake))
}

fn compare(call: &Context<'_>, texts: &Texts, style: Style, brake: &Brake) -> Result<Option<bool>> {
    if any_null(call, 2) {
        return Ok(None);
    }
    // Kept for the next row as long as the pattern is a constant.
    let pattern = match call.get_aux::<Pattern>(0)? {
        Some(pattern) => pattern,
        None => call.set_aux(0, Pattern::read(&texts.of(call.get_raw(0))?, style)?)?,
    };
    pattern.matches(&texts.of(call.get_raw(1))?, brake).map(Some)
}

fn compare_escaped(call: &Context<'_>, texts: &Texts, brake: &Brake) -> Result<Option<bool>> {
    if any_null(call, 3) {
        return Ok(None);
    }
    let escape = texts.of(call.get_raw(2))?;
    let escape = match letter(&escape, 0) {
        Some((one, end)) if end == escape.len() => one,
        _ => return Err(wrong("ESCAPE expression must be a single character")),
    };
    let pattern = Pattern::read(&texts.of(call.get_raw(0))?, Style { escape: Some(escape), ..Style::LIKE })?;
    pattern.matches(&texts.of(call.get_raw(1))?, brake).map(Some)
}

fn wrong(message: &str) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), Some(message.to_owned()))
}

/// How patterns are written.
#[derive(Clone, Copy)]
struct Style {
    any: char,
    one: char,
    sets: bool,
    folds: bool,
    escape: Option<u32>,
}

impl Style {
    const LIKE: Self = Self { any: '%', one: '_', sets: false, folds: true, escape: None };
    const GLOB: Self = Self { any: '*', one: '?', sets: true, folds: false, escape: None };
}

/// A pattern, ready to be compared.
struct Pattern {
    parts: Vec<Part>,
    folds: bool,
}

enum Part {
    /// Any number of letters.
    Any,
    /// One letter, whichever.
    One,
    Letter(u32),
    Set(Set),
    /// The pattern breaks off; no text is like it.
    Never,
}

/// Letters and ranges of letters.
struct Set {
    inverted: bool,
    ranges: Vec<(u32, u32)>,
}

/// Reads letters as SQLite does, which takes every sequence of bytes for a text.
struct Letters<'a> {
    text: &'a [u8],
    at: usize,
}

impl Letters<'_> {
    fn next(&mut self) -> Option<u32> {
        let (one, end) = letter(self.text, self.at)?;
        self.at = end;
        Some(one)
    }

    fn next_is(&self, byte: u8) -> bool {
        self.text.get(self.at) == Some(&byte)
    }
}

/// The letter at `at` and where the next one begins.
fn letter(text: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = u32::from(*text.get(at)?);
    let mut end = at + 1;
    if first < 0xc0 {
        return Some((first, end));
    }
    let bits = match first {
        0xc0..=0xdf => first & 0x1f,
        0xe0..=0xef => first & 0x0f,
        0xf0..=0xf7 => first & 0x07,
        0xf8..=0xfb => first & 0x03,
        0xfc..=0xfd => first & 0x01,
        _ => 0,
    };
    let mut one = bits;
    while let Some(byte) = text.get(end).filter(|byte| **byte & 0xc0 == 0x80) {
        one = (one << 6).wrapping_add(u32::from(byte & 0x3f));
        end += 1;
    }
    let is_none = one < 0x80 || one & 0xffff_f800 == 0xd800 || one & 0xffff_fffe == 0xfffe;
    Some((if is_none { 0xfffd } else { one }, end))
}

fn until_nul(text: &[u8]) -> &[u8] {
    memchr(0, text).map_or(text, |end| &text[..end])
}

impl Pattern {
    fn read(text: &[u8], style: Style) -> Result<Self> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(wrong("LIKE or GLOB pattern too complex"));
        }
        let mut letters = Letters { text: until_nul(text), at: 0 };
        let mut parts = Vec::new();
        while let Some(one) = letters.next() {
            let escapes = style.escape == Some(one);
            parts.push(match one {
                _ if escapes => letters.next().map_or(Part::Never, |one| style.plain(one)),
                _ if one == u32::from(style.any) => Part::Any,
                _ if one == u32::from(style.one) => Part::One,
                0x5b if style.sets => Set::read(&mut letters).map_or(Part::Never, Part::Set),
                one => style.plain(one),
            });
        }
        // What cannot be reached need not be looked for.
        if parts.iter().any(|part| matches!(part, Part::Never)) {
            parts = vec![Part::Never];
        }
        Ok(Self { parts, folds: style.folds })
    }

    /// Whether all of `text` is like this pattern.
    fn matches(&self, text: &[u8], brake: &Brake) -> Result<bool> {
        let text = until_nul(text);
        let (mut at, mut part, mut looks) = (0, 0, Looks::at(brake));
        // After `Any`: the part that follows it, and the place where that is to be tried next.
        let mut again: Option<(usize, usize)> = None;
        loop {
            if !looks.goes_on() {
                looks.finished()?;
            }
            match (self.parts.get(part), letter(text, at)) {
                (Some(Part::Any), _) if part + 1 == self.parts.len() => return Ok(true),
                (Some(Part::Any), _) => {
                    part += 1;
                    again = Some((part, at));
                }
                // Every other part needs a letter, and there will not be more of them.
                (Some(_), None) => return Ok(false),
                (Some(wanted), Some((one, end))) if wanted.accepts(one, self.folds) => {
                    (at, part) = (end, part + 1);
                    continue;
                }
                (None, None) => return Ok(true),
                _ => {
                    let Some((_, from)) = &mut again else { return Ok(false) };
                    *from = letter(text, *from).map_or(text.len(), |(_, end)| end);
                }
            }
            let Some((first, from)) = &mut again else { return Ok(false) };
            match self.seek(*first, text, *from) {
                Some(found) => (*from, at, part) = (found, found, *first),
                None => return Ok(false),
            }
        }
    }

    /// The next place where the part could begin.
    fn seek(&self, part: usize, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..).unwrap_or(&[]);
        match self.parts.get(part) {
            Some(Part::Letter(one)) if *one < 0x80 => {
                let byte = *one as u8;
                let found = match self.folds {
                    true => memchr2(byte, byte.to_ascii_uppercase(), rest),
                    false => memchr(byte, rest),
                };
                found.map(|at| from + at)
            }
            _ => Some(from),
        }
    }
}

impl Style {
    fn plain(self, one: u32) -> Part {
        Part::Letter(if self.folds { folded(one) } else { one })
    }
}

impl Part {
    fn accepts(&self, one: u32, folds: bool) -> bool {
        match self {
            Self::One => true,
            Self::Letter(wanted) => *wanted == one || (folds && *wanted == folded(one)),
            Self::Set(set) => {
                set.inverted != set.ranges.iter().any(|(low, high)| (low..=high).contains(&&one))
            }
            Self::Any | Self::Never => false,
        }
    }
}

/// Only the letters of ASCII have two cases here.
fn folded(one: u32) -> u32 {
    if (0x41..=0x5a).contains(&one) { one + 0x20 } else { one }
}

impl Set {
    /// Reads what follows the opening bracket; `None` if it is never closed.
    fn read(letters: &mut Letters<'_>) -> Option<Self> {
        let mut set = Self { inverted: false, ranges: Vec::new() };
        let mut one = letters.next()?;
        if one == u32::from('^') {
            set.inverted = true;
            one = letters.next()?;
        }
        if one == u32::from(']') {
            set.ranges.push((one, one));
            one = letters.next()?;
        }
        let mut before = None;
        while one != u32::from(']') {
            let closes = letters.next_is(b']') || letters.at == letters.text.len();
            match before.take() {
                Some(low) if one == u32::from('-') && !closes => set.ranges.push((low, letters.next()?)),
                _ => {
                    set.ranges.push((one, one));
                    before = Some(one);
                }
            }
            one = letters.next()?;
        }
        Some(set)
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    fn engines() -> (Connection, Connection) {
        let (ours, theirs) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        install(&ours, FunctionFlags::SQLITE_UTF8, &Brake::default()).unwrap();
        (ours, theirs)
    }

    fn answer(engine: &Connection, sql: &str, values: &[&[u8]]) -> std::result::Result<Value, String> {
        let values = values.iter().map(|value| value.to_vec());
        let found = engine.query_row(sql, rusqlite::params_from_iter(values), |row| row.get(0));
        found.map_err(|error| error.to_string())
    }

    /// Every text of up to so many of the letters.
    fn texts(letters: &[&[u8]], length: usize) -> Vec<Vec<u8>> {
        let mut all = vec![vec![]];
        let mut last = all.clone();
        for _ in 0..length {
            last = last.iter().flat_map(|text| letters.iter().map(|one| [text, *one].concat())).collect();
            all.extend(last.clone());
        }
        all
    }

    fn agree(form: &str, patterns: &[Vec<u8>], values: &[Vec<u8>]) {
        let (ours, theirs) = engines();
        let sql = format!("SELECT CAST(?2 AS TEXT) {form}").replace("?1", "CAST(?1 AS TEXT)");
        for pattern in patterns {
            for value in values {
                let given: [&[u8]; 2] = [pattern, value];
                assert_eq!(answer(&ours, &sql, &given), answer(&theirs, &sql, &given), "{form} {given:?}");
            }
        }
    }

    #[test]
    fn like_answers_as_the_built_in_one() {
        let letters: &[&[u8]] = &[b"a", b"B", "é".as_bytes(), b"%", b"_"];
        let values = texts(&[b"a", b"b", "é".as_bytes(), b"\xff", b"\x80"], 3);
        agree("LIKE ?1", &texts(letters, 4), &values);
    }

    #[test]
    fn like_with_an_escape_answers_as_the_built_in_one() {
        let patterns = texts(&[b"a", b"%", b"_", b"!"], 4);
        let values = texts(&[b"a", b"%", b"_", b"!"], 3);
        for escape in ["!", "%", "_", "", "ab", "é"] {
            agree(&format!("LIKE ?1 ESCAPE '{escape}'"), &patterns, &values);
        }
    }

    #[test]
    fn glob_answers_as_the_built_in_one() {
        let patterns = texts(&[b"a", b"*", b"?", b"[", b"]", b"^", b"-"], 4);
        agree("GLOB ?1", &patterns, &texts(&[b"a", b"b", b"]", b"-"], 2));
        let ranges = ["[a-c]*", "*[^a-b]c", "[c-a]", "[a-]", "[-a]", "[a-b-c]", "*[é-ü]", "[]-a]"];
        let ranges: Vec<_> = ranges.iter().map(|text| text.as_bytes().to_vec()).collect();
        agree("GLOB ?1", &ranges, &texts(&[b"a", b"b", b"c", "é".as_bytes(), b"-", b"]"], 3));
    }

    #[test]
    fn numbers_nulls_and_texts_with_a_nul_are_compared_as_before() {
        let (ours, theirs) = engines();
        for call in [
            "12 LIKE '1_'",
            "1.5 LIKE 1.5",
            "'a' LIKE NULL",
            "NULL GLOB 'a'",
            "'a' LIKE 'b' ESCAPE NULL",
            "x'610062' LIKE 'a'",
            "'a' LIKE x'610025'",
            "'a' NOT LIKE 'A'",
            "'a' LIKE CAST(zeroblob(60000) AS TEXT)",
            "x'61' GLOB x'61'",
        ] {
            let sql = format!("SELECT {call}");
            assert_eq!(answer(&ours, &sql, &[]), answer(&theirs, &sql, &[]), "{call}");
        }
    }

    #[test]
    fn a_comparison_that_takes_long_heeds_the_brake() {
        let engine = Connection::open_in_memory().unwrap();
        let brake = Brake::default();
        install(&engine, FunctionFlags::SQLITE_UTF8, &brake).unwrap();
        let stop = std::sync::Arc::new(crate::stop::Stop::default());
        brake.obey(&stop);
        stop.ask(crate::stop::Reason::Canceled);
        let sql = "SELECT hex(zeroblob(500000)) LIKE '%' || hex(zeroblob(48)) || '1'";
        let error = engine.query_row(sql, [], |_| Ok(())).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
    }
}
