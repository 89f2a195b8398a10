//! Rows as an aligned table for a person at a terminal.

use registry_core::results::{ColumnMeta, Row};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::visible::visible;

/// How NULL is shown.
const NULL: &str = "NULL";
/// Columns grow no wider than this; a longer cell pushes its line out instead of widening all of them.
const MOST_WIDTH: usize = 60;

/// Lays out rows in columns whose widths come from the first rows, so that a table of any length can be printed as
/// it is read.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Layout>,
}

#[derive(Debug)]
struct Layout {
    width: usize,
    right: bool,
}

impl Table {
    /// A table fitted to `columns` and to the first rows of the result.
    pub fn fitted(columns: &[ColumnMeta], first: &[Row]) -> Self {
        let columns = columns.iter().enumerate().map(|(place, column)| {
            let cells = first.iter().filter_map(|row| row.get(place));
            let widest = cells.clone().map(|cell| shown(cell).width()).max().unwrap_or(0);
            let mut known = cells.filter(|cell| !cell.is_null()).peekable();
            let right = known.peek().is_some() && known.all(Value::is_number);
            Layout { width: widest.max(visible(&column.name).width()).min(MOST_WIDTH), right }
        });
        Self { columns: columns.collect() }
    }

    /// The names and the line under them.
    pub fn header(&self, columns: &[ColumnMeta]) -> String {
        let names = columns.iter().map(|column| visible(&column.name).into_owned());
        let rules: Vec<String> = self.columns.iter().map(|layout| "─".repeat(layout.width)).collect();
        format!("{}{}\n", self.line(names), rules.join("──"))
    }

    /// One line a row.
    pub fn rows(&self, rows: &[Row]) -> String {
        rows.iter().map(|row| self.line(row.iter().map(shown))).collect()
    }

    fn line(&self, cells: impl Iterator<Item = String>) -> String {
        let mut line = String::new();
        for (place, (cell, layout)) in cells.zip(&self.columns).enumerate() {
            if place > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(layout.width.saturating_sub(cell.width()));
            match layout.right {
                true => line.extend([padding, cell]),
                false => line.extend([cell, padding]),
            }
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::Null => NULL.to_owned(),
        Value::String(text) => visible(text).into_owned(),
        other => visible(&other.to_string()).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn print(names: &[&str], rows: Value) -> String {
        let columns: Vec<ColumnMeta> = names.iter().map(|name| ColumnMeta::new(*name, "TEXT")).collect();
        let rows: Vec<Row> = serde_json::from_value(rows).unwrap();
        let table = Table::fitted(&columns, &rows);
        format!("{}{}", table.header(&columns), table.rows(&rows))
    }

    #[test]
    fn numbers_stand_right_and_texts_left() {
        let expected = "\
name   amount
─────────────
apple       7
pear     1250
NULL     NULL
";
        assert_eq!(print(&["name", "amount"], json!([["apple", 7], ["pear", 1250], [null, null]])), expected);
    }

    #[test]
    fn wide_letters_keep_the_columns_aligned() {
        let expected = "\
city    n
─────────
東京    1
Skåne  22
";
        assert_eq!(print(&["city", "n"], json!([["東京", 1], ["Skåne", 22]])), expected);
    }

    #[test]
    fn a_cell_cannot_rule_the_terminal_or_break_its_line() {
        let text = print(&["x"], json!([["\u{1b}[2Jgone"], ["two\nlines"]]));
        assert!(text.contains("\\u{1b}[2Jgone\n") && text.contains("two\\nlines\n"), "{text}");
    }

    #[test]
    fn an_empty_result_shows_its_columns() {
        assert_eq!(print(&["id", "name"], json!([])), "id  name\n────────\n");
    }
}
