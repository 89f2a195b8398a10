//! Database files as they are found: read-only places, logs of other programs, links, and things that are no database.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]
#![cfg(unix)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Fixture;
use registry_core::Backend;
use registry_core::error::ErrorKind;
use rusqlite::Connection;
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteSource};
use tempfile::TempDir;

fn made(directory: &TempDir, journal_mode: &str) -> (Connection, PathBuf) {
    let path = directory.path().join("a.db");
    let maker = Connection::open(&path).unwrap();
    let sql = format!("PRAGMA journal_mode = {journal_mode}; CREATE TABLE t (x); INSERT INTO t VALUES (1)");
    maker.execute_batch(&sql).unwrap();
    (maker, path)
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn refusal(path: PathBuf) -> String {
    let backend = SqliteBackend::new(SqliteConfig::new(SqliteSource::File(path)));
    let error = backend.open_session().await.unwrap_err().0;
    assert_eq!(error.kind, ErrorKind::Configuration, "{error:?}");
    error.message
}

/// Permissions do not bind root, so as root the test goes on as somebody else.
#[test]
fn files_in_a_place_that_cannot_be_written_are_read() {
    let test = ["--ignored", "--exact", "--nocapture", "as_somebody_who_may_only_read"];
    let this = std::env::current_exe().unwrap();
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut command = match is_root {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(this);
            command
        }
        false => Command::new(this),
    };
    let run = command.args(test).env("TMPDIR", std::env::temp_dir()).output().unwrap();
    println!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success());
    assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"));
}

/// Also in WAL mode, where SQLite by itself wants to make files beside the database.
#[tokio::test]
#[ignore = "started by the test above, as somebody who is not root"]
async fn as_somebody_who_may_only_read() {
    for journal_mode in ["DELETE", "WAL"] {
        let directory = TempDir::with_suffix(" 100% odd?").unwrap();
        let (maker, path) = made(&directory, journal_mode);
        drop(maker);
        assert_eq!(names(directory.path()), ["a.db"], "the last writer took its log with it");
        mode(&path, 0o444);
        mode(directory.path(), 0o555);
        std::fs::write(directory.path().join("b"), "").expect_err("the place is closed");
        let fixture = Fixture::file(&path);
        let (found, refused) = (fixture.query("SELECT x FROM t").await, fixture.error("DELETE FROM t").await);
        mode(directory.path(), 0o755);
        assert_eq!(found.unwrap().1, [[1]], "{journal_mode}");
        assert_eq!(refused.kind, ErrorKind::Refused, "{journal_mode}");
        assert_eq!(names(directory.path()), ["a.db"], "{journal_mode}");
    }
}

#[tokio::test]
async fn a_file_in_wal_mode_is_read_with_what_is_only_in_its_log() {
    let directory = TempDir::new().unwrap();
    let (maker, path) = made(&directory, "WAL");
    let before = std::fs::read(&path).unwrap();
    assert_eq!(Fixture::file(&path).rows("SELECT x FROM t").await, [[1]]);
    assert_eq!(std::fs::read(&path).unwrap(), before, "the log was not written back");
    drop(maker);
}

#[tokio::test]
async fn a_link_is_followed_to_its_file_and_a_loose_one_is_told() {
    let (directory, elsewhere) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (maker, path) = made(&directory, "WAL");
    let link = elsewhere.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    // The log lies beside the file, not beside the link.
    assert_eq!(Fixture::file(&link).rows("SELECT x FROM t").await, [[1]]);
    assert_eq!(names(elsewhere.path()), ["link.db"]);
    drop(maker);
    let loose = elsewhere.path().join("loose.db");
    std::os::unix::fs::symlink(elsewhere.path().join("nowhere"), &loose).unwrap();
    assert!(refusal(loose).await.contains("there is no database file"));
}

#[tokio::test]
async fn a_file_name_is_never_read_as_a_uri() {
    let directory = TempDir::new().unwrap();
    let (maker, path) = made(&directory, "DELETE");
    drop(maker);
    let odd = directory.path().join("file:a.db?mode=rw&immutable=1");
    std::fs::rename(&path, &odd).unwrap();
    assert_eq!(Fixture::file(&odd).rows("SELECT x FROM t").await, [[1]]);
    assert_eq!(Fixture::file(&odd).error("DELETE FROM t").await.kind, ErrorKind::Refused);
}

