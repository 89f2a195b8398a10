//! What each protection is good for: an attack that it holds back, and that gets through when it is switched off.

use std::path::Path;

use rusqlite::OpenFlags;
use tempfile::TempDir;

use super::*;

/// A database file that nobody trusts, with a write-ahead log that was never written back.
fn hostile(directory: &TempDir) -> std::path::PathBuf {
    let (making, path) = (directory.path().join("making.db"), directory.path().join("hostile.db"));
    let maker = Connection::open(&making).unwrap();
    maker
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t (x); INSERT INTO t VALUES (1);
             CREATE VIRTUAL TABLE words USING fts5(x); INSERT INTO words VALUES ('one');
             CREATE VIEW secret AS SELECT * FROM pragma_function_list;",
        )
        .unwrap();
    for (from, to) in [("making.db", "hostile.db"), ("making.db-wal", "hostile.db-wal")] {
        std::fs::copy(directory.path().join(from), directory.path().join(to)).unwrap();
    }
    path
}

fn opened(path: &Path, flags: OpenFlags) -> Connection {
    Connection::open_with_flags(path, flags).unwrap()
}

fn closed_in(path: &Path, access: Access) -> Connection {
    let flags = match access {
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let mut connection = opened(path, flags);
    close_in(&mut connection, access, &SqliteLimits::default(), &Brake::default()).unwrap();
    connection
}

/// Runs a statement to its end without any look at its text.
fn attack(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn no_authorizer(connection: &mut Connection) {
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).unwrap();
}

#[test]
fn without_the_authorizer_a_statement_changes_a_setting() {
    let directory = TempDir::new().unwrap();
    let mut connection = closed_in(&hostile(&directory), Access::ReadOnly);
    for sql in ["PRAGMA query_only = OFF", "PRAGMA cache_size = 1000000", "PRAGMA temp_store = MEMORY"] {
        attack(&connection, sql).unwrap_err();
        no_authorizer(&mut connection);
        attack(&connection, sql).unwrap();
        connection = closed_in(&directory.path().join("hostile.db"), Access::ReadOnly);
    }
}

#[test]
fn without_the_read_only_connection_reading_writes_the_log_back() {
    let directory = TempDir::new().unwrap();
    let path = hostile(&directory);
    let before = std::fs::read(&path).unwrap();
    let read = |connection: Connection| {
        attack(&connection, "SELECT * FROM t").unwrap();
        drop(connection);
        std::fs::read(&path).unwrap() == before
    };
    assert!(read(closed_in(&path, Access::ReadOnly)), "a reader leaves the file as it is");
    let mut writable = opened(&path, OpenFlags::SQLITE_OPEN_READ_WRITE);
    close_in(&mut writable, Access::ReadOnly, &SqliteLimits::default(), &Brake::default()).unwrap();
    assert!(!read(writable), "closing a writable connection wrote the log back");
}

/// With the authorizer gone too, nothing but the way the file was opened holds a write back.
#[test]
fn the_read_only_connection_holds_alone() {
    let directory = TempDir::new().unwrap();
    let path = hostile(&directory);
    for (flags, passes) in
        [(OpenFlags::SQLITE_OPEN_READ_ONLY, false), (OpenFlags::SQLITE_OPEN_READ_WRITE, true)]
    {
        let mut connection = opened(&path, flags);
        close_in(&mut connection, Access::ReadOnly, &SqliteLimits::default(), &Brake::default()).unwrap();
        no_authorizer(&mut connection);
        attack(&connection, "PRAGMA query_only = OFF").unwrap();
        assert_eq!(attack(&connection, "DELETE FROM t").is_ok(), passes);
    }
}

#[test]
fn without_the_limits_values_and_databases_have_no_bound() {
    let directory = TempDir::new().unwrap();
    let mut connection = closed_in(&hostile(&directory), Access::ReadOnly);
    let list = vec!["1"; 70].join(", ");
    for (limit, wide, sql) in [
        (Limit::SQLITE_LIMIT_LENGTH, 100_000_000, "SELECT length(hex(zeroblob(20000000)))".to_owned()),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 127, format!("SELECT max({list})")),
        (Limit::SQLITE_LIMIT_COLUMN, 2000, format!("SELECT {}1", "1, ".repeat(1500))),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 100_000_000, format!("SELECT 1 -- {}", "x".repeat(2 << 20))),
    ] {
        attack(&connection, &sql).unwrap_err();
        connection.set_limit(limit, wide).unwrap();
        attack(&connection, &sql).unwrap_or_else(|error| panic!("{limit:?}: {error}"));
    }
    no_authorizer(&mut connection);
    attack(&connection, "ATTACH ':memory:' AS other").unwrap_err();
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1).unwrap();
    attack(&connection, "ATTACH ':memory:' AS other").unwrap();
}

#[test]
fn without_the_defensive_switch_a_table_that_sqlite_keeps_for_itself_is_written() {
    let directory = TempDir::new().unwrap();
    let connection = closed_in(&hostile(&directory), Access::ReadWrite);
    let sql = "UPDATE words_data SET block = x'00'";
    attack(&connection, sql).unwrap_err();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    attack(&connection, sql).unwrap();
}

#[test]
fn without_distrust_of_the_schema_a_view_reaches_out_of_the_file() {
    let directory = TempDir::new().unwrap();
    let connection = closed_in(&hostile(&directory), Access::ReadOnly);
    let error = attack(&connection, "SELECT * FROM secret").unwrap_err();
    assert!(error.to_string().contains("unsafe use"), "{error}");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, true).unwrap();
    attack(&connection, "SELECT * FROM secret").unwrap();
}
