//! A page of rows fitted into what a client's context can take.
//!
//! Two forms of the same rows leave this program: columnar JSON and CSV. Both must stay within the budget, because
//! nobody knows which of them a client puts before its model. First long cells are cut, then rows are left for the
//! next page; only when a single row is too large are cells cut further and at last columns left out. Whatever is
//! missing is counted.

use std::collections::HashMap;

use registry_core::registry::{AbridgedPage, QueryPage};
use registry_core::results::{ColumnMeta, CutCell, Row};
use serde_json::Value;

use crate::csv::{self, Hidden};
use crate::visible::VisibleText;

/// Cells longer than this many characters are cut.
pub const CELL_CHARS: usize = 2048;
/// Column names longer than this are cut.
const NAME_CHARS: usize = 200;
/// Tried in this order until one row fits.
const CELL_LIMITS: [usize; 5] = [CELL_CHARS, 1000, 200, 40, 8];

/// Rows that fit, and what had to be left out.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedPage {
    /// Names and types of the columns shown.
    pub columns: Vec<ColumnMeta>,
    /// The rows.
    pub rows: Vec<Row>,
    /// The same as CSV: a header line and one line a row.
    pub csv: VisibleText,
    /// Rows follow after this page.
    pub has_more: bool,
    /// Cells that were cut, with the size of each.
    pub cuts: Vec<CutCell>,
    /// Columns that were left out at the right.
    pub hidden_columns: usize,
}

/// What both forms of a page take, in UTF-16 units, which is how the strictest clients count.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    json: usize,
    csv: usize,
}

impl Size {
    fn plus(self, other: Self) -> Self {
        Self { json: self.json + other.json, csv: self.csv + other.csv }
    }

    fn fits(self, budget: usize) -> bool {
        self.json.max(self.csv) <= budget
    }
}

/// What is known of cells that came cut already: their sizes, by row within the page and column.
type Sizes = HashMap<(usize, usize), u64>;

/// Fits `page` into `budget` characters for each form.
pub fn fit(page: &QueryPage, budget: usize) -> FittedPage {
    fit_sized(page, &Sizes::new(), budget)
}

/// As [`fit`], for a page whose longest cells were cut when they were read.
pub fn fit_abridged(page: &AbridgedPage, budget: usize) -> FittedPage {
    let AbridgedPage { page, cuts } = page;
    let within = |row: u64| usize::try_from(row.saturating_sub(page.offset)).unwrap_or(usize::MAX);
    let sizes = cuts.iter().map(|cut| ((within(cut.row), cut.column), cut.characters)).collect();
    fit_sized(page, &sizes, budget)
}

fn fit_sized(page: &QueryPage, sizes: &Sizes, budget: usize) -> FittedPage {
    let (cell_limit, width) = shape_of_a_row(page, sizes, budget);
    let columns: Vec<ColumnMeta> =
        page.columns.iter().take(width).map(|c| cut_column(c, cell_limit)).collect();
    let mut csv = header(&columns);
    let mut fitted = FittedPage {
        csv: VisibleText::default(),
        has_more: page.has_more,
        cuts: Vec::new(),
        hidden_columns: page.columns.len() - width,
        rows: Vec::new(),
        columns,
    };
    let mut size = size_of_columns(&fitted.columns);
    for (place, row) in page.rows.iter().enumerate() {
        let (row, cuts) = cut_row(row, place, sizes, width, cell_limit);
        let line = csv_line(&row);
        size = size.plus(size_of_row(&row, &line));
        // One row is always sent: a page without rows would make the reader ask for the same page for ever.
        if !size.fits(budget) && !fitted.rows.is_empty() {
            fitted.has_more = true;
            break;
        }
        csv.push('\n');
        csv.push_str(&line);
        let row_in_result = page.offset + place as u64;
        fitted.cuts.extend(cuts.into_iter().map(|(column, characters)| CutCell {
            row: row_in_result,
            column,
            characters,
        }));
        fitted.rows.push(row);
    }
    fitted.csv = VisibleText::new(csv);
    fitted
}

/// The longest cells and the most columns with which the header and the first row fit.
fn shape_of_a_row(page: &QueryPage, sizes: &Sizes, budget: usize) -> (usize, usize) {
    let width = page.columns.len();
    for limit in CELL_LIMITS {
        if size_of_first_columns(page, sizes, width, limit).fits(budget) {
            return (limit, width);
        }
    }
    let narrowest = CELL_LIMITS[CELL_LIMITS.len() - 1];
    let mut size = Size::default();
    let fitting = (0..width).take_while(|&place| {
        size = size.plus(size_of_one_column(page, sizes, place, narrowest));
        size.fits(budget)
    });
    (narrowest, fitting.count().clamp(1, width.max(1)).min(width))
}

