//! Text functions whose built-in forms can take hours in one step that nothing interrupts.
//!
//! SQLite looks for a text by comparing it at every place: two texts of some megabytes, all zeros but one letter, keep
//! `instr` busy for a day, and neither a progress handler nor an interrupt is asked meanwhile. These do the same in
//! time proportional to the texts.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSql, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, Error, Result, ffi};

use crate::like;
use crate::stop::{Brake, Looks};

/// Replaces the functions on `connection`. No value they make is longer than `max_bytes`.
pub(crate) fn install(connection: &Connection, max_bytes: u32, brake: &Brake) -> Result<()> {
    // Innocuous: views and indexes of a database may go on using them.
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    let max_bytes = max_bytes as usize;
    let texts = Texts::default();
    connection.create_scalar_function("instr", 2, flags, move |call| instr(call, &texts))?;
    let texts = Texts::default();
    connection.create_scalar_function("replace", 3, flags, move |call| replace(call, &texts, max_bytes))?;
    for (name, start, end) in [("trim", true, true), ("ltrim", true, false), ("rtrim", false, true)] {
        let (texts, brake) = (Texts::default(), brake.clone());
        let trim = move |call: &Context<'_>| trim(call, &texts, start, end, &brake);
        connection.create_scalar_function(name, 2, flags, trim)?;
    }
    let (texts, slowed) = (Texts::default(), brake.clone());
    connection.create_scalar_function("unhex", 2, flags, move |call| unhex(call, &texts, &slowed))?;
    like::install(connection, flags, brake)
}

/// Arguments as SQLite's text. It alone knows how it writes a floating-point number, so it is asked.
#[derive(Default)]
pub(crate) struct Texts(OnceCell<Connection>);

impl Texts {
    pub(crate) fn of<'a>(&self, value: ValueRef<'a>) -> Result<Cow<'a, [u8]>> {
        Ok(match value {
            ValueRef::Null => Cow::Borrowed(&[]),
            ValueRef::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
            ValueRef::Real(number) => Cow::Owned(self.written(number)?.into_bytes()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Cow::Borrowed(bytes),
        })
    }

    fn written(&self, number: f64) -> Result<String> {
        let engine = match self.0.get() {
            Some(engine) => engine,
            None => {
                let opened = Connection::open_in_memory()?;
                self.0.get_or_init(|| opened)
            }
        };
        engine.prepare_cached("SELECT CAST(?1 AS TEXT)")?.query_row([number], |row| row.get(0))
    }
}

/// A text as bytes, because SQLite's need not be UTF-8.
struct Text(Vec<u8>);

impl ToSql for Text {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

pub(crate) fn any_null(call: &Context<'_>, first: usize) -> bool {
    (0..first).any(|at| call.get_raw(at).data_type() == Type::Null)
}

fn instr(call: &Context<'_>, texts: &Texts) -> Result<Option<i64>> {
    if any_null(call, 2) {
        return Ok(None);
    }
    let (hay, needle) = (call.get_raw(0), call.get_raw(1));
    let bytes = hay.data_type() == Type::Blob && needle.data_type() == Type::Blob;
    let (hay, needle) = (texts.of(hay)?, texts.of(needle)?);
    let place = memmem::find(&hay, &needle).map_or(0, |at| {
        let before = &hay[..at];
        1 + if bytes { before.len() } else { before.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() }
    });
    Ok(i64::try_from(place).ok())
}

fn replace(call: &Context<'_>, texts: &Texts, max_bytes: usize) -> Result<Option<Text>> {
    if any_null(call, 2) {
        return Ok(None);
    }
    let (text, from) = (texts.of(call.get_raw(0))?, texts.of(call.get_raw(1))?);
    if from.is_empty() {
        return Ok(Some(Text(text.into_owned())));
    }
    if any_null(call, 3) {
        return Ok(None);
    }
    let to = texts.of(call.get_raw(2))?;
    let mut replaced = Vec::with_capacity(text.len());
    let mut copied = 0;
    let too_long = || Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_TOOBIG), None);
    for at in memmem::find_iter(&text, &from) {
        let kept = &text[copied..at];
        if replaced.len() + kept.len() + to.len() > max_bytes {
            return Err(too_long());
        }
        replaced.extend_from_slice(kept);
        replaced.extend_from_slice(&to);
        copied = at + from.len();
    }
    replaced.extend_from_slice(&text[copied..]);
    Ok(Some(Text(replaced)))
}

