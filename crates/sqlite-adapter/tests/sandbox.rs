//! What a statement must never do, tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::Fixture;
use registry_core::error::ErrorKind;
use rusqlite::Connection;
use sqlite_adapter::{SqliteConfig, SqliteSource};

/// Statements that must all be refused. `@` stands for a path in a directory that is watched.
const ATTACKS: &[&str] = &[
    // Changes of data and schema.
    "INSERT INTO t VALUES (2, 'x')",
    "REPLACE INTO t VALUES (1, 'x')",
    "UPDATE t SET v = 'x'",
    "DELETE FROM t",
    "DELETE FROM t RETURNING *",
    "WITH gone AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM gone)",
    "INSERT INTO t SELECT 2, 'x' ON CONFLICT DO UPDATE SET v = 'x'",
    "EXPLAIN DELETE FROM t",
    "CREATE TABLE u (x)",
    "CREATE TABLE u AS SELECT * FROM t",
    "CREATE INDEX i ON t (v)",
    "CREATE VIEW w AS SELECT 1",
    "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END",
    "CREATE VIRTUAL TABLE f USING fts5(x)",
    "CREATE TEMP TABLE u AS SELECT * FROM t",
    "CREATE TEMP VIEW w AS SELECT 1",
    "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
    "DROP TABLE t",
    "ALTER TABLE t RENAME TO u",
    "ALTER TABLE t ADD COLUMN x",
    "REINDEX",
    "ANALYZE",
    "UPDATE sqlite_schema SET sql = 'x'",
    "INSERT INTO sqlite_temp_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x(y)')",
    // Other files.
    "ATTACH '@/new.db' AS a",
    "ATTACH '@/other.db' AS a",
    "ATTACH ':memory:' AS a",
    "ATTACH 'file:@/other.db?mode=rw' AS a",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO '@/copy.db'",
    "SELECT load_extension('@/evil.so')",
    "SELECT writefile('@/written', 'x')",
    "SELECT readfile('/etc/passwd')",
    "SELECT * FROM fsdir('/')",
    "SELECT edit('x', 'sh')",
    "SELECT fts3_tokenizer('simple')",
    "SELECT fts3_tokenizer('simple', x'0000000000000000')",
    "SELECT sqlite_log(1, 'x')",
    "SELECT * FROM sqlite_dbpage",
    // Settings.
    "PRAGMA query_only = OFF",
    "PRAGMA writable_schema = ON",
    "PRAGMA writable_schema = RESET",
    "PRAGMA trusted_schema = ON",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = OFF",
    "PRAGMA temp_store_directory = '@'",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA mmap_size = 1000000000",
    "PRAGMA hard_heap_limit = 1",
    "PRAGMA soft_heap_limit = 1",
    "PRAGMA user_version = 7",
    "PRAGMA application_id = 7",
    "PRAGMA schema_version = 7",
    "PRAGMA encoding = 'UTF-16'",
    "PRAGMA foreign_keys = OFF",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA incremental_vacuum",
    "PRAGMA optimize",
    "PRAGMA integrity_check",
    "PRAGMA cache_size = 100000000",
    "PRAGMA database_list",
    "PRAGMA main.query_only(0)",
    "SELECT * FROM pragma_user_version(7)",
    "SELECT * FROM pragma_query_only(0)",
    "SELECT * FROM pragma_wal_checkpoint",
    // Transactions.
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT s",
    "RELEASE s",
    // More than one statement, more or less well hidden.
    "SELECT 1; DELETE FROM t",
    "SELECT 1;;; DELETE FROM t",
    "SELECT 1 /* ; */; DELETE FROM t --",
    "SELECT 1 END; DROP TABLE t",
    "SELECT 1 AS a; SELECT 2",
    "-- c\nSELECT 1;\n-- c\nDROP TABLE t",
    "SELECT '\\'; DROP TABLE t; --'",
    "SELECT 1; not sql",
    "EXPLAIN SELECT 1; DELETE FROM t",
    "SELECT 1\0; DELETE FROM t",
];

fn prepared(directory: &Path) {
    for name in ["main.db", "other.db"] {
        let connection = Connection::open(directory.join(name)).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE); INSERT INTO t VALUES (1, 'one')",
            )
            .unwrap();
    }
}

/// Every file of a directory, with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

const SETTINGS: &str = "SELECT (SELECT user_version FROM pragma_user_version), \
                        (SELECT application_id FROM pragma_application_id), \
                        (SELECT schema_version FROM pragma_schema_version), (SELECT encoding FROM pragma_encoding), \
                        (SELECT group_concat(id || v) FROM t), (SELECT group_concat(sql) FROM sqlite_schema)";

#[tokio::test]
async fn every_attack_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    prepared(directory.path());
    let fixture = Fixture::file(&directory.path().join("main.db"));
    let (before, settings) = (files(directory.path()), fixture.rows(SETTINGS).await);
    for attack in ATTACKS {
        let error = fixture.error(&attack.replace('@', directory.path().to_str().unwrap())).await;
        assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::Sql), "{attack}: {error:?}");
        assert!(files(directory.path()) == before, "{attack} touched a file");
    }
    assert_eq!(fixture.rows(SETTINGS).await, settings);
}

/// The engine's own refusals must not depend on the file being read-only.
#[tokio::test]
async fn the_sample_withstands_the_same_attacks() {
    let fixture = Fixture::sample();
    let before = fixture.rows("SELECT sql FROM sqlite_schema").await;
    for attack in ATTACKS {
        let on_sample = attack.replace("FROM t", "FROM orders").replace(" t ", " orders ");
        let error = fixture.error(&on_sample).await;
        assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::Sql), "{attack}: {error:?}");
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
    for attack in ATTACKS.iter().filter(|attack| outside.iter().any(|verb| attack.starts_with(verb))) {
        let error = fixture.error(&attack.replace('@', directory.path().to_str().unwrap())).await;
        assert!(matches!(error.kind, ErrorKind::Refused | ErrorKind::Sql), "{attack}: {error:?}");
        let now: Vec<_> = files(directory.path()).into_keys().collect();
        assert_eq!(now, names, "{attack}");
    }
    assert_eq!(fixture.rows(SETTINGS).await, settings);
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    let fixture = Fixture::sample();
    let error = fixture.error("DELETE FROM orders").await;
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(
        error.message,
        "Refused: this statement writes (DELETE) and the server is read-only. Use SELECT, or ask the user to restart \
         the server with --allow-writes."
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