fn size_of_first_columns(page: &QueryPage, sizes: &Sizes, width: usize, limit: usize) -> Size {
    (0..width).map(|place| size_of_one_column(page, sizes, place, limit)).fold(Size::default(), Size::plus)
}

/// What a column and its cell in the first row take. The brackets of the whole count for every column, so the sum is
/// a little too large and never too small.
fn size_of_one_column(page: &QueryPage, sizes: &Sizes, place: usize, limit: usize) -> Size {
    let size = page
        .columns
        .get(place)
        .map(|column| size_of_columns(&[cut_column(column, limit)]))
        .unwrap_or_default();
    match page.rows.first().and_then(|row| row.get(place)) {
        Some(cell) => {
            let cut = cut_cell(cell, limit, sizes.get(&(0, place)).copied());
            let row = vec![cut.map_or_else(|| cell.clone(), |(text, _)| Value::from(text))];
            size.plus(size_of_row(&row, &csv_line(&row)))
        }
        None => size,
    }
}

fn size_of_columns(columns: &[ColumnMeta]) -> Size {
    let json = serde_json::to_string(columns).unwrap_or_default();
    // The text names the types too, on a line of its own.
    let types: usize = columns.iter().map(|column| utf16(&column.kind) + 2).sum();
    Size { json: utf16(&json), csv: utf16(&header(columns)) + types }
}

fn size_of_row(row: &Row, line: &str) -> Size {
    let json = serde_json::to_string(row).unwrap_or_default();
    Size { json: utf16(&json) + 1, csv: utf16(line) + 1 }
}

