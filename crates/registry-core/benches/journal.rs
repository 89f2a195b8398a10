//! What one durable change costs: `cargo bench -p registry-core --bench journal -- [DIRECTORY]`.
//!
//! The directory must be on the disk to be measured; without one it is the system's place for temporary files.

#![expect(clippy::print_stdout, clippy::expect_used, reason = "a measurement talks to a person")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use registry_core::id::InstanceId;
use registry_core::journal::{Durability, Journal, ListFilter, SqliteJournal, Uniqueness, Updated};
use registry_core::options::QueryRequest;
use registry_core::record::{EngineFacts, QueryRecord};
use registry_core::snapshot::QueryStatus;

const UPDATES: usize = 3000;

fn main() {
    // Cargo itself passes `--bench`.
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    for ended in [0, 20_000] {
        for durability in [Durability::Process, Durability::Power] {
            measure(&place, durability, ended);
        }
    }
}

fn measure(place: &std::path::Path, durability: Durability, ended: usize) {
    let dir = tempfile::tempdir_in(place).expect("a directory to measure in");
    let journal = SqliteJournal::open(dir.path().join("journal.db"), durability).expect("a journal");
    fill(&journal, ended);
    let mut record = accept();
    journal.insert(&record, &Uniqueness::default()).expect("an insertion");
    let commits = times(UPDATES, || {
        let after = QueryRecord { version: record.version + 1, ..record.clone() };
        assert_eq!(journal.update(&record, &after), Ok(Updated::Applied));
        record = after;
    });
    let filter = ListFilter { status: None, limit: Some(50) };
    let lists = times(100, || drop(journal.list(&filter)));
    let sweeps = times(100, || drop((journal.unsettled(), journal.expired(record.created_at, 100))));
    println!(
        "{durability:?}, {ended} ended: {:.0} updates/s, p50 {:?}, p99 {:?}; list of 50 {:?}; sweep {:?}",
        commits.len() as f64 / commits.iter().sum::<Duration>().as_secs_f64(),
        percentile(&commits, 50),
        percentile(&commits, 99),
        percentile(&lists, 50),
        percentile(&sweeps, 50),
    );
}

fn accept() -> QueryRecord {
    let sql = format!("SELECT * FROM t WHERE name = '{}'", "x".repeat(500));
    let (owner, now, ttl) = (InstanceId::generate(), Default::default(), Duration::from_secs(3600));
    QueryRecord::accept(QueryRequest::new(sql), "main".to_owned(), engine(), owner, now, ttl)
}

fn fill(journal: &SqliteJournal, ended: usize) {
    for _ in 0..ended {
        let record = QueryRecord { status: QueryStatus::Succeeded, ..accept() };
        journal.insert(&record, &Uniqueness::default()).expect("an insertion");
    }
}

fn times(count: usize, mut work: impl FnMut()) -> Vec<Duration> {
    let mut times: Vec<_> = (0..count)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

fn engine() -> EngineFacts {
    EngineFacts { target: "test".to_owned(), embedded: false }
}