fn trim(call: &Context<'_>, texts: &Texts, start: bool, end: bool, brake: &Brake) -> Result<Option<String>> {
    if any_null(call, 2) {
        return Ok(None);
    }
    let (text, set) = (texts.of(call.get_raw(0))?, texts.of(call.get_raw(1))?);
    let (text, set) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(&set));
    let mut looks = Looks::at(brake);
    let set: HashSet<char> = set.chars().take_while(|_| looks.goes_on()).collect();
    let mut trimmed = |letter: char| looks.goes_on() && set.contains(&letter);
    let mut rest = text.as_ref();
    if start {
        rest = rest.trim_start_matches(&mut trimmed);
    }
    if end {
        rest = rest.trim_end_matches(&mut trimmed);
    }
    looks.finished()?;
    Ok(Some(rest.to_owned()))
}

/// Pairs of hexadecimal digits as bytes; letters of the second argument may stand between the pairs.
fn unhex(call: &Context<'_>, texts: &Texts, brake: &Brake) -> Result<Option<Vec<u8>>> {
    if any_null(call, 2) {
        return Ok(None);
    }
    let (text, skipped) = (texts.of(call.get_raw(0))?, texts.of(call.get_raw(1))?);
    let (text, skipped) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(&skipped));
    let mut looks = Looks::at(brake);
    let skipped: HashSet<char> = skipped.chars().take_while(|_| looks.goes_on()).collect();
    let mut bytes = Vec::with_capacity(text.len() / 2);
    // A NUL ends a text here, as it does for SQLite.
    let mut letters = text.chars().take_while(|letter| *letter != '\0');
    while let Some(high) = letters.next().filter(|_| looks.goes_on()) {
        match (high.to_digit(16), high) {
            (Some(high), _) => {
                let Some(low) = letters.next().and_then(|low| low.to_digit(16)) else { return Ok(None) };
                bytes.push((high * 16 + low) as u8);
            }
            (None, between) if skipped.contains(&between) => {}
            (None, _) => return Ok(None),
        }
    }
    looks.finished()?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use rusqlite::types::Value;

    use super::*;

    /// The functions must not be told from the built-in ones.
    #[test]
    fn every_function_answers_as_the_built_in_one() {
        let (ours, theirs) = (Connection::open_in_memory().unwrap(), Connection::open_in_memory().unwrap());
        install(&ours, 1 << 20, &Brake::default()).unwrap();
        let values = [
            "NULL",
            "''",
            "'a'",
            "'aXbXc'",
            "'X'",
            "'é東é'",
            "'東'",
            "12",
            "-1.5",
            "1e300",
            "x'61'",
            "x'c3a9'",
            "x''",
            "'aa'",
            "'aaaa'",
            "2",
            "'aa XbX Fe'",
            "' X'",
        ];
        for one in values {
            for two in values {
                let mut calls = vec![format!("instr({one}, {two})")];
                calls.extend(["trim", "ltrim", "rtrim", "unhex"].map(|name| format!("{name}({one}, {two})")));
                calls.extend(
                    ["''", "'-é-'", "7", "NULL", "0.1"].map(|by| format!("replace({one}, {two}, {by})")),
                );
                for call in calls {
                    let sql = format!("SELECT {call}");
                    let answer = |engine: &Connection| {
                        engine.query_row(&sql, [], |row| row.get::<_, Value>(0)).unwrap()
                    };
                    assert_eq!(answer(&ours), answer(&theirs), "{call}");
                }
            }
        }
    }

    #[test]
    fn a_replacement_that_grows_too_long_is_refused() {
        let engine = Connection::open_in_memory().unwrap();
        install(&engine, 1 << 20, &Brake::default()).unwrap();
        let grown = "SELECT replace(hex(zeroblob(100000)), '0', hex(zeroblob(100000)))";
        let error = engine.query_row(grown, [], |_| Ok(())).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::TooBig));
    }
}