/// The length as JavaScript counts it.
pub fn utf16(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

fn header(columns: &[ColumnMeta]) -> String {
    let mut out = String::new();
    csv::write_header(&mut out, columns.iter().map(|column| column.name.as_str()), Hidden::SpelledOut);
    out
}

fn csv_line(row: &Row) -> String {
    let mut out = String::new();
    csv::write_row(&mut out, row, Hidden::SpelledOut);
    out
}

fn cut_column(column: &ColumnMeta, limit: usize) -> ColumnMeta {
    let limit = limit.clamp(NAME_CHARS / 5, NAME_CHARS);
    let short = |text: &str| cut_text(text, limit).unwrap_or_else(|| text.to_owned());
    ColumnMeta { name: short(&column.name), kind: short(&column.kind) }
}

/// The row as it is shown, and which of its cells were cut: their columns and sizes.
fn cut_row(row: &Row, place: usize, sizes: &Sizes, width: usize, limit: usize) -> (Row, Vec<(usize, u64)>) {
    let mut cuts = Vec::new();
    let cells = row.iter().take(width).enumerate().map(|(column, cell)| {
        match cut_cell(cell, limit, sizes.get(&(place, column)).copied()) {
            Some((text, characters)) => {
                cuts.push((column, characters));
                Value::from(text)
            }
            None => cell.clone(),
        }
    });
    let cells = cells.collect();
    (cells, cuts)
}

/// The beginning of a long cell with its size, and the size; `known` is the size of a cell that came cut.
fn cut_cell(cell: &Value, limit: usize, known: Option<u64>) -> Option<(String, u64)> {
    match cell {
        Value::String(text) => cut_long(text, limit, known),
        Value::Array(_) | Value::Object(_) => cut_long(&cell.to_string(), limit, known),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn cut_long(text: &str, limit: usize, known: Option<u64>) -> Option<(String, u64)> {
    if known.is_none() && text.len() <= limit {
        return None;
    }
    let end = match (text.char_indices().nth(limit), known) {
        (Some((end, _)), _) => end,
        (None, Some(_)) => text.len(),
        (None, None) => return None,
    };
    let characters = known.unwrap_or_else(|| text.chars().count() as u64);
    Some((format!("{}…(cut, {} characters in all)", &text[..end], grouped(characters)), characters))
}

/// A number with its thousands apart: `5,242,880`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The first `limit` characters and how many more there are; `None` if nothing is to be cut.
pub fn cut_text(text: &str, limit: usize) -> Option<String> {
    if text.len() <= limit {
        return None;
    }
    let (end, _) = text.char_indices().nth(limit)?;
    let rest = text[end..].chars().count();
    Some(format!("{}…[+{rest} chars]", &text[..end]))
}

#[cfg(test)]
mod tests {
    use registry_core::id::QueryId;
    use serde_json::json;

    use super::*;

    fn page(names: &[&str], rows: Vec<Value>) -> QueryPage {
        QueryPage {
            query_id: QueryId::generate(),
            columns: names.iter().map(|name| ColumnMeta::new(*name, "TEXT")).collect(),
            stored_rows: rows.len() as u64,
            rows: rows.into_iter().map(|row| row.as_array().unwrap().clone()).collect(),
            offset: 0,
            total_rows: None,
            has_more: false,
            truncated: None,
        }
    }

    fn assert_within(fitted: &FittedPage, budget: usize) {
        let json = json!({"columns": fitted.columns, "rows": fitted.rows}).to_string();
        // "columns" and "rows" and their punctuation are not rows.
        assert!(utf16(&json) <= budget + 40, "json takes {} of {budget}", utf16(&json));
        assert!(utf16(fitted.csv.as_str()) <= budget, "csv takes {} of {budget}", utf16(fitted.csv.as_str()));
    }

    #[test]
    fn a_small_page_passes_unchanged() {
        let page = page(&["id", "name"], vec![json!([1, "a"]), json!([2, null]), json!([3, ""])]);
        let fitted = fit(&page, 1000);
        assert_eq!(fitted.rows, page.rows);
        assert_eq!(fitted.csv.as_str(), "id,name\n1,a\n2,\n3,\"\"");
        assert_eq!((fitted.has_more, fitted.cuts.len(), fitted.hidden_columns), (false, 0, 0));
    }

    #[test]
    fn rows_past_the_budget_are_left_for_the_next_page() {
        let page = page(&["text"], (0..1000).map(|n| json!([format!("row number {n}")])).collect());
        let fitted = fit(&page, 2000);
        assert!(fitted.rows.len() > 50 && fitted.rows.len() < 1000);
        assert!(fitted.has_more);
        assert_eq!(fitted.rows[..], page.rows[..fitted.rows.len()]);
        assert_within(&fitted, 2000);
    }

    #[test]
    fn a_cell_at_the_limit_is_whole_and_one_past_it_is_cut() {
        let page = page(&["text"], vec![json!(["é".repeat(2048)]), json!(["é".repeat(2049)])]);
        let fitted = fit(&page, 10_000);
        assert_eq!(fitted.rows[0], page.rows[0]);
        assert_eq!(fitted.rows[1][0], format!("{}…(cut, 2,049 characters in all)", "é".repeat(2048)));
        assert_eq!(fitted.cuts, [CutCell { row: 1, column: 0, characters: 2049 }]);
    }

    #[test]
    fn a_cell_that_came_cut_tells_its_whole_size() {
        let mut page = page(&["n", "text"], vec![json!([1, "x".repeat(2048)]), json!([2, "y".repeat(2048)])]);
        page.offset = 7;
        let cuts = vec![CutCell { row: 8, column: 1, characters: 5_242_880 }];
        let fitted = fit_abridged(&AbridgedPage { page, cuts: cuts.clone() }, 10_000);
        assert_eq!((fitted.rows[0][1].as_str().unwrap().len(), fitted.cuts), (2048, cuts));
        assert!(fitted.rows[1][1].as_str().unwrap().ends_with("y…(cut, 5,242,880 characters in all)"));
    }

    #[test]
    fn one_row_that_is_too_large_is_made_to_fit() {
        let names: Vec<String> = (0..100).map(|n| format!("column_{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let row = Value::Array(vec![json!("\u{1b}".repeat(5000)); 100]);
        let fitted = fit(&page(&names, vec![row]), 30_000);
        assert_eq!((fitted.rows.len(), fitted.hidden_columns, fitted.cuts.len()), (1, 0, 100));
        assert_within(&fitted, 30_000);
    }

    #[test]
    fn ten_thousand_columns_are_cut_at_the_right_and_counted() {
        let names: Vec<String> = (0..10_000).map(|n| format!("a_rather_long_column_name_{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let rows = vec![Value::Array(vec![json!("some text in the cell"); 10_000]); 3];
        let fitted = fit(&page(&names, rows), 30_000);
        assert_eq!(fitted.columns.len() + fitted.hidden_columns, 10_000);
        assert_eq!(fitted.rows[0].len(), fitted.columns.len());
        assert!(!fitted.rows.is_empty() && fitted.columns.len() > 100);
        assert_within(&fitted, 30_000);
    }

    #[test]
    fn an_empty_result_keeps_its_columns() {
        let fitted = fit(&page(&["a", "b"], vec![]), 1000);
        assert_eq!((fitted.csv.as_str(), fitted.columns.len(), fitted.has_more), ("a,b", 2, false));
    }

    #[test]
    fn a_long_nested_value_becomes_cut_text() {
        let long = json!([vec![7; 2000]]);
        let fitted = fit(&page(&["variant"], vec![json!([long])]), 10_000);
        assert!(fitted.rows[0][0].as_str().unwrap().ends_with("characters in all)"));
    }
}
