//! Exact numbers as text.

use std::fmt::Write;

/// Appends `unscaled` × 10^-`scale`, with all digits that the scale stands for.
pub(crate) fn push_decimal(unscaled: i128, scale: u32, out: &mut String) {
    let digits = unscaled.unsigned_abs().to_string();
    let scale = scale as usize;
    if unscaled < 0 {
        out.push('-');
    }
    // Writing to a String cannot fail.
    let _ = match digits.len().checked_sub(scale) {
        _ if scale == 0 => write!(out, "{digits}"),
        None | Some(0) => write!(out, "0.{digits:0>scale$}"),
        Some(point) => write!(out, "{}.{}", &digits[..point], &digits[point..]),
    };
}
