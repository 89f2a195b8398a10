//! What the engine says of itself: it is asked, and nothing is changed by the question.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod common;

use common::Fixture;
use registry_core::Backend;
use registry_core::backend::FenceKind;
use rusqlite::Connection;
use sqlite_adapter::{SqliteConfig, SqliteSource};

#[tokio::test]
async fn the_sample_and_a_file_refuse_writes_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    for fixture in [Fixture::sample(), Fixture::file(&path)] {
        let fence = fixture.backend.fence().await;
        assert_eq!(fence.kind, FenceKind::Engine, "{fence:?}");
        assert!(fence.detail.contains("a write, a second database"), "{fence:?}");
    }
}

#[tokio::test]
async fn nothing_holds_writes_back_where_they_are_allowed() {
    assert_eq!(Fixture::writable_sample().backend.fence().await.kind, FenceKind::Open);
}

#[tokio::test]
async fn the_question_changes_no_byte_and_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    let before = std::fs::read(&path).unwrap();
    for writes in [false, true] {
        let config = SqliteConfig::new(SqliteSource::File(path.clone())).with_writes(writes);
        Fixture::new(config).backend.fence().await;
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_database_that_cannot_be_tried_has_an_unknown_fence_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Fixture::file(&directory.path().join("missing.db")).backend.fence().await;
    assert_eq!(missing.kind, FenceKind::Unknown);
    assert!(missing.detail.contains("there is no database file"), "{missing:?}");
}
