//! What SQLite does beyond the promises that all engines share.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod common;

use std::time::{Duration, Instant};

use common::{BOUND, Fixture, end};
use registry_core::Backend;
use registry_core::backend::{CancelReply, Lookup, Progress, Rows, SubmitError};
use registry_core::error::ErrorKind;
use registry_core::record::RemotePhase;
use registry_core::results::{ResultLimits, Truncation};
use rusqlite::Connection;
use serde_json::json;
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteLimits, SqliteSource};

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

fn limited(limits: SqliteLimits) -> Fixture {
    Fixture::new(SqliteConfig { limits, ..SqliteConfig::new(SqliteSource::Sample) })
}

#[tokio::test]
async fn a_column_has_its_declared_type_or_that_of_its_first_value() {
    let fixture = Fixture::sample();
    let kinds = async |sql: &str| -> Vec<String> {
        fixture.query(sql).await.unwrap().0.columns.into_iter().map(|column| column.kind).collect()
    };
    assert_eq!(
        kinds("SELECT id, name, signed_up_on FROM customers LIMIT 1").await,
        ["INTEGER", "TEXT", "DATE"]
    );
    assert_eq!(kinds("SELECT 1, 1.5, 'a', x'00', NULL").await, ["INTEGER", "REAL", "TEXT", "BLOB", "ANY"]);
    assert_eq!(kinds("SELECT id, id + 1 FROM customers WHERE false").await, ["INTEGER", "ANY"]);
}

#[tokio::test]
async fn bytes_and_broken_text_are_delivered() {
    let fixture = Fixture::sample();
    let rows = fixture.rows("SELECT x'00ff', CAST(x'61ff62' AS TEXT), 'é', CAST(x'ff' AS TEXT), 1e999").await;
    assert_eq!(rows[0][..4], [json!("00FF"), json!("a\u{fffd}b"), json!("é"), json!("\u{fffd}")]);
    assert!(rows[0][4].is_string(), "{}", rows[0][4]);
}

#[tokio::test]
async fn an_error_of_sql_says_where_and_what_else_there_is() {
    let fixture = Fixture::sample();
    for (sql, wanted) in [
        ("SELECT *\nFORM orders", vec!["near \"FORM\"", "line 2, column 1"]),
        (
            "SELECT * FROM ordrs",
            vec!["no such table: ordrs", "Did you mean \"orders\"?", "Known tables: customers, order"],
        ),
        (
            "SELECT nmae FROM customers",
            vec!["line 1, column 8", "Did you mean \"name\"?", "Columns of customers: id, name"],
        ),
        ("SELECT c.mail FROM customers c", vec!["Did you mean \"email\"?"]),
        ("SELECT * FROM orders WHERE status = \"placed\"", vec!["single-quotes", "Columns of orders"]),
        ("SELECT datediff(1, 2)", vec!["julianday"]),
        ("SELECT TOP 5 * FROM orders", vec!["LIMIT n"]),
        (
            "SELECT id FROM orders o JOIN customers c ON c.id = o.customer_id",
            vec!["ambiguous", "table.column"],
        ),
        ("SELECT count(", vec!["incomplete", "bracket"]),
        ("SELECT ?1", vec!["parameters"]),
        ("-- nothing", vec!["no statement"]),
        ("SHOW TABLES", vec!["PRAGMA table_list"]),
        ("SELECT 1::text", vec![":", "CAST"]),
    ] {
        let error = fixture.error(sql).await;
        assert_eq!(error.kind, ErrorKind::Sql, "{sql}: {error:?}");
        for part in wanted {
            assert!(error.message.contains(part), "{sql}: {}", error.message);
        }
    }
}

#[tokio::test]
async fn an_error_on_the_way_fails_the_statement() {
    let fixture = Fixture::sample();
    let error = fixture.error("SELECT id, json_extract(name, '$') FROM customers").await;
    assert_eq!(error.kind, ErrorKind::Sql);
    assert!(error.message.contains("malformed JSON"), "{error:?}");
}

