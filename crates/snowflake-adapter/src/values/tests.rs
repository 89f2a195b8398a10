//! One table of values, which every format has to read in the same way.

use registry_core::id::QueryId;
use registry_core::results::{ResultLimits, ResultStore, ResultWriter};
use serde_json::{Value, json};

use super::json::{DecodeError, Decoded, store_rows};
use super::*;

/// A value of every kind: type, scale, the text of the JSON formats, and what is stored.
pub(crate) fn table() -> Vec<(&'static str, i64, &'static str, Value)> {
    vec![
        ("fixed", 0, "0", json!(0)),
        ("fixed", 0, "-42", json!(-42)),
        ("fixed", 0, "9007199254740991", json!(9_007_199_254_740_991_i64)),
        ("fixed", 0, "9007199254740993", json!("9007199254740993")),
        ("fixed", 0, "-9223372036854775808", json!("-9223372036854775808")),
        (
            "fixed",
            0,
            "99999999999999999999999999999999999999",
            json!("99999999999999999999999999999999999999"),
        ),
        ("fixed", 2, "1.50", json!("1.50")),
        ("fixed", 2, "-0.01", json!("-0.01")),
        (
            "fixed",
            37,
            "0.0000000000000000000000000000000000001",
            json!("0.0000000000000000000000000000000000001"),
        ),
        ("real", 0, "1.5", json!(1.5)),
        ("real", 0, "1e308", json!(1e308)),
        ("real", 0, "NaN", json!("NaN")),
        ("real", 0, "inf", json!("Infinity")),
        ("real", 0, "-inf", json!("-Infinity")),
        ("decfloat", 0, "1.23E-100", json!("1.23E-100")),
        ("boolean", 0, "true", json!(true)),
        ("boolean", 0, "0", json!(false)),
        ("text", 0, "Zoë 東京 🎁\n", json!("Zoë 東京 🎁\n")),
        ("text", 0, "", json!("")),
        ("binary", 0, "00ffAB", json!("00FFAB")),
        ("binary", 0, "", json!("")),
        ("date", 0, "0", json!("1970-01-01")),
        ("date", 0, "18262", json!("2020-01-01")),
        ("date", 0, "-1", json!("1969-12-31")),
        ("date", 0, "11016", json!("2000-02-29")),
        ("date", 0, "-141427", json!("1582-10-15")),
        ("date", 0, "-141428", json!("1582-10-14")),
        ("date", 0, "-719162", json!("0001-01-01")),
        ("date", 0, "-719163", json!("0000-12-31")),
        ("date", 0, "-719529", json!("-0001-12-31")),
        ("date", 0, "2932896", json!("9999-12-31")),
        ("date", 0, "2932897", json!("10000-01-01")),
        ("time", 9, "82919.000000000", json!("23:01:59")),
        ("time", 9, "0.000000001", json!("00:00:00.000000001")),
        ("time", 3, "1.500000000", json!("00:00:01.5")),
        ("time", 0, "86399", json!("23:59:59")),
        ("timestamp_ntz", 9, "1616173619.000000000", json!("2021-03-19 17:06:59")),
        ("timestamp_ntz", 9, "-0.500000000", json!("1969-12-31 23:59:59.5")),
        ("timestamp_ntz", 3, "-1.001000000", json!("1969-12-31 23:59:58.999")),
        ("timestamp_ntz", 9, "253402300799.999999999", json!("9999-12-31 23:59:59.999999999")),
        ("timestamp_ntz", 9, "-62135596800.000000000", json!("0001-01-01 00:00:00")),
        ("timestamp_ltz", 6, "1616173619.123456000", json!("2021-03-19 17:06:59.123456Z")),
        ("timestamp_tz", 9, "1616173619.000000000 1500", json!("2021-03-19 18:06:59+01:00")),
        ("timestamp_tz", 9, "1616173619.000000000 1440", json!("2021-03-19 17:06:59+00:00")),
        ("timestamp_tz", 9, "1616173619.000000000 1110", json!("2021-03-19 11:36:59-05:30")),
        ("timestamp_tz", 9, "0.000000000 960", json!("1969-12-31 16:00:00-08:00")),
        ("variant", 0, "{\"a\":[1,null]}", json!("{\"a\":[1,null]}")),
        ("array", 0, "[1]", json!("[1]")),
        ("geography", 0, "{\"type\":\"Point\"}", json!("{\"type\":\"Point\"}")),
        ("vector", 0, "[1.0,2.0]", json!("[1.0,2.0]")),
        ("not invented yet", 0, "as it is", json!("as it is")),
    ]
}

/// Values that are not what their column says stay as they were given.
const ODD: [(&str, &str); 16] = [
    ("fixed", "1x"),
    ("real", "much"),
    ("boolean", "maybe"),
    ("binary", "0"),
    ("binary", "zz"),
    ("date", "2020-01-01"),
    ("date", "9223372036854775807"),
    ("time", "-1.0"),
    ("time", "86400.0"),
    ("time", ""),
    ("timestamp_ntz", "99999999999999999999"),
    ("timestamp_ntz", "9223372036854775807.999999999"),
    ("timestamp_ntz", "1.0000000001"),
    ("timestamp_tz", "1.0"),
    ("timestamp_tz", "1.0 99999"),
    ("timestamp_ltz", "1.0 1440"),
];

/// A store and a writer of one result.
pub(super) struct Bench {
    pub(super) store: ResultStore,
    pub(super) id: QueryId,
    _directory: tempfile::TempDir,
}

impl Bench {
    pub(super) fn new(limits: ResultLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ResultStore::open(directory.path().to_owned(), limits).unwrap();
        Self { store, id: QueryId::generate(), _directory: directory }
    }

