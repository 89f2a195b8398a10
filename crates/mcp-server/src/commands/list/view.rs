//! A list of queries as a person and as a program reads it.

use registry_core::clock::{Timestamp, seconds};
use registry_core::inspection::Inspection;
use registry_core::instance::Holder;
use registry_core::record::sql_preview;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::answer::rows_of;
use crate::commands::terminal::Paint;
use crate::table::cut;
use crate::visible::visible;
use crate::words::{self, span};

const HEADINGS: [&str; 8] = ["QUERY", "STATUS", "TIME", "ROWS", "CONNECTION", "CLIENT", "LABEL", "SQL"];
/// The place of the status.
const STATUS: usize = 1;
/// The places of numbers, which stand right.
const NUMBERS: [usize; 2] = [2, 3];
/// No column but the last grows wider.
const MOST_WIDTH: usize = 30;
const GAP: &str = "  ";

/// One query for programs; the names are those of the tools.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    query_id: String,
    status: &'static str,
    created_at: String,
    duration_seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Why more of them are missing for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<&'static str>,
    connection: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    sql: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remote_query_id: Option<String>,
    /// Of a query that has not ended: what can be seen of the process that drives it.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'static str>,
}

impl Entry {
    pub(super) fn of(one: &Inspection, now: Timestamp) -> Self {
        let snapshot = &one.snapshot;
        Self {
            query_id: snapshot.query_id.to_string(),
            status: snapshot.status.as_str(),
            created_at: snapshot.created_at.to_string(),
            duration_seconds: seconds(snapshot.elapsed(now)),
            rows: rows_of(snapshot),
            truncated: snapshot.truncated.map(words::truncation),
            connection: snapshot.connection.clone(),
            label: snapshot.label.clone(),
            client: snapshot.client.clone(),
            sql: sql_preview(&snapshot.sql),
            error_message: snapshot.error.as_ref().map(|error| error.message.clone()),
            remote_query_id: snapshot.snowflake.sfqid.as_ref().map(ToString::to_string),
            server: (!snapshot.status.is_terminal()).then(|| holder_word(one.holder)),
        }
    }
}

/// What can be seen of a process, in a word.
pub(in crate::commands) fn holder_word(holder: Holder) -> &'static str {
    match holder {
        Holder::Alive => "alive",
        Holder::Stalled => "stalled",
        Holder::Gone => "gone",
    }
}

fn rows(snapshot: &QuerySnapshot) -> String {
    match (rows_of(snapshot), snapshot.truncated, snapshot.row_count) {
        (None, ..) => "-".to_owned(),
        (Some(rows), None, _) => rows.to_string(),
        (Some(rows), Some(_), Some(all)) => format!("{rows} of {all}"),
        (Some(rows), Some(_), None) => format!("{rows} of more"),
    }
}

/// Lines of a table whose widths fit its cells.
#[derive(Debug)]
pub(super) struct View {
    rows: Vec<(QueryStatus, [String; HEADINGS.len()])>,
    paint: Paint,
}

impl View {
    pub(super) fn of(queries: &[Inspection], now: Timestamp, paint: Paint) -> Self {
        Self { rows: queries.iter().map(|one| (one.snapshot.status, cells(one, now))).collect(), paint }
    }

    /// The heading and one line a query, each with its line break, no wider than the terminal.
    pub(super) fn fitted(&self, size: Option<(usize, usize)>) -> Vec<String> {
        let widest = size.map_or(usize::MAX, |(columns, _)| columns);
        let widths: Vec<usize> = (0..HEADINGS.len()).map(|place| self.width(place)).collect();
        let heading = self.paint.heading(line(HEADINGS.map(str::to_owned), &widths, widest, None).trim_end());
        let mut lines = vec![format!("{heading}\n")];
        for (status, cells) in &self.rows {
            lines.push(line(cells.clone(), &widths, widest, Some((*status, self.paint))) + "\n");
        }
        lines
    }

    fn width(&self, place: usize) -> usize {
        let cells = self.rows.iter().map(|(_, cells)| cells[place].width());
        cells.max().unwrap_or(0).min(MOST_WIDTH).max(HEADINGS[place].width())
    }
}

fn cells(one: &Inspection, now: Timestamp) -> [String; HEADINGS.len()] {
    let snapshot = &one.snapshot;
    let text = |text: Option<&str>| visible(text.unwrap_or("-")).into_owned();
    let sql = match &snapshot.error {
        Some(error) => format!("{} ← {}", sql_preview(&snapshot.sql), error.message),
        None => sql_preview(&snapshot.sql),
    };
    [
        snapshot.query_id.to_string(),
        status_words(one),
        span(snapshot.elapsed(now)),
        rows(snapshot),
        text(Some(&snapshot.connection)),
        text(snapshot.client.as_deref()),
        text(snapshot.label.as_deref()),
        visible(&sql).into_owned(),
    ]
}

/// The status, and what keeps it from changing.
fn status_words(one: &Inspection) -> String {
    let status = one.snapshot.status;
    let ended = status.is_terminal();
    match one.holder {
        Holder::Gone if !ended => format!("{status}, server gone"),
        Holder::Stalled if !ended => format!("{status}, server stalled"),
        _ if !one.owes.is_empty() => format!("{status}, may still run"),
        _ if one.snapshot.is_being_stopped() => format!("{status}, stopping"),
        _ => status.to_string(),
    }
}

fn line(
    cells: [String; HEADINGS.len()],
    widths: &[usize],
    widest: usize,
    status: Option<(QueryStatus, Paint)>,
) -> String {
    let (mut out, mut used) = (String::new(), 0_usize);
    let last = cells.len() - 1;
    for ((place, cell), &width) in cells.into_iter().enumerate().zip(widths) {
        let gap = if place > 0 { GAP } else { "" };
        let room = widest.saturating_sub(used + gap.len());
        if room == 0 {
            break;
        }
        let cell = cut(&cell, if place == last { room } else { room.min(width) });
        let padding =
            " ".repeat(if place == last { 0 } else { width.min(room).saturating_sub(cell.width()) });
        used += gap.len() + cell.width() + padding.len();
        let painted = match status {
            Some((status, paint)) if place == STATUS => paint.status(status, &cell),
            _ => cell,
        };
        let cell = if NUMBERS.contains(&place) { padding + &painted } else { painted + &padding };
        out.push_str(gap);
        out.push_str(&cell);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_never_passes_the_edge_of_the_terminal() {
        let cells = ["q_1", "running", "3 s", "-", "main", "cursor", "-", "select 東京 from somewhere"];
        let widths = [28, 9, 4, 4, 10, 6, 5, 3];
        for widest in 1..120 {
            let line = line(cells.map(str::to_owned), &widths, widest, None);
            assert!(line.width() <= widest, "{widest}: {line:?}");
        }
    }
}
