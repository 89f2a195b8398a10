//! Statements that try to do what they must not.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

/// Names and statements that must all be refused. `@` stands for a directory that is watched.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    // Changes of data and schema.
    ("insert", "INSERT INTO t VALUES (2, 'x')"),
    ("replace", "REPLACE INTO t VALUES (1, 'x')"),
    ("update", "UPDATE t SET v = 'x'"),
    ("delete", "DELETE FROM t"),
    ("delete returning", "DELETE FROM t RETURNING *"),
    ("delete behind WITH", "WITH gone AS (SELECT 1) DELETE FROM t WHERE id IN (SELECT * FROM gone)"),
    ("upsert", "INSERT INTO t SELECT 2, 'x' ON CONFLICT DO UPDATE SET v = 'x'"),
    ("explain of a delete", "EXPLAIN DELETE FROM t"),
    ("create table", "CREATE TABLE u (x)"),
    ("create table as", "CREATE TABLE u AS SELECT * FROM t"),
    ("create index", "CREATE INDEX i ON t (v)"),
    ("create view", "CREATE VIEW w AS SELECT 1"),
    ("create trigger", "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM t; END"),
    ("create virtual table", "CREATE VIRTUAL TABLE f USING fts5(x)"),
    ("temporary table", "CREATE TEMP TABLE u AS SELECT * FROM t"),
    ("temporary view", "CREATE TEMP VIEW w AS SELECT 1"),
    ("temporary trigger", "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END"),
    ("drop table", "DROP TABLE t"),
    ("rename table", "ALTER TABLE t RENAME TO u"),
    ("add column", "ALTER TABLE t ADD COLUMN x"),
    ("reindex", "REINDEX"),
    ("analyze", "ANALYZE"),
    ("edit of the schema table", "UPDATE sqlite_schema SET sql = 'x'"),
    (
        "insert into the temporary schema",
        "INSERT INTO sqlite_temp_schema VALUES ('table', 'x', 'x', 0, 'CREATE TABLE x(y)')",
    ),
    // Other files.
    ("attach of a new file", "ATTACH '@/new.db' AS a"),
    ("attach of another file", "ATTACH '@/other.db' AS a"),
    ("attach of memory", "ATTACH ':memory:' AS a"),
    ("attach of a URI", "ATTACH 'file:@/other.db?mode=rw' AS a"),
    ("detach", "DETACH main"),
    ("vacuum", "VACUUM"),
    ("vacuum into a file", "VACUUM INTO '@/copy.db'"),
    ("load_extension", "SELECT load_extension('@/evil.so')"),
    ("writefile", "SELECT writefile('@/written', 'x')"),
    ("readfile", "SELECT readfile('/etc/passwd')"),
    ("a directory as a table", "SELECT * FROM fsdir('/')"),
    ("edit", "SELECT edit('x', 'sh')"),
    ("fts3_tokenizer read", "SELECT fts3_tokenizer('simple')"),
    ("fts3_tokenizer written", "SELECT fts3_tokenizer('simple', x'0000000000000000')"),
    ("the error log", "SELECT sqlite_log(1, 'x')"),
    ("raw pages", "SELECT * FROM sqlite_dbpage"),
    // Settings.
    ("query_only off", "PRAGMA query_only = OFF"),
    ("writable_schema on", "PRAGMA writable_schema = ON"),
    ("writable_schema reset", "PRAGMA writable_schema = RESET"),
    ("trusted_schema on", "PRAGMA trusted_schema = ON"),
    ("journal mode delete", "PRAGMA journal_mode = DELETE"),
    ("journal mode WAL", "PRAGMA journal_mode = WAL"),
    ("synchronous off", "PRAGMA synchronous = OFF"),
    ("directory of temporary files", "PRAGMA temp_store_directory = '@'"),
    ("temporary files in memory", "PRAGMA temp_store = MEMORY"),
    ("memory map", "PRAGMA mmap_size = 1000000000"),
    ("hard heap limit", "PRAGMA hard_heap_limit = 1"),
    ("soft heap limit", "PRAGMA soft_heap_limit = 1"),
    ("user version", "PRAGMA user_version = 7"),
    ("application id", "PRAGMA application_id = 7"),
    ("schema version", "PRAGMA schema_version = 7"),
    ("encoding", "PRAGMA encoding = 'UTF-16'"),
    ("foreign keys", "PRAGMA foreign_keys = OFF"),
    ("checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)"),
    ("incremental vacuum", "PRAGMA incremental_vacuum"),
    ("optimize", "PRAGMA optimize"),
    ("integrity check", "PRAGMA integrity_check"),
    ("cache size", "PRAGMA cache_size = 100000000"),
    ("list of databases", "PRAGMA database_list"),
    ("a setting named with its database", "PRAGMA main.query_only(0)"),
    ("a setting through a table function", "SELECT * FROM pragma_user_version(7)"),
    ("query_only through a table function", "SELECT * FROM pragma_query_only(0)"),
    ("checkpoint through a table function", "SELECT * FROM pragma_wal_checkpoint"),
    // Transactions.
    ("begin", "BEGIN"),
    ("begin immediate", "BEGIN IMMEDIATE"),
    ("commit", "COMMIT"),
    ("end", "END"),
    ("rollback", "ROLLBACK"),
    ("savepoint", "SAVEPOINT s"),
    ("release", "RELEASE s"),
    // More than one statement, more or less well hidden.
    ("a second statement", "SELECT 1; DELETE FROM t"),
    ("a second statement after empty ones", "SELECT 1;;; DELETE FROM t"),
    ("a second statement behind a comment", "SELECT 1 /* ; */; DELETE FROM t --"),
    ("a second statement after END", "SELECT 1 END; DROP TABLE t"),
    ("a second query", "SELECT 1 AS a; SELECT 2"),
    ("a second statement between comments", "-- c\nSELECT 1;\n-- c\nDROP TABLE t"),
    ("a second statement behind a backslash", "SELECT '\\'; DROP TABLE t; --'"),
    ("a second text that is no SQL", "SELECT 1; not sql"),
    ("a second statement after EXPLAIN", "EXPLAIN SELECT 1; DELETE FROM t"),
    ("a second statement behind a NUL", "SELECT 1\0; DELETE FROM t"),
    // Tables that SQLite keeps for itself.
    ("a shadow table of a text index", "INSERT INTO words_data VALUES (9, x'00')"),
    ("a shadow table of a text index emptied", "DELETE FROM words_content"),
    ("a command to a text index", "INSERT INTO words (words) VALUES ('rebuild')"),
    ("a shadow table of a spatial index", "UPDATE places_node SET data = x'00'"),
    ("a spatial index", "DELETE FROM places"),
    ("a trigger's table", "INSERT INTO trapped VALUES (1)"),
    ("a view that writes", "INSERT INTO trap VALUES (1)"),
];

