//! Rows printed page by page, so that a result of any size takes little memory.

use std::collections::HashSet;

use registry_core::QueryRegistry;
use registry_core::id::QueryId;
use registry_core::registry::QueryPage;
use registry_core::results::{ColumnMeta, Row, Truncation};
use registry_core::snapshot::QuerySnapshot;
use serde_json::Value;

use super::{Format, RunError};
use crate::call::now;
use crate::csv::{self, Hidden};
use crate::stdio;
use crate::table::Table;
use crate::visible::visible_json;
use crate::words::{count, span};

const PAGE_ROWS: u64 = 2000;
const PAGE_BYTES: u64 = 1 << 20;

/// Prints one result.
#[derive(Debug)]
pub(super) struct Printer {
    format: Format,
    hidden: Hidden,
    table: Option<Table>,
    names: Vec<String>,
    rows: u64,
    truncated: Option<(Truncation, Option<u64>)>,
}

impl Printer {
    pub(super) fn new(format: Format) -> Self {
        // A file gets the bytes as they are; a terminal must not obey them.
        let hidden = if stdio::stdout_is_terminal() { Hidden::SpelledOut } else { Hidden::Kept };
        Self { format, hidden, table: None, names: Vec::new(), rows: 0, truncated: None }
    }

    /// Prints all rows of the query.
    pub(super) async fn print(&mut self, registry: &QueryRegistry, id: QueryId) -> Result<(), RunError> {
        loop {
            let page = registry.fetch_result(id, self.rows, Some(PAGE_ROWS), PAGE_BYTES).await?;
            self.truncated = page.truncated.map(|why| (why, page.total_rows));
            let text = self.page(&page);
            stdio::print(&text).await?;
            self.rows += page.rows.len() as u64;
            if !page.has_more || page.rows.is_empty() {
                stdio::print(self.end()).await?;
                return Ok(());
            }
        }
    }

    fn page(&mut self, page: &QueryPage) -> String {
        let mut out = String::new();
        if self.rows == 0 {
            self.begin(&mut out, page);
        }
        match self.format {
            Format::Table => out.extend(self.table.as_ref().map(|table| table.rows(&page.rows))),
            Format::Csv => self.csv_rows(&mut out, &page.rows),
            Format::Json => self.json_rows(&mut out, &page.rows),
            Format::Jsonl => self.jsonl_rows(&mut out, &page.rows),
        }
        out
    }

    fn begin(&mut self, out: &mut String, page: &QueryPage) {
        match self.format {
            // A statement without columns has nothing to show.
            _ if page.columns.is_empty() => {}
            Format::Table => {
                let table = Table::fitted(&page.columns, &page.rows);
                out.push_str(&table.header(&page.columns));
                self.table = Some(table);
            }
            Format::Csv => {
                csv::write_header(out, page.columns.iter().map(|column| column.name.as_str()), self.hidden);
                out.push('\n');
            }
            Format::Json | Format::Jsonl => self.names = distinct_names(&page.columns),
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
            self.object(out, row);
        }
    }

    fn jsonl_rows(&self, out: &mut String, rows: &[Row]) {
        for row in rows {
            self.object(out, row);
            out.push('\n');
        }
    }

    fn object(&self, out: &mut String, row: &Row) {
        out.push('{');
        for (place, (name, value)) in self.names.iter().zip(row).enumerate() {
            if place > 0 {
                out.push(',');
            }
            write_json(out, &Value::from(name.as_str()));
            out.push(':');
            write_json(out, value);
        }
        out.push('}');
    }

    /// How many rows there were, what is missing, and how long it took.
    pub(super) fn footer(&self, snapshot: &QuerySnapshot) -> String {
        let time = span(snapshot.elapsed(now()));
        let missing = match self.truncated {
            None => String::new(),
            Some((_, Some(all))) => {
                format!(" of {all}; the rest was not kept, see --max-result-rows and --max-result-bytes")
            }
            Some((_, None)) => {
                "; the rest was not kept, see --max-result-rows and --max-result-bytes".to_owned()
            }
        };
        format!("{}{missing} ({time})", count(self.rows, "row"))
    }
}

/// JSON in which hidden characters are escapes: the same value, harmless on a terminal.
fn write_json(out: &mut String, value: &Value) {
    out.push_str(&visible_json(&value.to_string()));
}

/// Names as keys of an object: a repeated one gets a number.
fn distinct_names(columns: &[ColumnMeta]) -> Vec<String> {
    let mut taken: HashSet<String> = HashSet::new();
    let mut names = Vec::new();
    for column in columns {
        let mut name = column.name.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(format: Format, names: &[&str], pages: Vec<Value>) -> String {
        let mut printer = Printer {
            format,
            hidden: Hidden::Kept,
            table: None,
            names: Vec::new(),
            rows: 0,
            truncated: None,
        };
        let mut out = String::new();
        for rows in pages {
            let page = QueryPage {
                query_id: QueryId::generate(),
                columns: names.iter().map(|name| ColumnMeta::new(*name, "TEXT")).collect(),
                rows: serde_json::from_value(rows).unwrap(),
                offset: printer.rows,
                total_rows: None,
                stored_rows: 0,
                has_more: false,
                truncated: None,
            };
            out.push_str(&printer.page(&page));
            printer.rows += page.rows.len() as u64;
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
