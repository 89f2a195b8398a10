//! The store as its users see it.

mod so_far;

use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::id::QueryId;

const UNLIMITED: u64 = u64::MAX;

struct Fixture {
    store: ResultStore,
    id: QueryId,
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self::limited(ResultLimits::default())
    }

    fn limited(limits: ResultLimits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ResultStore::open(directory.path().join("results"), limits).unwrap();
        Self { store, id: QueryId::generate(), directory }
    }

    /// A store with `rows` rows of one integer column that counts from 0.
    fn counting(rows: i64) -> Self {
        let fixture = Self::new();
        let mut writer = fixture.writer(1);
        for number in 0..rows {
            assert_eq!(writer.push(&[Cell::Int(number)]), Ok(Flow::More));
        }
        writer.finish(None).unwrap();
        fixture
    }

    fn writer(&self, columns: usize) -> ResultWriter {
        let mut writer = self.store.writer(self.id);
        writer.columns((0..columns).map(|n| ColumnMeta::new(format!("c{n}"), "ANY")).collect()).unwrap();
        writer
    }

    fn page(&self, offset: u64, limit: u64) -> Result<Vec<Row>, ResultStoreError> {
        self.store.page(self.id, offset, limit, UNLIMITED).map(|page| page.rows)
    }

    fn lines(&self, offset: u64) -> Result<Vec<String>, ResultStoreError> {
        let mut reader = self.store.reader(self.id, offset)?;
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line()? {
            lines.push(line.to_owned());
        }
        Ok(lines)
    }

    fn path(&self, suffix: &str) -> std::path::PathBuf {
        self.directory.path().join("results").join(format!("{}{suffix}", self.id))
    }

    fn file_names(&self) -> Vec<std::ffi::OsString> {
        let entries = fs::read_dir(self.directory.path().join("results")).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    }
}

fn counted(range: std::ops::Range<u64>) -> Vec<Row> {
    range.map(|number| vec![json!(number)]).collect()
}

fn is_damaged<T>(result: &Result<T, ResultStoreError>) -> bool {
    matches!(result, Err(ResultStoreError::Damaged(_)))
}

// ---- round trip

/// A cell that owns its data.
#[derive(Debug, Clone)]
enum Owned {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(String),
    Text(String),
    Bytes(Vec<u8>),
}

impl Owned {
    fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Bool(value) => Cell::Bool(*value),
            Self::Int(value) => Cell::Int(*value),
            Self::Float(value) => Cell::Float(*value),
            Self::Decimal(text) => Cell::Decimal(text),
            Self::Text(text) => Cell::Text(text),
            Self::Bytes(bytes) => Cell::Bytes(bytes),
        }
    }

    fn expected(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => json!(value),
            Self::Int(value) if (-9_007_199_254_740_991..=9_007_199_254_740_991).contains(value) => {
                json!(value)
            }
            Self::Int(value) => json!(value.to_string()),
            Self::Float(value) if value.is_finite() => json!(value),
            Self::Float(value) if value.is_nan() => json!("NaN"),
            Self::Float(value) => json!(if *value > 0.0 { "Infinity" } else { "-Infinity" }),
            Self::Decimal(text) | Self::Text(text) => json!(text),
            Self::Bytes(bytes) => json!(bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>()),
        }
    }
}

fn any_cell() -> impl Strategy<Value = Owned> {
    let text = || prop::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter);
    prop_oneof![
        Just(Owned::Null),
        any::<bool>().prop_map(Owned::Bool),
        prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -9i64..9].prop_map(Owned::Int),
        prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::NEG_INFINITY)].prop_map(Owned::Float),
        any::<i128>().prop_map(|digits| Owned::Decimal(format!("{digits}.50"))),
        text().prop_map(Owned::Text),
        prop::collection::vec(0..0x20u8, 0..5)
            .prop_map(|bytes| Owned::Text(String::from_utf8(bytes).unwrap())),
        prop::collection::vec(any::<u8>(), 0..9).prop_map(Owned::Bytes),
    ]
}

fn any_rows() -> impl Strategy<Value = (usize, Vec<Vec<Owned>>)> {
    (0usize..4).prop_flat_map(|width| {
        let row = prop::collection::vec(any_cell(), width);
        (Just(width), prop::collection::vec(row, 0..(3 * STRIDE as usize)))
    })
}