/// Gives `n(i)` without end.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

/// Names and statements that would take all memory, all disk or all time. They may fail or be cut short, and must do no
/// harm to anything else.
pub(crate) fn bombs() -> Vec<(&'static str, String)> {
    let nested = |depth: usize| format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
    let wide = |of: &str, times: usize| format!("SELECT {}", vec![of; times].join(", "));
    let deep = "json(replace(hex(zeroblob(500000)), '0', '[') || replace(hex(zeroblob(500000)), '0', ']'))";
    vec![
        ("an endless count", format!("{ENDLESS} SELECT count(*) FROM n")),
        ("endless rows", format!("{ENDLESS} SELECT i FROM n")),
        ("endless wide rows", format!("{ENDLESS} SELECT hex(zeroblob(1000000)) FROM n")),
        ("an endless sort", format!("{ENDLESS} SELECT i FROM n ORDER BY -i")),
        ("an endless product", "SELECT count(*) FROM t a, t b, (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)".to_owned()),
        ("an endless set", format!("{} SELECT count(*) FROM n", ENDLESS.replace("UNION ALL", "UNION"))),
        ("zeroblob", "SELECT zeroblob(2000000000)".to_owned()),
        ("zeroblob in hex", "SELECT hex(zeroblob(1000000000))".to_owned()),
        ("randomblob", "SELECT randomblob(1000000000)".to_owned()),
        ("printf", "SELECT printf('%*d', 2000000000, 1)".to_owned()),
        ("printf with many digits", "SELECT printf('%.2000000000f', 1.5)".to_owned()),
        ("replace that grows", "SELECT replace(hex(zeroblob(4000000)), '0', hex(zeroblob(4000000)))".to_owned()),
        ("replace within replace", "SELECT replace(replace(replace(hex(zeroblob(9999)), '0', hex(zeroblob(9999))), '0', '000'), '0', '000')".to_owned()),
        ("group_concat", format!("{ENDLESS} SELECT group_concat(hex(zeroblob(100000))) FROM (SELECT i FROM n LIMIT 5000)")),
        ("group_concat of windows", format!("{ENDLESS} SELECT group_concat(hex(zeroblob(1000000))) OVER (ORDER BY i) FROM n LIMIT 100")),
        ("json_group_array", format!("{ENDLESS} SELECT json_group_array(hex(zeroblob(100000))) FROM (SELECT i FROM n LIMIT 5000)")),
        ("json_array", wide("json_array(hex(zeroblob(4000000)), hex(zeroblob(4000000)), hex(zeroblob(4000000)))", 20)),
        ("json_pretty", "SELECT json_pretty('[' || replace(hex(zeroblob(500000)), '0', '1,') || '1]', hex(zeroblob(500000)))".to_owned()),
        ("json that is deep", format!("SELECT {deep}")),
        ("json_each of a large list", "SELECT sum(value) FROM json_each('[' || replace(hex(zeroblob(1900000)), '0', '1,') || '1]')".to_owned()),
        ("concat", wide("concat(hex(zeroblob(4000000)), hex(zeroblob(4000000)), hex(zeroblob(4000000)))", 20)),
        ("many large columns", wide("randomblob(8000000)", 900)),
        ("many large texts that are none", wide("CAST(randomblob(8000000) AS TEXT)", 8)),
        ("many control characters", "SELECT CAST(replace(hex(zeroblob(4000000)), '0', char(1)) AS TEXT)".to_owned()),
        ("like of a large text", "SELECT hex(zeroblob(4000000)) LIKE '%' || hex(zeroblob(48)) || '1'".to_owned()),
        ("like of a large pattern", "SELECT 'a' LIKE hex(zeroblob(4000000))".to_owned()),
        ("glob of a large text", "SELECT hex(zeroblob(4000000)) GLOB '*' || replace(hex(zeroblob(9)), '0', '[^1]') || '1'".to_owned()),
        ("instr of a large text", "SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1')".to_owned()),
        ("unhex of a large text", "SELECT unhex(replace(hex(zeroblob(4000000)), '0', '-'), hex(zeroblob(2000000)) || '-')".to_owned()),
        ("deep brackets", nested(400_000)),
        ("a deep expression", format!("SELECT 1{}", " + 1".repeat(200_000))),
        ("a deep chain of NOT", format!("SELECT {} 1", "NOT ".repeat(200_000))),
        ("a long list", format!("SELECT 1 IN ({}1)", "1,".repeat(400_000))),
        ("many columns", wide("1", 400_000)),
        ("many unions", vec!["SELECT 1"; 50_000].join(" UNION ALL ")),
        ("too long a text", format!("SELECT '{}'", "x".repeat(2 << 20))),
        ("many statements", "SELECT 1;".repeat(100_000)),
        ("views that double", doubled(40)),
    ]
}

