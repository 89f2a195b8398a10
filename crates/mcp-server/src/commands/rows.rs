//! Rows printed page by page, so that a result of any size takes little memory.

use clap::{Args, ValueEnum};
use registry_core::QueryRegistry;
use registry_core::clock::seconds;
use registry_core::id::QueryId;
use registry_core::registry::RowFollower;
use registry_core::results::{ColumnMeta, Row, RowsArrived, Truncation};
use registry_core::snapshot::QuerySnapshot;
use serde::Serialize;

use super::failure::Failure;
use super::{json, terminal};
use crate::call::now;
use crate::csv::{self, Hidden};
use crate::jsonl::{self, Keys};
use crate::stdio;
use crate::table::Table;
use crate::words::{self, count, span};

const PAGE_ROWS: u64 = 2000;
const PAGE_BYTES: u64 = 1 << 20;

/// Said below a table that is not whole.
const CUT: &str = "… marks what was cut to fit the terminal; --format csv, or a pipe, gives everything\n";

/// How rows are printed.
#[derive(Debug, Clone, Copy, Args)]
pub struct RowArgs {
    /// How rows are printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// For programs: rows as JSON Lines on stdout; what became of the query, and errors, as one JSON object on stderr.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl RowArgs {
    fn format(self) -> Format {
        if self.json { Format::Jsonl } else { self.format }
    }
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header; NULL is empty, an empty text is "".
    Csv,
    /// One JSON array of objects, closed only when all its rows are there.
    Json,
    /// One JSON object a line.
    Jsonl,
}

/// Which rows of a result are printed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    /// The place of the first one.
    pub(super) offset: u64,
    /// At most so many; `None` is all.
    pub(super) limit: Option<u64>,
}

/// Prints one result.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    as_json: bool,
    hidden: Hidden,
    part: Part,
    /// Rows are printed as they arrive.
    streams: bool,
    /// The columns of the terminal, if stdout is one.
    room: Option<usize>,
    table: Option<Table>,
    keys: Keys,
    /// Printed so far.
    rows: u64,
    kept: u64,
    total: Option<u64>,
    truncated: Option<Truncation>,
}

/// What was printed, for programs.
#[derive(Debug, Serialize)]
struct Printed {
    query_id: String,
    status: &'static str,
    duration_seconds: f64,
    rows: u64,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_rows: Option<u64>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<&'static str>,
}

impl Printer {
    pub(super) fn new(args: RowArgs, part: Part) -> Self {
        // A file gets the bytes as they are; a terminal must not obey them.
        let hidden = if stdio::stdout_is_terminal() { Hidden::SpelledOut } else { Hidden::Kept };
        let room = terminal::size().map(|(columns, _)| columns);
        // A terminal shows how far the query is until it has ended.
        let streams = !stdio::stdout_is_terminal();
        Self { room, streams, ..Self::with(args.format(), args.json, hidden, part) }
    }

    fn with(format: Format, as_json: bool, hidden: Hidden, part: Part) -> Self {
        let (table, keys, room) = (None, Keys::default(), None);
        Self {
            format,
            as_json,
            hidden,
            part,
            streams: false,
            room,
            table,
            keys,
            rows: 0,
            kept: 0,
            total: None,
            truncated: None,
        }
    }

    /// The text of rows that came before the end of the query, if there are any to be printed by now.
    pub(super) async fn arrived(&mut self, follower: &mut RowFollower) -> Option<String> {
        let wanted = self.wanted();
        if !self.streams || wanted == 0 {
            return None;
        }
        let mut ahead = follower.clone();
        match ahead.next(wanted, PAGE_BYTES).await {
            Ok(arrived) => {
                let arrived = arrived.filter(|arrived| self.may_begin(arrived))?;
                *follower = ahead;
                Some(self.text(&arrived.columns, &arrived.rows))
            }
            Err(error) => {
                tracing::debug!(%error, "the rows so far cannot be read; they are printed at the end");
                self.streams = false;
                None
            }
        }
    }

    /// The rows of its first page decide how wide the columns of a table are.
    fn may_begin(&self, arrived: &RowsArrived) -> bool {
        self.format != Format::Table || self.rows > 0 || arrived.is_full
    }

    /// Prints the rows of the query that are not printed yet, and on stderr how many they were.
    pub(super) async fn print(
        &mut self,
        registry: &QueryRegistry,
        snapshot: &QuerySnapshot,
    ) -> Result<(), Failure> {
        while self.print_page(registry, snapshot.query_id).await? {}
        stdio::print(self.end()).await?;
        let footer = match self.as_json {
            true => json::line(&self.printed(snapshot)),
            false => format!("{}\n", self.footer(snapshot)),
        };
        stdio::tell(&footer).await;
        if !self.as_json && self.table.as_ref().is_some_and(Table::was_cut) {
            stdio::tell(CUT).await;
        }
        Ok(())
    }

    /// Tells whether there is another page to print.
    async fn print_page(&mut self, registry: &QueryRegistry, id: QueryId) -> Result<bool, Failure> {
        let page = registry.fetch_result(id, self.place(), Some(self.wanted()), PAGE_BYTES).await?;
        (self.kept, self.total, self.truncated) = (page.stored_rows, page.total_rows, page.truncated);
        stdio::print(&self.text(&page.columns, &page.rows)).await?;
        Ok(page.has_more && !page.rows.is_empty() && self.wanted() > 0)
    }

    /// The rows of the next page.
    fn wanted(&self) -> u64 {
        self.part.limit.map_or(PAGE_ROWS, |limit| PAGE_ROWS.min(limit.saturating_sub(self.rows)))
    }

    /// The place of the next row.
    fn place(&self) -> u64 {
        self.part.offset.saturating_add(self.rows)
    }