fn stored(width: usize, rows: &[Vec<Owned>]) -> Fixture {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(width);
    for row in rows {
        assert_eq!(writer.push(&row.iter().map(Owned::cell).collect::<Vec<_>>()), Ok(Flow::More));
    }
    let stored = writer.finish(None).unwrap();
    assert_eq!((stored.rows, stored.total_rows), (rows.len() as u64, Some(rows.len() as u64)));
    assert_eq!(stored.bytes, fs::metadata(fixture.path(".rows")).unwrap().len());
    fixture
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pages_of_any_size_make_up_the_rows_that_were_pushed(
        (width, rows) in any_rows(),
        limit in 1u64..300,
        max_bytes in prop_oneof![0u64..2000, Just(UNLIMITED)],
    ) {
        let fixture = stored(width, &rows);
        let expected: Vec<Row> = rows.iter().map(|row| row.iter().map(Owned::expected).collect()).collect();
        let mut read = Vec::new();
        loop {
            let page = fixture.store.page(fixture.id, read.len() as u64, limit, max_bytes).unwrap().rows;
            let bytes: usize = page.iter().map(|row| serde_json::to_vec(row).unwrap().len() + 1).sum();
            prop_assert!(page.len() as u64 <= limit);
            prop_assert!(page.len() <= 1 || bytes as u64 <= max_bytes);
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn a_reader_gives_the_stored_lines_from_any_row_on((width, rows) in any_rows(), offset in 0u64..400) {
        let fixture = stored(width, &rows);
        let text = fs::read_to_string(fixture.path(".rows")).unwrap();
        let expected: Vec<_> = text.lines().skip(offset as usize).collect();
        prop_assert_eq!(fixture.lines(offset).unwrap(), expected);
    }

    #[test]
    fn files_with_any_damage_never_make_a_reader_panic(
        index in any::<bool>(),
        cut in prop::option::of(any::<prop::sample::Index>()),
        at in any::<prop::sample::Index>(),
        garbage in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(b'\n')], 0..40),
        offset in 0u64..400,
    ) {
        let fixture = Fixture::counting(300);
        let path = fixture.path(if index { ".idx" } else { ".rows" });
        let mut bytes = fs::read(&path).unwrap();
        let start = at.index(bytes.len());
        for (byte, new) in bytes[start..].iter_mut().zip(&garbage) {
            *byte = *new;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, &bytes).unwrap();
        for outcome in [fixture.page(offset, 50).map(drop), fixture.lines(offset).map(drop)] {
            prop_assert!(matches!(outcome, Ok(()) | Err(ResultStoreError::Damaged(_))), "{:?}", outcome);
            prop_assert!(cut.is_none() || is_damaged(&outcome));
        }
    }
}

#[test]
fn a_row_counts_as_soon_as_it_is_pushed() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    let so_far = writer.so_far();
    for number in 1..=3 {
        assert_eq!(writer.push(&[Cell::Null]), Ok(Flow::More));
        assert_eq!(so_far.count(), number);
    }
}

#[test]
fn an_empty_result_keeps_its_columns_and_gives_empty_pages() {
    let fixture = Fixture::new();
    let stored = fixture.writer(2).sync_on_finish(true).finish(None).unwrap();
    assert_eq!((stored.columns.len(), stored.rows, stored.bytes, stored.total_rows), (2, 0, 0, Some(0)));
    assert_eq!(fixture.page(0, 10), Ok(vec![]));
    assert_eq!(fixture.lines(0), Ok(vec![]));
}

#[test]
fn a_statement_without_columns_has_an_empty_result() {
    let fixture = Fixture::new();
    let stored = fixture.store.writer(fixture.id).finish(None).unwrap();
    assert_eq!(stored, StoredRows { total_rows: Some(0), ..StoredRows::default() });
    assert_eq!(fixture.page(0, 10), Ok(vec![]));
}

#[test]
fn a_page_past_the_end_is_empty() {
    let fixture = Fixture::counting(300);
    for offset in [300, 301, 384, u64::MAX] {
        assert_eq!(fixture.page(offset, u64::MAX), Ok(vec![]), "{offset}");
        assert_eq!(fixture.lines(offset), Ok(vec![]), "{offset}");
    }
    assert_eq!(fixture.page(299, u64::MAX), Ok(counted(299..300)));
    assert_eq!(fixture.page(5, 0), Ok(vec![]));
}

