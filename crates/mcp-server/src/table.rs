//! Rows as an aligned table for a person at a terminal.

use registry_core::results::{ColumnMeta, Row};
use serde_json::Value;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::visible::visible;

/// How NULL is shown.
const NULL: &str = "NULL";
/// Columns grow no wider than this; a longer cell pushes its line out instead of widening all of them.
const MOST_WIDTH: usize = 60;

/// Narrower than this a column tells too little; rows are then shown one below the other.
const LEAST_WIDTH: usize = 8;
const GAP: usize = 2;

/// Lays out rows in columns whose widths come from the first rows, so that a table of any length can be printed as
/// it is read.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Layout>,
    /// The columns of the terminal; without one, lines may have any length.
    room: Option<usize>,
    /// Whether the rows stand one below the other, because their columns do not fit side by side.
    stacked: bool,
    /// Whether something was cut.
    cut: bool,
}

#[derive(Debug)]
struct Layout {
    name: String,
    width: usize,
    right: bool,
}

impl Table {
    /// A table fitted to `columns`, to the first rows of the result, and to the terminal that is `room` columns wide.
    pub fn fitted(columns: &[ColumnMeta], first: &[Row], room: Option<usize>) -> Self {
        let columns = columns.iter().enumerate().map(|(place, column)| {
            let cells = first.iter().filter_map(|row| row.get(place));
            let widest = cells.clone().map(|cell| shown(cell).width()).max().unwrap_or(0);
            let mut known = cells.filter(|cell| !cell.is_null()).peekable();
            let right = known.peek().is_some() && known.all(Value::is_number);
            let name = visible(&column.name).into_owned();
            Layout { width: widest.max(name.width()).min(MOST_WIDTH), name, right }
        });
        let mut table = Self { columns: columns.collect(), room, stacked: false, cut: false };
        if let Some(room) = room {
            table.shrink(room);
        }
        table
    }

    /// Takes from the widest columns what is too much.
    fn shrink(&mut self, room: usize) {
        let gaps = GAP * self.columns.len().saturating_sub(1);
        let fits = |most: &usize| {
            gaps + self.columns.iter().map(|column| column.width.min(*most)).sum::<usize>() <= room
        };
        match (LEAST_WIDTH..=MOST_WIDTH).rev().find(fits) {
            Some(most) => self.columns.iter_mut().for_each(|column| column.width = column.width.min(most)),
            None => self.stacked = true,
        }
    }

    /// Whether something that was printed is not whole.
    pub fn was_cut(&self) -> bool {
        self.cut
    }

    /// The names and the line under them.
    pub fn header(&mut self) -> String {
        if self.stacked {
            return String::new();
        }
        let names: Vec<String> = self.columns.iter().map(|layout| layout.name.clone()).collect();
        let rules: Vec<String> = self.columns.iter().map(|layout| "─".repeat(layout.width)).collect();
        format!("{}{}\n", self.line(names.into_iter()), rules.join("──"))
    }

    /// One line a row, or one line a value.
    pub fn rows(&mut self, rows: &[Row]) -> String {
        let text = |row: &Row| match self.stacked {
            true => self.stack(row),
            false => self.line(row.iter().map(shown)),
        };
        rows.iter().map(text).collect()
    }

    fn line(&mut self, cells: impl Iterator<Item = String>) -> String {
        let mut line = String::new();
        for (place, (cell, layout)) in cells.zip(&self.columns).enumerate() {
            if place > 0 {
                line.push_str("  ");
            }
            let cell = fit(cell, self.room.map(|_| layout.width), &mut self.cut);
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

    /// A line for each value, and an empty one below them.
    fn stack(&mut self, row: &Row) -> String {
        let mut lines = String::new();
        for (cell, layout) in row.iter().zip(&self.columns) {
            let line = fit(format!("{}: {}", layout.name, shown(cell)), self.room, &mut self.cut);
            lines.extend([line.as_str(), "\n"]);
        }
        lines.push('\n');
        lines
    }
}

/// The text as it fits into `room`; notes in `was_cut` whether that is not all of it.
fn fit(text: String, room: Option<usize>, was_cut: &mut bool) -> String {
    let Some(room) = room.filter(|room| text.width() > *room) else { return text };
    *was_cut = true;
    cut(&text, room)
}

/// The text, or its beginning and `…`, in no more than `width` columns.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 1);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
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
        print_within(None, names, rows).0
    }

    /// The text, and whether something was cut.
    fn print_within(room: Option<usize>, names: &[&str], rows: Value) -> (String, bool) {
        let columns: Vec<ColumnMeta> = names.iter().map(|name| ColumnMeta::new(*name, "TEXT")).collect();
        let rows: Vec<Row> = serde_json::from_value(rows).unwrap();
        let mut table = Table::fitted(&columns, &rows, room);
        let text = [table.header(), table.rows(&rows)].concat();
        (text, table.was_cut())
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

    #[test]
    fn on_a_terminal_every_line_fits_and_narrow_columns_stay_whole() {
        let long = "x".repeat(10_000);
        for room in [20, 40, 60, 200] {
            let (text, cut) =
                print_within(Some(room), &["id", "text", "city"], json!([[1234567, long, "東京"]]));
            assert!(cut && text.contains('…'), "{text}");
            assert!(text.lines().all(|line| line.width() <= room), "{room}: {text}");
            assert!(text.contains("1234567") && text.contains("東京"), "{room}: {text}");
        }
        let (text, cut) = print_within(Some(14), &["id", "name"], json!([[7, "apple"]]));
        assert_eq!((text.as_str(), cut), ("id  name\n─────────\n 7  apple\n", false));
    }

    #[test]
    fn columns_that_do_not_fit_side_by_side_stand_one_below_the_other() {
        let names = ["first_name", "second_name", "third_name"];
        let rows = json!([["aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc"], ["d", null, "e".repeat(50)]]);
        let (text, cut) = print_within(Some(24), &names, rows);
        let expected = "\
first_name: aaaaaaaaaa
second_name: bbbbbbbbbb
third_name: cccccccccc

first_name: d
second_name: NULL
third_name: eeeeeeeeeee…

";
        assert_eq!((text.as_str(), cut), (expected, true));
    }

    #[test]
    fn in_a_pipe_nothing_is_cut() {
        let long = "x".repeat(10_000);
        assert!(print(&["id", "text"], json!([[1, &long]])).contains(&long));
    }

    #[test]
    fn a_cut_text_is_never_wider_than_its_place() {
        assert_eq!(cut("select", 6), "select");
        assert_eq!(cut("select 1", 6), "selec…");
        assert_eq!(cut("東京都庁", 5), "東京…");
        assert_eq!(cut("東京都庁", 6), "東京…");
        assert_eq!(cut("ab", 1), "…");
    }
}