    /// The text of the next rows.
    fn text(&mut self, columns: &[ColumnMeta], rows: &[Row]) -> String {
        let mut out = String::new();
        if self.rows == 0 {
            self.begin(&mut out, columns, rows);
        }
        match self.format {
            Format::Table => out.extend(self.table.as_mut().map(|table| table.rows(rows))),
            Format::Csv => self.csv_rows(&mut out, rows),
            Format::Json => self.json_rows(&mut out, rows),
            Format::Jsonl => self.jsonl_rows(&mut out, rows),
        }
        self.rows += rows.len() as u64;
        out
    }

    fn begin(&mut self, out: &mut String, columns: &[ColumnMeta], rows: &[Row]) {
        match self.format {
            // A statement without columns has nothing to show.
            _ if columns.is_empty() => {}
            Format::Table => {
                let mut table = Table::fitted(columns, rows, self.room);
                out.push_str(&table.header());
                self.table = Some(table);
            }
            Format::Csv => {
                csv::write_header(out, columns.iter().map(|column| column.name.as_str()), self.hidden);
                out.push('\n');
            }
            Format::Json | Format::Jsonl => self.keys = Keys::of(columns),
        }
        if self.format == Format::Json {
            out.push('[');
        }
    }

    fn end(&self) -> &'static str {
        match (self.format, self.rows) {
            (Format::Json, 0) => "]\n",
            (Format::Json, _) => "\n]\n",
            (Format::Table | Format::Csv | Format::Jsonl, _) => "",
        }
    }

    fn csv_rows(&self, out: &mut String, rows: &[Row]) {
        for row in rows {
            csv::write_row(out, row, self.hidden);
            out.push('\n');
        }
    }

    fn json_rows(&self, out: &mut String, rows: &[Row]) {
        for (place, row) in rows.iter().enumerate() {
            out.push_str(if self.rows == 0 && place == 0 { "\n" } else { ",\n" });
            jsonl::write_object(out, &self.keys, row);
        }
    }

    fn jsonl_rows(&self, out: &mut String, rows: &[Row]) {
        for row in rows {
            jsonl::write_object(out, &self.keys, row);
            out.push('\n');
        }
    }

    /// How many rows there were, what is missing, and how long it took.
    fn footer(&self, snapshot: &QuerySnapshot) -> String {
        let time = span(snapshot.elapsed(now()));
        let kept = match (self.truncated, self.total) {
            (None, _) => String::new(),
            (Some(_), total) => {
                let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
                format!("{of}; the rest was not kept, see --max-result-rows and --max-result-bytes")
            }
        };
        if self.rows == self.kept {
            return format!("{}{kept} ({time})", count(self.rows, "row"));
        }
        let first = self.part.offset.saturating_add(1);
        let shown = match self.rows {
            0 => format!("no row at offset {}", self.part.offset),
            _ => format!("rows {first} to {}", self.place()),
        };
        let rest = match self.has_more() {
            true => {
                format!(
                    "; read on with: async-query-mcp result {} --offset {}",
                    snapshot.query_id,
                    self.place()
                )
            }
            false => String::new(),
        };
        format!("{shown} of {}{kept} ({time}){rest}", self.kept)
    }

    fn has_more(&self) -> bool {
        self.place() < self.kept
    }

    fn printed(&self, snapshot: &QuerySnapshot) -> Printed {
        Printed {
            query_id: snapshot.query_id.to_string(),
            status: snapshot.status.as_str(),
            duration_seconds: seconds(snapshot.elapsed(now())),
            rows: self.rows,
            offset: self.part.offset,
            total_rows: self.total,
            has_more: self.has_more(),
            next_offset: self.has_more().then(|| self.place()),
            truncated: self.truncated.map(words::truncation),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn printed(format: Format, names: &[&str], pages: Vec<Value>) -> String {
        let mut printer = Printer::with(format, false, Hidden::Kept, Part::default());
        let columns: Vec<_> = names.iter().map(|name| ColumnMeta::new(*name, "TEXT")).collect();
        let mut out = String::new();
        for rows in pages {
            let rows: Vec<Row> = serde_json::from_value(rows).unwrap();
            out.push_str(&printer.text(&columns, &rows));
        }
        out.push_str(printer.end());
        out
    }

    #[test]
    fn json_of_several_pages_is_one_array() {
        let text = printed(Format::Json, &["a", "b"], vec![json!([[1, null]]), json!([["x", ""]])]);
        assert_eq!(text, "[\n{\"a\":1,\"b\":null},\n{\"a\":\"x\",\"b\":\"\"}\n]\n");
        let empty = printed(Format::Json, &["a"], vec![json!([])]);
        assert_eq!(empty, "[]\n");
    }

    #[test]
    fn columns_of_one_name_keep_their_values_apart() {
        let text = printed(Format::Jsonl, &["n", "n", "n_2"], vec![json!([[1, 2, 3]])]);
        assert_eq!(text, "{\"n\":1,\"n_2\":2,\"n_2_2\":3}\n");
    }

    #[test]
    fn json_hides_nothing_and_obeys_nothing() {
        let text = printed(Format::Jsonl, &["t"], vec![json!([["\u{9b}31m\u{e0041}\u{202e}"]])]);
        assert_eq!(text, "{\"t\":\"\\u009b31m\\udb40\\udc41\\u202e\"}\n");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["t"], "\u{9b}31m\u{e0041}\u{202e}");
    }

    #[test]
    fn csv_keeps_line_breaks_for_files() {
        let text = printed(Format::Csv, &["a"], vec![json!([["x\ny"], [null], [""]])]);
        assert_eq!(text, "a\n\"x\ny\"\n\n\"\"\n");
    }
}
