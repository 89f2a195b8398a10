use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, StringArray, StructArray,
};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{Fields, Schema};
use registry_core::id::QueryId;
use registry_core::results::{ResultLimits, ResultStore};
use serde_json::{Value, json};

use super::super::json::store_rows;
use super::*;

/// One column in both formats, which mean the same.
struct Case {
    kind: &'static str,
    scale: i64,
    arrow: ArrayRef,
    json: Vec<Option<&'static str>>,
    cells: Vec<Value>,
}

fn case<const N: usize>(
    kind: &'static str,
    scale: i64,
    arrow: impl Array + 'static,
    json: [Option<&'static str>; N],
    cells: [Value; N],
) -> Case {
    Case { kind, scale, arrow: Arc::new(arrow), json: json.to_vec(), cells: cells.to_vec() }
}

fn int64(name: &str, values: &[i64]) -> (Arc<Field>, ArrayRef) {
    (Arc::new(Field::new(name, DataType::Int64, true)), Arc::new(Int64Array::from(values.to_vec())))
}

fn int32(name: &str, values: &[i32]) -> (Arc<Field>, ArrayRef) {
    (Arc::new(Field::new(name, DataType::Int32, true)), Arc::new(Int32Array::from(values.to_vec())))
}

fn cases() -> Vec<Case> {
    let big = "123456789012345678901234567890";
    vec![
        case("fixed", 0, Int8Array::from(vec![Some(-7), None]), [Some("-7"), None], [json!(-7), json!(null)]),
        case("fixed", 0, Int16Array::from(vec![300]), [Some("300")], [json!(300)]),
        case("fixed", 0, Int32Array::from(vec![70_000]), [Some("70000")], [json!(70_000)]),
        case(
            "fixed",
            0,
            Int64Array::from(vec![i64::MIN]),
            [Some("-9223372036854775808")],
            [json!("-9223372036854775808")],
        ),
        case(
            "fixed",
            2,
            Int16Array::from(vec![-5, 150]),
            [Some("-0.05"), Some("1.50")],
            [json!("-0.05"), json!("1.50")],
        ),
        case(
            "fixed",
            0,
            Decimal128Array::from(vec![123456789012345678901234567890, 5])
                .with_precision_and_scale(38, 0)
                .unwrap(),
            [Some(big), Some("5")],
            [json!(big), json!(5)],
        ),
        case(
            "fixed",
            3,
            Decimal128Array::from(vec![-123456789012345678901234567890])
                .with_precision_and_scale(38, 3)
                .unwrap(),
            [Some("-123456789012345678901234567.890")],
            [json!("-123456789012345678901234567.890")],
        ),
        case(
            "real",
            0,
            Float64Array::from(vec![0.5, f64::NAN, f64::NEG_INFINITY]),
            [Some("0.5"), Some("NaN"), Some("-inf")],
            [json!(0.5), json!("NaN"), json!("-Infinity")],
        ),
        case(
            "boolean",
            0,
            BooleanArray::from(vec![true, false]),
            [Some("1"), Some("false")],
            [json!(true), json!(false)],
        ),
        case("text", 0, StringArray::from(vec!["Zoë 東京"]), [Some("Zoë 東京")], [json!("Zoë 東京")]),
        case(
            "binary",
            0,
            BinaryArray::from(vec![&[0u8, 0xab][..], &[]]),
            [Some("00AB"), Some("")],
            [json!("00AB"), json!("")],
        ),
        case(
            "date",
            0,
            Date32Array::from(vec![0, 18_262, -141_428, -719_162]),
            [Some("0"), Some("18262"), Some("-141428"), Some("-719162")],
            [json!("1970-01-01"), json!("2020-01-01"), json!("1582-10-14"), json!("0001-01-01")],
        ),
        case("time", 0, Int32Array::from(vec![82_919]), [Some("82919")], [json!("23:01:59")]),
        case("time", 3, Int32Array::from(vec![82_919_500]), [Some("82919.500000000")], [json!("23:01:59.5")]),
        case("time", 9, Int64Array::from(vec![1]), [Some("0.000000001")], [json!("00:00:00.000000001")]),
        case(
            "timestamp_ntz",
            3,
            Int64Array::from(vec![1_616_173_619_250, -500]),
            [Some("1616173619.250000000"), Some("-0.500000000")],
            [json!("2021-03-19 17:06:59.25"), json!("1969-12-31 23:59:59.5")],
        ),
        case(
            "timestamp_ntz",
            9,
            StructArray::from(vec![int64("epoch", &[-1]), int32("fraction", &[500_000_001])]),
            [Some("-0.499999999")],
            [json!("1969-12-31 23:59:59.500000001")],
        ),
        case(
            "timestamp_ltz",
            0,
            Int64Array::from(vec![1_616_173_619]),
            [Some("1616173619")],
            [json!("2021-03-19 17:06:59Z")],
        ),
        case(
            "timestamp_ltz",
            9,
            StructArray::from(vec![int64("epoch", &[0]), int32("fraction", &[7])]),
            [Some("0.000000007")],
            [json!("1970-01-01 00:00:00.000000007Z")],
        ),
        case(
            "timestamp_tz",
            3,
            StructArray::from(vec![int64("epoch", &[1_616_173_619_000]), int32("timezone", &[1500])]),
            [Some("1616173619.000000000 1500")],
            [json!("2021-03-19 18:06:59+01:00")],
        ),
        case(
            "timestamp_tz",
            9,
            StructArray::from(vec![
                int64("epoch", &[0]),
                int32("fraction", &[500_000_000]),
                int32("timezone", &[1110]),
            ]),
            [Some("0.500000000 1110")],
            [json!("1969-12-31 18:30:00.5-05:30")],
        ),
        case(
            "variant",
            0,
            StringArray::from(vec![r#"{"a":1}"#]),
            [Some(r#"{"a":1}"#)],
            [json!(r#"{"a":1}"#)],
        ),
        case(
            "geography",
            0,
            StringArray::from(vec!["POINT(1 2)"]),
            [Some("POINT(1 2)")],
            [json!("POINT(1 2)")],
        ),
        case("not_invented_yet", 0, StringArray::from(vec!["?"]), [Some("?")], [json!("?")]),
    ]
}

/// A column of every kind and its values as a stream.
pub(crate) fn streams() -> Vec<(Column, Vec<u8>)> {
    let column = |case: &Case| Column::new("C", case.kind, Some(case.scale), None);
    cases().iter().map(|case| (column(case), stream(case))).collect()
}

fn stream(case: &Case) -> Vec<u8> {
    let metadata = HashMap::from([("scale".to_owned(), case.scale.to_string())]);
    let field = Field::new("C", case.arrow.data_type().clone(), true).with_metadata(metadata);
    let schema = Arc::new(Schema::new(vec![field]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::clone(&case.arrow)]).unwrap();
    let mut out = Vec::new();
    let mut writer = StreamWriter::try_new(&mut out, &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    out
}

/// The cells that a decoder stores.
fn stored(
    column: &Column,
    decode: impl FnOnce(&[Column], &mut ResultWriter) -> Result<Decoded, DecodeError>,
) -> Vec<Value> {
    let directory = tempfile::tempdir().unwrap();
    let store = ResultStore::open(directory.path().to_owned(), ResultLimits::default()).unwrap();
    let id = QueryId::generate();
    let mut writer = store.writer(id);
    writer.columns(vec![column.meta.clone()]).unwrap();
    decode(std::slice::from_ref(column), &mut writer).unwrap();
    let stored = writer.finish(None).unwrap();
    let page = store.page(id, 0, stored.rows.max(1), u64::MAX).unwrap();
    page.rows.into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn both_formats_give_the_same_cells() {
    for case in cases() {
        let column = Column::new("C", case.kind, Some(case.scale), None);
        let name = format!("{} scale {} as {}", case.kind, case.scale, case.arrow.data_type());
        let arrow = stored(&column, |columns, writer| store_batches(&stream(&case), columns, writer));
        assert_eq!(arrow, case.cells, "Arrow: {name}");
        let rows: Vec<Vec<Option<&str>>> = case.json.iter().map(|text| vec![*text]).collect();
        let text = serde_json::to_vec(&rows).unwrap();
        let json = stored(&column, |columns, writer| store_rows(&text, columns, writer));
        assert_eq!(json, case.cells, "JSON: {name}");
    }
}

#[test]
fn every_kind_has_its_nulls() {
    let struct_null = {
        let fields = Fields::from(vec![
            Field::new("epoch", DataType::Int64, true),
            Field::new("fraction", DataType::Int32, true),
        ]);
        StructArray::new_null(fields, 1)
    };
    let nulls: Vec<(&str, ArrayRef)> = vec![
        ("fixed", Arc::new(Int64Array::new_null(1))),
        ("real", Arc::new(Float64Array::new_null(1))),
        ("boolean", Arc::new(BooleanArray::new_null(1))),
        ("text", Arc::new(StringArray::new_null(1))),
        ("binary", Arc::new(BinaryArray::new_null(1))),
        ("date", Arc::new(Date32Array::new_null(1))),
        ("time", Arc::new(Int32Array::new_null(1))),
        ("timestamp_ntz", Arc::new(struct_null)),
        ("text", Arc::new(arrow_array::NullArray::new(1))),
    ];
    for (kind, arrow) in nulls {
        let case = Case { kind, scale: 0, arrow, json: vec![], cells: vec![] };
        let column = Column::new("C", kind, Some(0), None);
        let cells = stored(&column, |columns, writer| store_batches(&stream(&case), columns, writer));
        assert_eq!(cells, [Value::Null], "{kind}");
    }
}

#[test]
fn a_number_with_its_own_exponent_stays_exact() {
    let parts = |significand: &[u8], exponent: i16| {
        let fields = vec![
            (
                Arc::new(Field::new("exponent", DataType::Int16, true)),
                Arc::new(Int16Array::from(vec![exponent])) as ArrayRef,
            ),
            (
                Arc::new(Field::new("significand", DataType::Binary, true)),
                Arc::new(BinaryArray::from(vec![significand])) as ArrayRef,
            ),
        ];
        Case {
            kind: "decfloat",
            scale: 0,
            arrow: Arc::new(StructArray::from(fields)),
            json: vec![],
            cells: vec![],
        }
    };
    for (significand, exponent, text) in [
        (&[0x0c_u8][..], 2, "1200"),
        (&[0xff, 0x85], -2, "-1.23"),
        (&[0x01], 300, "1e300"),
        (&[0x00], 5, "0"),
    ] {
        let column = Column::new("C", "decfloat", None, None);
        let case = parts(significand, exponent);
        let cells = stored(&column, |columns, writer| store_batches(&stream(&case), columns, writer));
        assert_eq!(cells, [json!(text)]);
    }
}

#[test]
fn bytes_that_are_no_stream_are_an_error_and_no_fault() {
    let column = Column::new("C", "text", None, None);
    let directory = tempfile::tempdir().unwrap();
    let store = ResultStore::open(directory.path().to_owned(), ResultLimits::default()).unwrap();
    let mut good = stream(&cases()[0]);
    let half = good.len() / 2;
    good.truncate(half);
    for bytes in [&b"no stream"[..], &[0xff; 64], &good] {
        let mut writer = store.writer(QueryId::generate());
        writer.columns(vec![column.meta.clone()]).unwrap();
        let decoded = store_batches(bytes, std::slice::from_ref(&column), &mut writer);
        assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{decoded:?}");
    }
}
