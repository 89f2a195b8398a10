//! How fast rows go to disk and come back, and how much memory that takes.
//!
//! ```text
//! cargo bench -p registry-core --bench results            # 5,000,000 rows of 10 columns
//! cargo bench -p registry-core --bench results -- 100000  # another number of rows
//! ```
//!
//! Without `cargo bench` a few rows only show that it still runs. The files go to the directory for temporary files;
//! `TMPDIR` names another.

#![expect(clippy::print_stdout, reason = "a measurement is there to be read")]

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use registry_core::id::QueryId;
use registry_core::results::{Cell, ColumnMeta, Flow, ResultLimits, ResultStore, StoredRows};

const COLUMNS: usize = 10;
const PAGE: u64 = 1000;
const PAGE_BYTES: u64 = 64 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let rows = rows_wanted();
    let directory = tempfile::tempdir()?;
    let store = ResultStore::open(directory.path().join("results"), ResultLimits::default())?;
    let id = QueryId::generate();

    let (stored, writing) = timed(|| write(&store, id, rows))?;
    let megabytes = stored.bytes as f64 / 1e6;
    println!("{} rows of {COLUMNS} columns, {megabytes:.0} MB", stored.rows);
    report("write", rows, megabytes, writing);
    println!("peak memory after writing: {}", peak_memory());

    for (name, offset) in [("first", 0), ("middle", rows / 2 + 77), ("last", rows.saturating_sub(PAGE))] {
        let mut latencies = (0..50).map(|_| page(&store, id, offset)).collect::<Result<Vec<_>, _>>()?;
        latencies.sort();
        println!("{name} page of {PAGE} rows: median {:?}, slowest {:?}", latencies[25], latencies[49]);
    }
    let ((), reading) = timed(|| read_all(&store, id))?;
    report("read as text", rows, megabytes, reading);
    println!("peak memory at the end: {}", peak_memory());
    Ok(())
}

fn rows_wanted() -> u64 {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let default = if arguments.iter().any(|argument| argument == "--bench") { 5_000_000 } else { 10_000 };
    arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(default)
}

fn write(store: &ResultStore, id: QueryId, rows: u64) -> Result<StoredRows, Box<dyn Error>> {
    let mut writer = store.writer(id);
    writer.columns((0..COLUMNS).map(|n| ColumnMeta::new(format!("c{n}"), "ANY")).collect())?;
    for number in 0..rows as i64 {
        let row: [Cell<'_>; COLUMNS] = [
            Cell::Int(number),
            Cell::Int(number.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64)),
            Cell::Float(number as f64 / 7.0),
            Cell::Float(number as f64 * 0.25),
            Cell::Text("a city of some length"),
            Cell::Text("tag \"quoted\"\n"),
            Cell::Decimal("1234567890.12"),
            Cell::Bool(number % 2 == 0),
            Cell::Null,
            Cell::Text("2024-02-29T12:34:56Z"),
        ];
        if writer.push(&row)? == Flow::Full {
            return Err("a ceiling is in the way; ask for fewer rows".into());
        }
    }
    Ok(writer.finish(None)?)
}

fn page(store: &ResultStore, id: QueryId, offset: u64) -> Result<Duration, Box<dyn Error>> {
    Ok(timed(|| Ok(black_box(store.page(id, offset, PAGE, PAGE_BYTES)?)))?.1)
}

fn read_all(store: &ResultStore, id: QueryId) -> Result<(), Box<dyn Error>> {
    let mut reader = store.reader(id, 0)?;
    while let Some(line) = reader.next_line()? {
        black_box(line);
    }
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<(T, Duration), Box<dyn Error>> {
    let start = Instant::now();
    let value = work()?;
    Ok((value, start.elapsed()))
}

fn report(what: &str, rows: u64, megabytes: f64, time: Duration) {
    let seconds = time.as_secs_f64();
    println!("{what}: {seconds:.2} s, {:.0} rows/s, {:.0} MB/s", rows as f64 / seconds, megabytes / seconds);
}

/// As Linux counts it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.map_or_else(|| "not known on this system".to_owned(), |peak| peak.trim().to_owned())
}
