//! Values of flags as a person writes them.

use std::time::Duration;

use crate::config::{LEAST_PAGE_CHARS, MOST_PAGE_CHARS, MOST_WAIT};

/// A statement. It may begin with a comment, but a word with hyphens before it is a flag that does not exist.
pub(crate) fn statement(text: &str) -> Result<String, String> {
    if is_flag(text) { Err("there is no such flag; see --help".to_owned()) } else { Ok(text.to_owned()) }
}

/// Whether it can be nothing but a flag.
pub(crate) fn is_flag(text: &str) -> bool {
    text.len() > 1 && text.starts_with('-') && !text.contains(char::is_whitespace)
}

/// A number that is not zero.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number, 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// The characters of one tool answer.
pub(crate) fn page_chars(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(chars) if (LEAST_PAGE_CHARS..=MOST_PAGE_CHARS).contains(&chars) => Ok(chars),
        Ok(_) | Err(_) => {
            Err(format!("it must be a whole number from {LEAST_PAGE_CHARS} to {MOST_PAGE_CHARS}"))
        }
    }
}

/// The longest wait of a tool call.
pub(crate) fn wait(text: &str) -> Result<Duration, String> {
    match text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(wait) if wait <= MOST_WAIT => Ok(wait),
        Some(_) | None => Err(format!("it must be a number of seconds from 0 to {}", MOST_WAIT.as_secs())),
    }
}

/// A span of time: a number of seconds, or a number and its unit.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "it must be a time such as 90, 90s, 15m, 6h or 2d, up to 31d".to_owned();
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let seconds: f64 = number.parse().map_err(|_| wrong())?;
    match Duration::try_from_secs_f64(seconds * factor) {
        Ok(span) if !span.is_zero() && span <= Duration::from_secs(31 * 86_400) => Ok(span),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

/// The size of a statement, within what is read of one.
pub(crate) fn statement_size(text: &str) -> Result<u64, String> {
    const MOST: u64 = 64 << 10;
    match size(text) {
        Ok(bytes) if bytes <= MOST => Ok(bytes),
        Ok(_) | Err(_) => Err("it must be a size up to 64kib, such as 20000 or 32kib".to_owned()),
    }
}

/// A number of bytes, or a number and its unit.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "it must be a size such as 500000, 64mib or 4gib".to_owned();
    let lower = text.to_ascii_lowercase();
    let (number, unit) = lower.split_at(lower.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(lower.len()));
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        _ => return Err(wrong()),
    };
    let number: u64 = number.trim().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_read_with_their_units() {
        let seconds = |text| time(text).map(|span| span.as_secs_f64());
        assert_eq!(seconds("90"), Ok(90.0));
        assert_eq!(seconds("1.5m"), Ok(90.0));
        assert_eq!(seconds("2d"), Ok(172_800.0));
        for bad in ["", "0", "-1", "h", "1w", "nan", "inf", "1e300", "32d"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
        assert_eq!(size("64MiB"), Ok(64 << 20));
        for bad in ["", "0", "x", "1.5g", "99999999999g"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }
}
