//! What a statement must never do, tried.

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

use std::collections::BTreeSet;

use attacks::{REFUSED, SETTINGS, bombs, files, prepared};
use common::Fixture;
use registry_core::error::ErrorKind;
use rusqlite::Connection;
use sqlite_adapter::{SqliteConfig, SqliteSource};

#[tokio::test]
async fn every_attack_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    prepared(directory.path());
    let fixture = Fixture::file(&directory.path().join("main.db"));
    let (before, settings) = (files(directory.path()), fixture.rows(SETTINGS).await);
    for (name, attack) in REFUSED {
        let error = fixture.error(&attack.replace('@', directory.path().to_str().unwrap())).await;
        assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::Sql), "{name}: {error:?}");
        assert!(files(directory.path()) == before, "{name} touched a file");
    }
    assert_eq!(fixture.rows(SETTINGS).await, settings);
}

/// The engine's own refusals must not depend on the file being read-only.
#[tokio::test]
async fn the_sample_withstands_the_same_attacks() {
    let fixture = Fixture::sample();
    let before = fixture.rows("SELECT sql FROM sqlite_schema").await;
    for (name, attack) in REFUSED {
        let on_sample = attack.replace("FROM t", "FROM orders").replace(" t ", " orders ");
        let error = fixture.error(&on_sample).await;
        assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::Sql), "{name}: {error:?}");
    }
    assert_eq!(fixture.rows("SELECT sql FROM sqlite_schema").await, before);
}

/// With writes allowed these stay out of reach all the same.
#[tokio::test]
async fn writes_do_not_open_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    prepared(directory.path());
    let config = SqliteConfig::new(SqliteSource::File(directory.path().join("main.db"))).with_writes(true);
    let fixture = Fixture::new(config);
    let settings = fixture.rows(SETTINGS).await;
    let names: Vec<_> = files(directory.path()).into_keys().collect();
    let outside = [
        "ATTACH",
        "DETACH",
        "VACUUM",
        "SELECT",
        "PRAGMA",
        "BEGIN",
        "COMMIT",
        "CREATE TEMP",
        "UPDATE sqlite_",
    ];
    for (name, attack) in REFUSED.iter().filter(|(_, sql)| outside.iter().any(|verb| sql.starts_with(verb))) {
        let error = fixture.error(&attack.replace('@', directory.path().to_str().unwrap())).await;
        assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::Sql), "{name}: {error:?}");
        let now: Vec<_> = files(directory.path()).into_keys().collect();
        assert_eq!(now, names, "{name}");
    }
    assert_eq!(fixture.rows(SETTINGS).await, settings);
}

/// The list is meant to grow.
#[test]
fn no_attack_was_lost_from_the_list() {
    let names: BTreeSet<_> =
        REFUSED.iter().map(|(name, _)| *name).chain(bombs().iter().map(|(name, _)| *name)).collect();
    assert_eq!(names.len(), REFUSED.len() + bombs().len(), "every attack has a name of its own");
    assert_eq!((REFUSED.len(), bombs().len()), (91, 38));
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let fixture = Fixture::sample();
    let error = fixture.error("DELETE FROM orders").await;
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(
        error.message,
        "Refused: this statement writes (DELETE) and the server is read-only. Use SELECT, or ask the user to restart \
         the server with --mode read-write."
    );
    assert!(fixture.error("PRAGMA cache_size = 1").await.message.contains("PRAGMA table_list"));
    assert!(fixture.error("BEGIN").await.message.contains("transaction of its own"));
    let two = fixture.error("SELECT 1;\n  SELECT 2").await;
    assert!(two.message.contains("line 2, column 3"), "{}", two.message);
    assert_eq!(two.kind, ErrorKind::Refused);
}

#[tokio::test]
async fn what_only_reads_is_allowed() {
    let fixture = Fixture::sample();
    for sql in [
        "SELECT sql FROM sqlite_schema",
        "PRAGMA table_list",
        "PRAGMA table_info(orders)",
        "PRAGMA foreign_key_list(orders)",
        "PRAGMA index_list(orders)",
        "PRAGMA user_version",
        "SELECT m.name, i.name, i.type FROM sqlite_schema m, pragma_table_info(m.name) i WHERE m.type = 'table'",
        "SELECT * FROM pragma_table_list",
        "EXPLAIN QUERY PLAN SELECT * FROM orders",
        "EXPLAIN SELECT * FROM orders",
        "VALUES (1, 2), (3, 4)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT * FROM n",
        "SELECT value FROM json_each('[1,2]')",
        "SELECT row_number() OVER (ORDER BY id), group_concat(name) OVER () FROM regions",
        "SELECT strftime('%Y', ordered_at), sum(discount_cents), round(avg(discount_cents), 2) FROM orders GROUP BY 1",
        "; SELECT 1 ; ; -- done",
    ] {
        assert!(fixture.query(sql).await.is_ok(), "{sql}: {:?}", fixture.query(sql).await);
    }
}

#[tokio::test]
async fn full_text_tables_of_a_file_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("text.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('one two'), ('three')")
        .unwrap();
    let fixture = Fixture::file(&path);
    assert_eq!(fixture.rows("SELECT x FROM f WHERE f MATCH 'two'").await, [["one two"]]);
    assert_eq!(fixture.error("INSERT INTO f VALUES ('x')").await.kind, ErrorKind::Refused);
}