    pub(super) fn writer(&self, columns: &[Column]) -> ResultWriter {
        let mut writer = self.store.writer(self.id);
        writer.columns(columns.iter().map(|column| column.meta.clone()).collect()).unwrap();
        writer
    }

    pub(super) fn rows(&self, writer: ResultWriter) -> Vec<Vec<Value>> {
        writer.finish(None).unwrap();
        self.store.page(self.id, 0, 1000, u64::MAX).unwrap().rows
    }
}

/// What is stored of `text`, read with these columns.
fn stored(columns: &[Column], text: &str) -> Vec<Vec<Value>> {
    let bench = Bench::new(ResultLimits::default());
    let mut writer = bench.writer(columns);
    let decoded = store_rows(text.as_bytes(), columns, &mut writer).unwrap();
    let rows = bench.rows(writer);
    assert_eq!(decoded, Decoded::All(rows.len() as u64));
    rows
}

#[test]
fn every_type_has_its_one_form() {
    let columns: Vec<Column> =
        table().iter().map(|(kind, scale, ..)| Column::new("c", kind, Some(*scale), None)).collect();
    let texts: Vec<&str> = table().iter().map(|(_, _, text, _)| *text).collect();
    let rows = stored(&columns, &json!([texts]).to_string());
    for ((kind, scale, text, wanted), seen) in table().into_iter().zip(&rows[0]) {
        assert_eq!(*seen, wanted, "{kind}({scale}) {text:?}");
    }
}

#[test]
fn a_null_of_every_type_is_null() {
    let columns: Vec<Column> = table().iter().map(|(kind, ..)| Column::new("c", kind, None, None)).collect();
    let rows = stored(&columns, &json!([vec![Value::Null; columns.len()]]).to_string());
    assert!(rows[0].iter().all(Value::is_null));
}

#[test]
fn an_odd_value_stays_as_it_was_given() {
    for (kind, text) in ODD {
        let rows = stored(&[Column::new("c", kind, None, None)], &json!([[text]]).to_string());
        assert_eq!(rows, [[json!(text)]], "{kind} {text:?}");
    }
}

#[test]
fn every_day_of_a_thousand_years_follows_the_day_before() {
    let text = |days| {
        let mut out = String::new();
        push_date(days, &mut out).map(|()| out)
    };
    let mut last = text(-300_000).unwrap();
    for days in -299_999..100_000 {
        let next = text(days).unwrap();
        assert!(next > last, "{last} comes before {next}");
        last = next;
    }
    let from_chrono =
        |days: i64| chrono::DateTime::from_timestamp(days * 86_400, 0).unwrap().date_naive().to_string();
    for days in (-700_000..2_900_000).step_by(97) {
        assert_eq!(text(days).unwrap(), from_chrono(days));
    }
    assert_eq!((text(i64::MAX), text(i64::MIN)), (None, None));
}

#[test]
fn an_unscaled_number_gets_its_point() {
    let cases = [
        (0, 0, "0"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (150, 2, "1.50"),
        (0, 2, "0.00"),
        (-12_345, 3, "-12.345"),
        (1, 37, "0.0000000000000000000000000000000000001"),
        (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        (i128::MAX, 38, "1.70141183460469231731687303715884105727"),
    ];
    for (unscaled, scale, text) in cases {
        let mut out = String::new();
        push_decimal(unscaled, scale, &mut out);
        assert_eq!(out, text);
    }
}

#[test]
fn types_are_told_in_the_words_of_sql() {
    let word = |kind, scale, precision| Column::new("c", kind, scale, precision).meta.kind;
    assert_eq!(word("fixed", Some(2), Some(10)), "NUMBER(10,2)");
    assert_eq!(word("fixed", None, None), "NUMBER(38,0)");
    assert_eq!(word("real", None, None), "FLOAT");
    assert_eq!(word("text", Some(0), None), "VARCHAR");
    assert_eq!(word("timestamp_tz", Some(3), Some(0)), "TIMESTAMP_TZ(3)");
    assert_eq!(word("variant", None, None), "VARIANT");
    assert_eq!(word("Something new", None, None), "SOMETHING NEW");
}

#[test]
fn rows_are_found_under_data_wherever_it_stands() {
    let columns = [Column::new("c", "fixed", Some(0), None)];
    for text in [
        r#"{"data":[["1"],["2"]]}"#,
        r#"{"a":{"data":[["9"]]},"data":[["1"],["2"]],"b":1}"#,
        r#"[["1"],["2"]]"#,
    ] {
        assert_eq!(stored(&columns, text), [[json!(1)], [json!(2)]], "{text}");
    }
}

#[test]
fn what_is_no_rows_is_an_error_in_words() {
    let columns = [Column::new("c", "text", None, None)];
    let bad = [
        "",
        "{}",
        "null",
        r#"{"data":null}"#,
        r#"{"data":[["a"]"#,
        r#"[["a","b"]]"#,
        "[[]]",
        r#"[[["a"]]]"#,
        "[[{}]]",
        "[1]",
        "[[\"a\"]] x",
    ];
    for text in bad {
        let bench = Bench::new(ResultLimits::default());
        let mut writer = bench.writer(&columns);
        let decoded = store_rows(text.as_bytes(), &columns, &mut writer);
        assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{text}: {decoded:?}");
    }
}

#[test]
fn a_full_result_ends_the_decoding() {
    let columns = [Column::new("c", "text", None, None)];
    let bench = Bench::new(ResultLimits { max_rows: 1, ..ResultLimits::default() });
    let mut writer = bench.writer(&columns);
    let decoded = store_rows(br#"[["a"],["b"],not json"#, &columns, &mut writer);
    assert_eq!(decoded, Ok(Decoded::Full));
    assert_eq!(bench.rows(writer), [[json!("a")]]);
}