fn doubled(depth: usize) -> String {
    let part = |n: usize| format!("c{n} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", n - 1);
    let parts: Vec<_> = (1..=depth).map(part).collect();
    format!("WITH c0 AS (SELECT 1), {} SELECT count(*) FROM c{depth}", parts.join(", "))
}

/// Makes the database that is attacked, and another beside it.
pub(crate) fn prepared(directory: &Path) {
    for name in ["main.db", "other.db"] {
        let connection = Connection::open(directory.join(name)).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT UNIQUE); INSERT INTO t VALUES (1, 'one');
                 CREATE VIRTUAL TABLE words USING fts5(x); INSERT INTO words VALUES ('one two');
                 CREATE VIRTUAL TABLE places USING rtree(id, x0, x1); INSERT INTO places VALUES (1, 0, 1);
                 CREATE TABLE trapped (x);
                 CREATE TRIGGER spring AFTER INSERT ON trapped BEGIN DELETE FROM t; END;
                 CREATE VIEW trap AS SELECT 1 AS x;
                 CREATE TRIGGER springs INSTEAD OF INSERT ON trap BEGIN DELETE FROM t; END",
            )
            .unwrap();
    }
}

/// Every file of a directory, with its bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

/// What a statement may have changed.
pub(crate) const SETTINGS: &str = "SELECT (SELECT user_version FROM pragma_user_version), \
                        (SELECT application_id FROM pragma_application_id), \
                        (SELECT schema_version FROM pragma_schema_version), (SELECT encoding FROM pragma_encoding), \
                        (SELECT group_concat(id || v) FROM t), (SELECT group_concat(sql) FROM sqlite_schema)";
