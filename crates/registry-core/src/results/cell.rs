//! One value of a row and its form as JSON.

use std::io;

use serde::Serialize;

/// The largest whole number that every JSON reader keeps exactly.
const SAFE_INTEGER: u64 = (1 << 53) - 1;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// One value as an engine hands it over, borrowed from the engine's own buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer; beyond 2^53 it is written as text, because JSON readers would round it.
    Int(i64),
    /// A floating-point number; NaN and the infinities are written as text.
    Float(f64),
    /// A number as exact text, such as a decimal of 38 digits; always written as text.
    Decimal(&'a str),
    /// Text.
    Text(&'a str),
    /// Bytes; written as upper-case hexadecimal text.
    Bytes(&'a [u8]),
}

/// Appends `row` to `out` as a JSON array without blanks. Control characters are escaped, so it has no line break.
pub(super) fn write_row(row: &[Cell<'_>], out: &mut Vec<u8>) -> io::Result<()> {
    out.push(b'[');
    for (place, cell) in row.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_cell(cell, out)?;
    }
    out.push(b']');
    Ok(())
}

fn write_cell(cell: &Cell<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    match *cell {
        Cell::Null => out.extend_from_slice(b"null"),
        Cell::Bool(true) => out.extend_from_slice(b"true"),
        Cell::Bool(false) => out.extend_from_slice(b"false"),
        Cell::Int(value) if value.unsigned_abs() <= SAFE_INTEGER => json(&value, out)?,
        Cell::Int(value) => {
            out.push(b'"');
            json(&value, out)?;
            out.push(b'"');
        }
        Cell::Float(value) => write_float(value, out)?,
        Cell::Decimal(text) | Cell::Text(text) => json(text, out)?,
        Cell::Bytes(bytes) => write_hex(bytes, out),
    }
    Ok(())
}

fn write_float(value: f64, out: &mut Vec<u8>) -> io::Result<()> {
    if value.is_finite() {
        return json(&value, out);
    }
    let word: &[u8] = if value.is_nan() {
        br#""NaN""#
    } else if value > 0.0 {
        br#""Infinity""#
    } else {
        br#""-Infinity""#
    };
    out.extend_from_slice(word);
    Ok(())
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(2 * bytes.len() + 2);
    out.push(b'"');
    for byte in bytes {
        out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.push(b'"');
}

fn json<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(out, value).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(row: &[Cell<'_>]) -> String {
        let mut out = Vec::new();
        write_row(row, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_one_compact_array() {
        let row = [
            Cell::Null,
            Cell::Bool(true),
            Cell::Bool(false),
            Cell::Int(-7),
            Cell::Float(0.5),
            Cell::Decimal("12345678901234567890.10"),
            Cell::Text("é\"\\"),
            Cell::Bytes(&[0, 0xab, 0xff]),
        ];
        assert_eq!(written(&row), r#"[null,true,false,-7,0.5,"12345678901234567890.10","é\"\\","00ABFF"]"#);
        assert_eq!(written(&[]), "[]");
        assert_eq!(written(&[Cell::Bytes(&[])]), r#"[""]"#);
    }

    #[test]
    fn an_integer_is_a_number_exactly_as_far_as_every_reader_keeps_it() {
        let safe = (1i64 << 53) - 1;
        assert_eq!(written(&[Cell::Int(safe), Cell::Int(-safe)]), "[9007199254740991,-9007199254740991]");
        assert_eq!(
            written(&[Cell::Int(safe + 1), Cell::Int(-safe - 1)]),
            r#"["9007199254740992","-9007199254740992"]"#
        );
        assert_eq!(
            written(&[Cell::Int(i64::MIN), Cell::Int(i64::MAX)]),
            r#"["-9223372036854775808","9223372036854775807"]"#
        );
    }

    #[test]
    fn a_float_that_json_cannot_hold_is_a_word() {
        let row = [Cell::Float(f64::NAN), Cell::Float(f64::INFINITY), Cell::Float(f64::NEG_INFINITY)];
        assert_eq!(written(&row), r#"["NaN","Infinity","-Infinity"]"#);
    }

    #[test]
    fn a_finite_float_comes_back_bit_for_bit() {
        let edges = [0.0, -0.0, 0.1, 1.0, 1e21, 5e-324, f64::MIN_POSITIVE, f64::MAX, f64::MIN, 1.0 / 3.0];
        for value in edges {
            let back: Vec<f64> = serde_json::from_str(&written(&[Cell::Float(value)])).unwrap();
            assert_eq!(back[0].to_bits(), value.to_bits(), "{value:e}");
        }
        assert_eq!(written(&[Cell::Float(0.1)]), "[0.1]");
    }

    #[test]
    fn no_control_character_is_written_raw() {
        let all: String = (0..=0x20u8).map(char::from).collect();
        let line = written(&[Cell::Text(&all)]);
        assert!(line.bytes().all(|byte| byte >= 0x20), "{line:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&line).unwrap(), [all]);
    }
}
