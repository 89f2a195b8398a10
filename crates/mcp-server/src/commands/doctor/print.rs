//! A report for a person.

use std::fmt::Write as _;
use std::time::Duration;

use crate::commands::terminal::Paint;
use crate::doctor::{Mark, Report, Step};
use crate::visible::visible;
use crate::words;

/// The columns of the names of steps, where none is longer.
const LEAST_WIDTH: usize = 13;

/// The steps, a line each, under the name of what they are part of.
pub(super) fn text(report: &Report, paint: Paint) -> String {
    let (mut out, mut scope) = (String::new(), "");
    let longest = report.steps().iter().map(|step| step.step.chars().count()).max().unwrap_or(0);
    let width = LEAST_WIDTH.max(longest + 2);
    for step in report.steps() {
        if step.scope != scope {
            scope = &step.scope;
            line(&mut out, scope);
        }
        describe(&mut out, step, width, paint);
    }
    let count = |mark| report.steps().iter().filter(|step| step.status == mark).count();
    line(&mut out, &format!("{} failed, {} to look at", count(Mark::Failed), count(Mark::Warning)));
    out
}

fn describe(out: &mut String, step: &Step, width: usize, paint: Paint) {
    let time = words::span(Duration::from_millis(step.millis));
    let time = if step.status == Mark::Skipped { String::new() } else { format!(" ({time})") };
    line(
        out,
        &format!("  {}  {:<width$}{}{time}", marked(step.status, paint), step.step, visible(&step.message)),
    );
    for detail in &step.details {
        line(out, &format!("              {}", visible(detail)));
    }
    if let Some(mend) = &step.mend {
        line(out, &format!("              -> {}", visible(mend)));
    }
}

fn marked(mark: Mark, paint: Paint) -> String {
    let (word, colour) = match mark {
        Mark::Ok => ("ok     ", "32"),
        Mark::Warning => ("warning", "33"),
        Mark::Failed => ("FAILED ", "31;1"),
        Mark::Skipped => ("skipped", "2"),
    };
    paint.with(colour, word)
}

fn line(out: &mut String, text: &str) {
    // Writing to a string cannot fail.
    _ = writeln!(out, "{text}");
}
