//! Bombs of memory, disk and time. Alone in its process, because memory is counted for all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

#[path = "common/attacks.rs"]
mod attacks;
mod common;

use std::time::Duration;

use attacks::{SETTINGS, bombs, files, prepared};
use common::{BOUND, Fixture};
use registry_core::error::ErrorKind;
use registry_core::results::ResultLimits;
use sqlite_adapter::{SqliteConfig, SqliteSource};

/// Whatever a bomb does, it ends, touches no file of the database, and the next statement works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bomb_hurts_nobody() {
    let directory = tempfile::tempdir().unwrap();
    prepared(directory.path());
    let config = SqliteConfig::new(SqliteSource::File(directory.path().join("main.db")));
    let limits = ResultLimits { max_bytes: 32 << 20, ..ResultLimits::default() };
    let fixture = Fixture::with_limits(config, limits);
    let (before, settings) = (files(directory.path()), fixture.rows(SETTINGS).await);
    for (name, sql) in bombs() {
        taken_again(&fixture).await;
        let mut submission = fixture.submission(&sql);
        submission.time_limit = Duration::from_millis(300);
        let end = tokio::time::timeout(BOUND, fixture.end_of(submission)).await;
        println!("{name}: {}", format!("{end:?}").chars().take(140).collect::<String>());
        assert!(end.is_ok(), "{name} does not end");
        assert!(files(directory.path()) == before, "{name} touched a file");
    }
    taken_again(&fixture).await;
    assert_eq!(fixture.rows(SETTINGS).await, settings);
}

/// Waits until the statements that were given up leave room and memory for another.
async fn taken_again(fixture: &Fixture) {
    let taken = async {
        while let Err(error) = fixture.query(SETTINGS).await {
            assert!(matches!(error.kind, ErrorKind::Unavailable | ErrorKind::ResourceLimit), "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(2 * BOUND, taken).await.expect("statements are taken again");
}
