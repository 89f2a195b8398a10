//! Dates and moments as text, in the proleptic Gregorian calendar: the one that Snowflake counts in, also before 1582.
//!
//! A date is `YYYY-MM-DD`, a moment has a blank and `HH:MM:SS` behind it. Fractions of a second have as many digits
//! as they need, at most those of the scale. Each function appends to `out`, or returns `None` for a count that no
//! calendar has and leaves `out` in any state.

use std::fmt::Write;

const DAY: i64 = 86_400;
/// Ten million years: far outside of what the engine knows, far inside of what the arithmetic can.
const MAX_DAYS: i64 = 3_652_425_000;

/// What a moment is told relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// A wall clock anywhere.
    None,
    /// UTC, marked with `Z`.
    Utc,
    /// So many minutes east of UTC, marked with `+HH:MM`.
    Offset(i32),
}

/// A date, `days` after 1970-01-01.
pub(crate) fn push_date(days: i64, out: &mut String) -> Option<()> {
    let (year, month, day) = civil(days)?;
    let sign = if year < 0 { "-" } else { "" };
    write!(out, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs()).ok()
}

/// A time of the day.
pub(crate) fn push_time(seconds: i64, nanos: u32, scale: u32, out: &mut String) -> Option<()> {
    if !(0..DAY).contains(&seconds) || nanos >= 1_000_000_000 {
        return None;
    }
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    write!(out, "{hour:02}:{minute:02}:{second:02}").ok()?;
    push_fraction(nanos, scale, out)
}

/// A moment, `seconds` after 1970-01-01 00:00:00 UTC, or of the wall clock.
pub(crate) fn push_timestamp(
    seconds: i64,
    nanos: u32,
    scale: u32,
    zone: Zone,
    out: &mut String,
) -> Option<()> {
    let minutes = if let Zone::Offset(minutes) = zone { minutes } else { 0 };
    let local = seconds.checked_add(i64::from(minutes) * 60)?;
    push_date(local.div_euclid(DAY), out)?;
    out.push(' ');
    push_time(local.rem_euclid(DAY), nanos, scale, out)?;
    match zone {
        Zone::None => Some(()),
        Zone::Utc => write!(out, "Z").ok(),
        Zone::Offset(minutes) => push_offset(minutes, out),
    }
}

/// Seconds as decimal text with a fraction, such as `-1.500000000`, as whole seconds and nanoseconds after them.
pub(super) fn parse_seconds(text: &str) -> Option<(i64, u32)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let nanos: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(match (negative, nanos) {
        (false, _) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        // Half a second before second 0 is the middle of second -1.
        (true, _) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

fn push_fraction(nanos: u32, scale: u32, out: &mut String) -> Option<()> {
    let digits = format!("{nanos:09}");
    let digits = digits[..scale.min(9) as usize].trim_end_matches('0');
    if digits.is_empty() { Some(()) } else { write!(out, ".{digits}").ok() }
}

fn push_offset(minutes: i32, out: &mut String) -> Option<()> {
    let (sign, minutes) = (if minutes < 0 { '-' } else { '+' }, minutes.unsigned_abs());
    write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).ok()
}

/// Year, month and day, counted in eras of 400 years that begin on a 1st of March, so that leap days come last.
fn civil(days: i64) -> Option<(i64, i64, i64)> {
    const ERA: i64 = 146_097;
    const MARCH_OF_YEAR_ZERO: i64 = 719_468;
    if !(-MAX_DAYS..=MAX_DAYS).contains(&days) {
        return None;
    }
    let shifted = days + MARCH_OF_YEAR_ZERO;
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Some((year_of_era + era * 400 + i64::from(month <= 2), month, day))
}