#[test]
fn a_page_reads_no_block_but_its_own() {
    let fixture = Fixture::counting(10 * STRIDE as i64);
    let mut text = fs::read_to_string(fixture.path(".rows")).unwrap().into_bytes();
    let begin = text.windows(5).position(|window| window == b"[768]").unwrap();
    let end = text.windows(5).position(|window| window == b"[896]").unwrap();
    // The line break before the block is looked at, to see that a line begins there.
    text[..begin - 1].fill(b'x');
    text[end..].fill(b'x');
    fs::write(fixture.path(".rows"), &text).unwrap();
    assert_eq!(fixture.page(768, STRIDE), Ok(counted(768..896)));
    assert_eq!(fixture.page(895, 1), Ok(counted(895..896)));
    assert!(is_damaged(&fixture.page(767, 1)));
    assert!(is_damaged(&fixture.page(895, 2)));
}

// ---- large rows

#[test]
fn a_row_beyond_the_byte_limit_comes_alone_or_not_at_all() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    let huge = "é".repeat(8 << 20);
    for text in ["a", &huge, "b"] {
        assert_eq!(writer.push(&[Cell::Text(text)]), Ok(Flow::More));
    }
    writer.finish(None).unwrap();
    let page = |offset, max_bytes| fixture.store.page(fixture.id, offset, 10, max_bytes).unwrap().rows;
    assert_eq!(page(0, 1000), [[json!("a")]]);
    assert_eq!(page(1, 1000), [[json!(huge)]]);
    assert_eq!(page(2, 0), [[json!("b")]]);
    assert_eq!(page(0, UNLIMITED).len(), 3);
    assert_eq!(fixture.lines(0).unwrap()[1].len(), (16 << 20) + 4);
}

#[test]
fn a_page_holds_exactly_as_many_bytes_as_it_may() {
    let fixture = Fixture::counting(10);
    // `[0]` and its line break are four bytes.
    for (max_bytes, rows) in [(0, 1), (7, 1), (8, 2), (39, 9), (40, 10)] {
        let page = fixture.store.page(fixture.id, 0, 100, max_bytes).unwrap();
        assert_eq!(page.rows.len(), rows, "{max_bytes} bytes");
    }
}

// ---- ceilings

fn fill(limits: ResultLimits, rows: usize, total: Option<u64>) -> (StoredRows, Fixture) {
    let fixture = Fixture::limited(limits);
    let mut writer = fixture.writer(1);
    let full = (0..rows).find(|_| writer.push(&[Cell::Int(1)]) == Ok(Flow::Full));
    if full.is_some() {
        assert_eq!(writer.push(&[Cell::Null]), Ok(Flow::Full), "no smaller row may follow");
    }
    (writer.finish(total).unwrap(), fixture)
}

#[test]
fn a_result_of_exactly_the_most_rows_is_whole() {
    let limits = ResultLimits { max_rows: 200, ..ResultLimits::default() };
    let (stored, _) = fill(limits, 200, None);
    assert_eq!((stored.rows, stored.total_rows, stored.truncated), (200, Some(200), None));
    let (stored, fixture) = fill(limits, 201, None);
    assert_eq!((stored.rows, stored.total_rows, stored.truncated), (200, None, Some(Truncation::RowCeiling)));
    assert_eq!(fixture.page(0, 1000).unwrap().len(), 200);
}

#[test]
fn a_result_of_exactly_the_most_bytes_is_whole() {
    let limits = |max_bytes| ResultLimits { max_bytes, ..ResultLimits::default() };
    let (stored, _) = fill(limits(400), 100, None);
    assert_eq!((stored.rows, stored.bytes, stored.truncated), (100, 400, None));
    let (stored, fixture) = fill(limits(399), 100, None);
    assert_eq!((stored.rows, stored.bytes), (99, 396));
    assert_eq!((stored.total_rows, stored.truncated), (None, Some(Truncation::ByteCeiling)));
    assert_eq!(fixture.page(0, 1000).unwrap().len(), 99);
}

#[test]
fn the_number_of_the_engine_goes_before_our_own() {
    let limits = ResultLimits { max_rows: 5, ..ResultLimits::default() };
    assert_eq!(fill(limits, 6, Some(1000)).0.total_rows, Some(1000));
    assert_eq!(fill(limits, 3, Some(4)).0.total_rows, Some(4));
}

// ---- damage