#[tokio::test]
async fn steps_that_nothing_interrupts_are_small() {
    let fixture = Fixture::sample();
    for (name, sql) in [
        ("replace", "SELECT length(replace(hex(zeroblob(5e7)), '0', 'ab'))"),
        ("replace, growing", "SELECT length(replace(hex(zeroblob(4e6)), '0', hex(zeroblob(4e6))))"),
        (
            "replace, long pattern",
            "SELECT length(replace(hex(zeroblob(4e6)), hex(zeroblob(2e6)) || '1', ''))",
        ),
        ("instr", "SELECT instr(hex(zeroblob(4e6)), hex(zeroblob(2e6)) || '1')"),
        ("trim", "SELECT length(trim(hex(zeroblob(4e6)), hex(randomblob(1e6)) || '0'))"),
        ("like", "SELECT hex(zeroblob(4e6)) LIKE '%' || hex(zeroblob(48)) || '1'"),
        ("like, too long", "SELECT 'a' LIKE hex(zeroblob(1000))"),
        ("json_patch", "SELECT json_patch('{}', '{}')"),
        ("printf", "SELECT length(printf('%*d', 1000000000, 1))"),
        ("json", "SELECT json_array_length('[' || replace(hex(zeroblob(2e6)), '0', '1,') || '1]')"),
    ] {
        let mut submission = fixture.submission(sql);
        submission.time_limit = Duration::from_millis(100);
        let started = Instant::now();
        let end = fixture.end_of(submission).await;
        println!(
            "{name}: {:?} {}",
            started.elapsed(),
            format!("{end:?}").chars().take(120).collect::<String>()
        );
        assert!(started.elapsed() < Duration::from_secs(20), "{name}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn compiling_cannot_be_made_to_take_long() {
    let fixture = Fixture::sample();
    let doubled = |depth: usize| {
        let parts: Vec<_> = (1..=depth)
            .map(|n| format!("c{n} AS (SELECT * FROM c{0} UNION ALL SELECT * FROM c{0})", n - 1))
            .collect();
        format!("WITH c0 AS (SELECT 1), {} SELECT count(*) FROM c{depth}", parts.join(", "))
    };
    let statements = [
        ("nested views", doubled(30)),
        ("many statements", "SELECT 1;".repeat(100_000)),
        ("semicolons", format!("SELECT 1{} SELECT 2", ";".repeat(1_000_000))),
        ("brackets", format!("SELECT {}1{}", "(".repeat(400_000), ")".repeat(400_000))),
        ("terms", format!("SELECT 1{}", " + 1".repeat(200_000))),
        ("long in", format!("SELECT 1 IN ({}1)", "1,".repeat(400_000))),
        ("columns", format!("SELECT {}1", "1,".repeat(400_000))),
        ("case", format!("SELECT CASE {} END", "WHEN 1 THEN 1 ".repeat(60_000))),
        ("too long", format!("SELECT '{}'", "x".repeat(1 << 20))),
        ("nested selects", format!("{}1{}", "SELECT (".repeat(5_000), ")".repeat(5_000))),
        ("not", format!("SELECT {} 1", "NOT ".repeat(200_000))),
    ];
    for (name, sql) in statements {
        let mut submission = fixture.submission(&sql);
        submission.time_limit = Duration::from_secs(1);
        let started = Instant::now();
        let end = fixture.end_of(submission).await;
        println!(
            "{name}: {:?} {}",
            started.elapsed(),
            format!("{end:?}").chars().take(120).collect::<String>()
        );
        assert!(started.elapsed() < Duration::from_secs(10), "{name}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_full_result_ends_the_statement_well() {
    let limits = ResultLimits { max_rows: 10, ..ResultLimits::default() };
    let fixture = Fixture::with_limits(SqliteConfig::new(SqliteSource::Sample), limits);
    let (stored, rows) = fixture.query("SELECT id FROM orders ORDER BY id").await.unwrap();
    assert_eq!((stored.rows, stored.truncated), (10, Some(Truncation::RowCeiling)));
    assert_eq!(rows[9], [10]);
}

#[tokio::test]
async fn rows_that_cannot_be_stored_fail_the_statement() {
    let fixture = Fixture::sample();
    std::fs::remove_dir_all(fixture.directory.path().join("results")).unwrap();
    let error = fixture.error("SELECT 1").await;
    assert_eq!(error.kind, ErrorKind::ResultStore);
    assert!(error.message.contains("then submit again"), "{}", error.message);
}

#[tokio::test]
async fn a_row_wider_than_the_limit_is_refused() {
    let limits = SqliteLimits { max_row_bytes: 1 << 20, ..SqliteLimits::default() };
    let error = limited(limits).error("SELECT zeroblob(700000), zeroblob(700000)").await;
    assert_eq!(error.kind, ErrorKind::ResourceLimit);
    let error = Fixture::sample().error("SELECT zeroblob(100000000)").await;
    assert_eq!(error.kind, ErrorKind::ResourceLimit, "{error:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_sort_that_fills_the_disk_is_ended() {
    let fixture = limited(SqliteLimits { max_written_bytes: 64 << 20, ..SqliteLimits::default() });
    let endless_sort =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n ORDER BY -i";
    let error = fixture.error(endless_sort).await;
    assert_eq!(error.kind, ErrorKind::ResourceLimit);
    assert!(error.message.contains("LIMIT"), "{}", error.message);
}

#[tokio::test]
async fn a_time_limit_of_nothing_is_kept_and_an_endless_one_too() {
    let fixture = Fixture::sample();
    let mut submission = fixture.submission(ENDLESS);
    submission.time_limit = Duration::ZERO;
    assert_eq!(fixture.end_of(submission).await, Ok(Progress::TimedOut));
    let mut submission = fixture.submission("SELECT 1");
    submission.time_limit = Duration::MAX;
    assert!(matches!(fixture.end_of(submission).await, Ok(Progress::Succeeded(Rows::Stored(_)))));
}

#[tokio::test]
async fn writes_are_seen_by_later_statements() {
    let fixture = Fixture::writable_sample();
    assert_eq!(fixture.rows("CREATE TABLE notes (id INTEGER PRIMARY KEY, text)").await, [[0]]);
    let (stored, rows) = fixture.query("INSERT INTO notes (text) VALUES ('a'), ('b')").await.unwrap();
    assert_eq!((stored.columns[0].name.as_str(), rows), ("rows_affected", vec![vec![json!(2)]]));
    assert_eq!(
        fixture.rows("UPDATE notes SET text = 'c' WHERE id = 2 RETURNING id, text").await,
        [[json!(2), json!("c")]]
    );
    assert_eq!(fixture.rows("SELECT count(*) FROM notes").await, [[2]]);
    let other = Fixture::sample();
    assert_eq!(other.error("SELECT * FROM notes").await.kind, ErrorKind::Sql, "another backend has its own");
}

#[tokio::test]
async fn a_write_that_is_stopped_leaves_nothing() {
    let fixture = Fixture::writable_sample();
    let insert = "INSERT INTO regions WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n) SELECT i, 'x', 'y' FROM n";
    let (mut session, handle) = fixture.start(insert).await;
    fixture.backend.cancel(&handle).await.unwrap();
    assert_eq!(end(&mut session, &handle).await, Progress::Aborted);
    assert_eq!(fixture.rows("SELECT count(*) FROM regions").await, [[12]]);
}

#[tokio::test]
async fn a_write_waits_for_a_lock_and_can_be_stopped_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("locked.db");
    let holder = Connection::open(&path).unwrap();
    holder.execute_batch("CREATE TABLE t (x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)").unwrap();
    let config = SqliteConfig::new(SqliteSource::File(path)).with_writes(true);
    let fixture = Fixture::new(config);
    let (mut waiting, handle) = fixture.start("INSERT INTO t VALUES (2)").await;
    let blocked = async {
        while waiting.check(&handle).await.unwrap() != Progress::Running(RemotePhase::Blocked) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, blocked).await.expect("the statement says that it is blocked");
    fixture.backend.cancel(&handle).await.unwrap();
    assert_eq!(end(&mut waiting, &handle).await, Progress::Aborted);
    let (mut patient, handle) = fixture.start("INSERT INTO t VALUES (3)").await;
    holder.execute_batch("COMMIT").unwrap();
    assert!(matches!(end(&mut patient, &handle).await, Progress::Succeeded(_)));
    assert_eq!(fixture.rows("SELECT x FROM t").await, [[1], [3]]);
}

#[tokio::test]
async fn statements_run_at_the_same_time() {
    let fixture = Fixture::sample();
    let mut running = Vec::new();
    for _ in 0..8 {
        running.push(fixture.start(ENDLESS).await);
    }
    assert_eq!(fixture.rows("SELECT count(*) FROM orders").await, [[18_000]]);
    for (mut session, handle) in running {
        assert_eq!(fixture.backend.cancel(&handle).await.unwrap(), CancelReply::Accepted);
        assert_eq!(end(&mut session, &handle).await, Progress::Aborted);
    }
}

#[tokio::test]
async fn a_file_is_read_while_another_program_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("wal.db");
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)").unwrap();
    let fixture = Fixture::file(&path);
    assert_eq!(fixture.rows("SELECT x FROM t").await, [[1]]);
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(fixture.rows("SELECT x FROM t").await, [[1], [2]]);
}

#[tokio::test]
async fn a_rejected_request_can_be_submitted_again() {
    let fixture = Fixture::sample();
    let mut session = fixture.backend.open_session().await.unwrap();
    let wrong = fixture.submission("SELEC 1");
    let (request_id, again) = (wrong.request_id, fixture.submission("SELECT 1"));
    assert!(matches!(session.submit(wrong).await, Err(SubmitError::Rejected(_))));
    assert_eq!(session.lookup(request_id).await.unwrap(), Lookup::NeverArrived);
    let handle = session.submit(registry_core::backend::Submission { request_id, ..again }).await.unwrap();
    assert!(matches!(end(&mut session, &handle).await, Progress::Succeeded(_)));
}

#[tokio::test]
async fn a_submission_whose_answer_was_dropped_is_found_and_not_repeated() {
    let fixture = Fixture::sample();
    let mut session = fixture.backend.open_session().await.unwrap();
    let submission = fixture.submission("SELECT count(*) FROM orders");
    let request_id = submission.request_id;
    // One poll enters the request; the answer is never heard.
    let submitting = session.submit(submission);
    let _ = tokio::time::timeout(Duration::ZERO, submitting).await;
    session.close().await.unwrap();
    let mut other = fixture.backend.open_session().await.unwrap();
    let found = async {
        loop {
            if let Lookup::Found(handle) = other.lookup(request_id).await.unwrap() {
                return handle;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let handle = tokio::time::timeout(BOUND, found).await.unwrap();
    assert!(matches!(end(&mut other, &handle).await, Progress::Succeeded(_)));
}

#[tokio::test]
async fn a_shutdown_stops_all_and_takes_no_more() {
    let fixture = Fixture::sample();
    let (mut session, handle) = fixture.start(ENDLESS).await;
    let mut late = fixture.backend.open_session().await.unwrap();
    assert_eq!(fixture.backend.shutdown(BOUND).await, 0);
    assert_eq!(end(&mut session, &handle).await, Progress::Aborted);
    let refused = late.submit(fixture.submission("SELECT 1")).await;
    assert!(matches!(refused, Err(SubmitError::Rejected(error)) if error.kind == ErrorKind::EngineStopped));
}

#[tokio::test]
async fn a_file_that_is_none_is_told_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text");
    std::fs::write(&text, "no database, but long enough to have a header of 100 bytes ".repeat(10)).unwrap();
    for (path, wanted) in [
        (directory.path().join("missing.db"), "there is no database file"),
        (directory.path().to_owned(), "is a directory"),
        (text, "not a database"),
    ] {
        let backend = SqliteBackend::new(SqliteConfig::new(SqliteSource::File(path)));
        let error = backend.open_session().await.unwrap_err();
        assert!(error.0.message.contains(wanted), "{error}");
        assert_eq!(error.0.kind, ErrorKind::Configuration);
    }
    assert!(!directory.path().join("missing.db").exists());
}