#[tokio::test]
async fn what_is_no_database_is_told_with_what_to_do() {
    let directory = TempDir::new().unwrap();
    let told = refusal(directory.path().to_owned()).await;
    assert!(told.contains("is a directory") && told.contains("Name a SQLite database file"), "{told}");
    let text = directory.path().join("notes.txt");
    std::fs::write(&text, "no database at all, only a text that is long enough. ".repeat(20)).unwrap();
    let told = refusal(text).await;
    assert!(told.contains("not a database") && told.contains("Check that it is"), "{told}");
    let device = refusal(PathBuf::from("/dev/null")).await;
    assert!(device.contains("is not a file"), "{device}");
}

/// A file may be broken in any way; the server tells it and lives, and no other file is touched.
#[tokio::test]
async fn a_damaged_file_hurts_nobody() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("a.db");
    let maker = Connection::open(&path).unwrap();
    maker
        .execute_batch(
            "CREATE TABLE t (x, y UNIQUE); CREATE VIEW v AS SELECT x FROM t; CREATE VIRTUAL TABLE f USING fts5(x);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
             INSERT INTO t SELECT 'text ' || i, i FROM n; INSERT INTO f SELECT x FROM t",
        )
        .unwrap();
    drop(maker);
    let whole = std::fs::read(&path).unwrap();
    let mut seed = 1u64;
    for round in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..=round {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // The first bytes say that it is a database at all.
            let at = 100 + (seed >> 33) as usize % (bytes.len() - 100);
            bytes[at] = (seed >> 20) as u8;
        }
        if round % 5 == 4 {
            bytes.truncate(bytes.len() / 2);
        }
        std::fs::write(&path, &bytes).unwrap();
        let fixture = Fixture::file(&path);
        for sql in ["SELECT * FROM t ORDER BY y", "SELECT * FROM v", "SELECT * FROM f WHERE f MATCH 'text'"] {
            let Ok(mut session) = fixture.backend.open_session().await else { continue };
            if let Ok(handle) = session.submit(fixture.submission(sql)).await {
                common::end(&mut session, &handle).await;
            }
            session.close().await.unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "round {round}");
        assert_eq!(names(directory.path()), ["a.db"], "round {round}");
    }
    assert_eq!(Fixture::sample().rows("SELECT count(*) FROM orders").await, [[18_000]]);
}

/// A schema that was written by hand, to make its reader do what no statement may.
#[tokio::test]
async fn a_hostile_schema_opens_no_door() {
    let directory = TempDir::new().unwrap();
    let other = directory.path().join("other.db");
    let there = other.display();
    for (name, kind, sql) in [
        (
            "attaching trigger",
            "trigger",
            format!("CREATE TRIGGER h AFTER INSERT ON t BEGIN ATTACH '{there}' AS o; END"),
        ),
        ("attaching view", "view", format!("ATTACH '{there}' AS o")),
        ("vacuuming table", "table", format!("VACUUM INTO '{there}'")),
        ("loading view", "view", "CREATE VIEW h AS SELECT load_extension('/tmp/x.so') AS x".to_owned()),
        ("reading view", "view", "CREATE VIEW h AS SELECT readfile('/etc/passwd') AS x".to_owned()),
        ("setting view", "view", "CREATE VIEW h AS SELECT * FROM pragma_query_only(0)".to_owned()),
        ("file as a table", "table", "CREATE VIRTUAL TABLE h USING csv(filename='/etc/passwd')".to_owned()),
        ("endless view", "view", "CREATE VIEW h AS SELECT * FROM h".to_owned()),
    ] {
        let path = directory.path().join("a.db");
        let maker = Connection::open(&path).unwrap();
        maker.execute_batch("CREATE TABLE t (x); PRAGMA writable_schema = ON").unwrap();
        maker
            .execute("INSERT INTO sqlite_schema VALUES (?1, 'h', CASE ?1 WHEN 'trigger' THEN 't' ELSE 'h' END, 0, ?2)", [kind, &sql])
            .unwrap();
        drop(maker);
        let before = std::fs::read(&path).unwrap();
        let backend = SqliteBackend::new(SqliteConfig::new(SqliteSource::File(path.clone())));
        let fixture = Fixture::file(&path);
        if backend.open_session().await.is_ok() {
            let error = fixture.error("SELECT * FROM h").await;
            println!("{name}: {}", error.message);
        }
        assert_eq!(std::fs::read(&path).unwrap(), before, "{name}");
        assert!(!other.exists(), "{name} made another file");
        std::fs::remove_file(&path).unwrap();
    }
}