#[test]
fn rows_cut_anywhere_are_damaged() {
    let fixture = Fixture::counting(200);
    let whole = fs::read(fixture.path(".rows")).unwrap();
    for length in 0..whole.len() {
        fs::write(fixture.path(".rows"), &whole[..length]).unwrap();
        assert!(is_damaged(&fixture.page(0, 1)), "{length} bytes");
    }
}

#[test]
fn lost_parts_full_of_zeros_are_damaged() {
    let fixture = Fixture::counting(1000);
    let whole = fs::read(fixture.path(".rows")).unwrap();
    for start in (0..whole.len() - 8).step_by(97) {
        let mut torn = whole.clone();
        torn[start..start + 8].fill(0);
        fs::write(fixture.path(".rows"), &torn).unwrap();
        assert!(is_damaged(&fixture.page(0, UNLIMITED)), "at {start}");
        assert!(is_damaged(&fixture.lines(0)), "at {start}");
    }
}

#[test]
fn zeros_within_one_long_row_are_damaged() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    assert_eq!(writer.push(&[Cell::Text(&"x".repeat(100))]), Ok(Flow::More));
    writer.finish(None).unwrap();
    let mut torn = fs::read(fixture.path(".rows")).unwrap();
    torn[20..40].fill(0);
    fs::write(fixture.path(".rows"), &torn).unwrap();
    assert!(is_damaged(&fixture.page(0, 1)) && is_damaged(&fixture.lines(0)));
}

#[test]
fn a_line_that_is_no_row_of_this_result_is_damaged() {
    let fixture = Fixture::counting(3);
    // All of the length that the index expects.
    for text in
        ["[0]\n[]1\n[2]\n", "[0]\n{1}\n[2]\n", "[0]\n[,]\n[2]\n", "[0]\n[\u{e9}\n[2]\n", "[0]\n[1]\n[2],"]
    {
        fs::write(fixture.path(".rows"), text).unwrap();
        assert!(is_damaged(&fixture.page(0, 9)), "{text:?}");
    }
    fs::write(fixture.path(".rows"), "[0]\n\n[1,2]\n").unwrap();
    assert!(is_damaged(&fixture.page(1, 9)) && is_damaged(&fixture.lines(1)));
    fs::write(fixture.path(".rows"), "[0,1,2,345]\n").unwrap();
    assert!(is_damaged(&fixture.page(0, 9)) && is_damaged(&fixture.lines(0)));
}

#[test]
fn an_index_that_points_into_a_row_is_damaged() {
    let fixture = Fixture::counting(300);
    let mut index = fs::read(fixture.path(".idx")).unwrap();
    index[24] += 1;
    fs::write(fixture.path(".idx"), &index).unwrap();
    assert!(is_damaged(&fixture.page(STRIDE, 1)));
    assert!(is_damaged(&fixture.page(STRIDE + 1, 1)));
    assert!(is_damaged(&fixture.page(0, STRIDE)));
    assert!(is_damaged(&fixture.lines(0)));
}

#[test]
fn an_unfinished_result_is_never_taken_for_a_whole_one() {
    let fixture = Fixture::new();
    let mut writer = fixture.writer(1);
    for number in 0..150_000 {
        assert_eq!(writer.push(&[Cell::Int(number)]), Ok(Flow::More));
    }
    for suffix in [".rows", ".idx"] {
        assert!(fs::metadata(fixture.path(suffix)).unwrap().len() > 1000, "a part of {suffix} is on disk");
    }
    assert!(is_damaged(&fixture.page(0, 1)) && is_damaged(&fixture.lines(0)));
    writer.finish(None).unwrap();
    assert_eq!(fixture.page(149_999, 9), Ok(counted(149_999..150_000)));
}

// ---- coming and going

#[test]
fn a_dropped_writer_leaves_nothing() {
    let fixture = Fixture::new();
    drop(fixture.store.writer(fixture.id));
    let mut writer = fixture.writer(1);
    assert_eq!(fixture.file_names().len(), 2);
    assert_eq!(writer.push(&[Cell::Null]), Ok(Flow::More));
    drop(writer);
    assert_eq!(fixture.file_names().len(), 0);
    assert_eq!(fixture.page(0, 1), Err(ResultStoreError::Missing));
}

