//! SQLite keeps the promises that every engine makes.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use registry_core::testing::conformance::{Statements, exercise};
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteSource};

fn statements() -> Statements {
    Statements {
        quick: "SELECT 1 AS one".to_owned(),
        empty: "SELECT 1 AS one WHERE false".to_owned(),
        wrong: "SELEC 1".to_owned(),
        endless: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
            .to_owned(),
        many_rows: |rows| {
            format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i FROM n"
            )
        },
        values: "SELECT NULL, 'Zoë 東京 🎁', 9007199254740993, -9223372036854775807 - 1, 'a\nb'".to_owned(),
        stop_bound: Duration::from_secs(5),
    }
}

async fn exercise_with(config: SqliteConfig) {
    let backend = SqliteBackend::new(config);
    exercise(&backend, &statements()).await;
    assert_eq!(backend.shutdown(Duration::from_secs(10)).await, 0);
}

#[tokio::test]
async fn the_sample_conforms() {
    exercise_with(SqliteConfig::new(SqliteSource::Sample)).await;
}

#[tokio::test]
async fn the_writable_sample_conforms() {
    exercise_with(SqliteConfig::new(SqliteSource::Sample).with_writes(true)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_conforms() {
    let file = tempfile::NamedTempFile::new().unwrap();
    exercise_with(SqliteConfig::new(SqliteSource::File(file.path().to_owned()))).await;
}
