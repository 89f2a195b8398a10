//! Rows as the bytes of a file.

use registry_core::results::{ColumnMeta, Row};

use super::Format;
use crate::csv::{self, Hidden};
use crate::jsonl::{self, Keys};

/// The end of a line as RFC 4180 has it.
const CSV_LINE_END: &str = "\r\n";

/// Turns rows into text, page after page.
#[derive(Debug)]
pub(super) struct Encoder {
    form: Form,
    begun: bool,
}

/// A format, and what it needs of the columns.
#[derive(Debug)]
enum Form {
    Csv(Vec<String>),
    Jsonl(Keys),
}

impl Encoder {
    pub(super) fn new(format: Format, columns: &[ColumnMeta]) -> Self {
        let form = match format {
            Format::Csv => Form::Csv(columns.iter().map(|column| column.name.clone()).collect()),
            Format::Jsonl => Form::Jsonl(Keys::of(columns)),
        };
        Self { form, begun: false }
    }

    /// The next rows, after the header if they are the first.
    pub(super) fn encode(&mut self, rows: &[Row]) -> String {
        let mut out = String::new();
        let is_first = !std::mem::replace(&mut self.begun, true);
        match &self.form {
            Form::Csv(names) => {
                if is_first {
                    csv::write_header(&mut out, names.iter().map(String::as_str), Hidden::Kept);
                    out.push_str(CSV_LINE_END);
                }
                for row in rows {
                    csv::write_row(&mut out, row, Hidden::Kept);
                    out.push_str(CSV_LINE_END);
                }
            }
            Form::Jsonl(keys) => {
                for row in rows {
                    jsonl::write_object(&mut out, keys, row);
                    out.push('\n');
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(format: Format) -> String {
        let columns = ["n", "n", "te,xt"].map(|name| ColumnMeta::new(name, "TEXT"));
        let rows: Vec<Row> = serde_json::from_value(json!([
            [1, "9007199254740993", "a,\"b\""],
            [-0.5, null, ""],
            [true, "NaN", "two\nlines"],
            [0.1, "00FF", "=1+1"],
        ]))
        .unwrap();
        let mut encoder = Encoder::new(format, &columns);
        encoder.encode(&rows[..2]) + &encoder.encode(&rows[2..])
    }

    #[test]
    fn csv_is_exact_to_the_byte() {
        let expected = "n,n,\"te,xt\"\r\n1,9007199254740993,\"a,\"\"b\"\"\"\r\n-0.5,,\"\"\r\ntrue,NaN,\"two\nlines\"\r\n\
                        0.1,00FF,=1+1\r\n";
        assert_eq!(encoded(Format::Csv), expected);
    }

    #[test]
    fn json_lines_are_exact_to_the_byte() {
        let expected = "{\"n\":1,\"n_2\":\"9007199254740993\",\"te,xt\":\"a,\\\"b\\\"\"}\n\
                        {\"n\":-0.5,\"n_2\":null,\"te,xt\":\"\"}\n\
                        {\"n\":true,\"n_2\":\"NaN\",\"te,xt\":\"two\\nlines\"}\n\
                        {\"n\":0.1,\"n_2\":\"00FF\",\"te,xt\":\"=1+1\"}\n";
        assert_eq!(encoded(Format::Jsonl), expected);
    }

    #[test]
    fn an_empty_result_has_its_header() {
        let columns = [ColumnMeta::new("a", "TEXT")];
        assert_eq!(Encoder::new(Format::Csv, &columns).encode(&[]), "a\r\n");
        assert_eq!(Encoder::new(Format::Jsonl, &columns).encode(&[]), "");
    }
}