#[test]
fn a_writer_that_was_replaced_can_neither_finish_nor_harm_its_successor() {
    let fixture = Fixture::new();
    let (mut dropped, mut finished) = (fixture.writer(1), fixture.writer(1));
    let mut last = fixture.writer(1);
    for writer in [&mut dropped, &mut finished] {
        assert_eq!(writer.push(&[Cell::Text("old")]), Ok(Flow::More));
    }
    assert_eq!(last.push(&[Cell::Text("new")]), Ok(Flow::More));
    drop(dropped);
    assert!(matches!(finished.finish(None), Err(ResultStoreError::Io(_))));
    last.finish(None).unwrap();
    assert_eq!(fixture.page(0, 9), Ok(vec![vec![json!("new")]]));
}

#[test]
fn a_result_removed_while_it_is_written_is_not_reported_as_stored() {
    let fixture = Fixture::new();
    let writer = fixture.writer(1);
    fixture.store.remove(fixture.id).unwrap();
    assert!(matches!(writer.finish(None), Err(ResultStoreError::Io(_))));
    assert_eq!(fixture.file_names().len(), 0);
}

#[test]
fn a_gap_in_the_rows_cannot_be_finished() {
    let fixture = Fixture::new();
    let mut early = fixture.store.writer(fixture.id);
    assert!(early.push(&[Cell::Null]).is_err());
    let mut writer = fixture.writer(2);
    assert!(writer.push(&[Cell::Null]).is_err());
    assert!(writer.push(&[Cell::Null, Cell::Null]).is_err());
    assert!(writer.finish(None).is_err());
    assert_eq!(fixture.file_names().len(), 0);
}

#[test]
fn removing_takes_both_files_and_may_be_repeated() {
    let fixture = Fixture::counting(1);
    for _ in 0..2 {
        assert_eq!(fixture.store.remove(fixture.id), Ok(()));
        assert_eq!(fixture.file_names().len(), 0);
    }
    assert_eq!(fixture.page(0, 1), Err(ResultStoreError::Missing));
    assert_eq!(fixture.lines(0), Err(ResultStoreError::Missing));
}

#[test]
fn ids_tell_each_result_once_and_nothing_foreign() {
    let fixture = Fixture::counting(1);
    let half = QueryId::generate();
    let results = fixture.directory.path().join("results");
    fs::write(results.join(format!("{half}.rows")), "").unwrap();
    fs::write(results.join("notes.rows"), "").unwrap();
    fs::write(results.join(".idx"), "").unwrap();
    let mut expected = vec![fixture.id, half];
    expected.sort();
    assert_eq!(fixture.store.ids(), Ok(expected));
}

#[test]
fn several_readers_page_at_the_same_time() {
    let fixture = Fixture::counting(5000);
    std::thread::scope(|scope| {
        for reader in 0..4u64 {
            let (store, id) = (fixture.store.clone(), fixture.id);
            scope.spawn(move || {
                for offset in (reader..5000).step_by(331) {
                    let page = store.page(id, offset, 200, UNLIMITED).unwrap();
                    assert_eq!(page.rows, counted(offset..5000.min(offset + 200)));
                }
            });
        }
    });
}

#[cfg(unix)]
#[test]
fn only_their_user_gets_at_the_rows() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::counting(1);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&fixture.directory.path().join("results")), 0o700);
    assert_eq!((mode(&fixture.path(".rows")), mode(&fixture.path(".idx"))), (0o600, 0o600));
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = ResultStore::open(file.path().join("results"), ResultLimits::default()).unwrap_err();
    assert!(error.to_string().contains("results"), "{error}");
}

/// The ceiling is the one of the submission, even where the store would take more by now.
#[test]
fn an_engine_that_was_told_where_to_stop_is_not_believed_to_have_no_more() {
    for (rows, told, kept, truncated, total) in [
        (3, None, 3, None, Some(3)),
        (3, Some(3), 3, None, Some(3)),
        (4, Some(4), 3, Some(Truncation::RowCeiling), None),
        (4, Some(9), 3, Some(Truncation::RowCeiling), Some(9)),
    ] {
        let fixture = Fixture::new();
        let mut writer = fixture.writer(1).at_most(Some(3));
        for number in 0..rows {
            let _ = writer.push(&[Cell::Int(number)]).unwrap();
        }
        let stored = writer.finish(told).unwrap();
        assert_eq!(
            (stored.rows, stored.truncated, stored.total_rows),
            (kept, truncated, total),
            "{rows} {told:?}"
        );
    }
}
