use std::sync::{Arc, Barrier};

use tempfile::TempDir;

use super::super::contract::{add, change, keeps_the_contract, keyed, next, record, record_of};
use super::*;
use crate::snapshot::QueryStatus;

keeps_the_contract!(kept, super::fresh());

/// A journal of version 1 as the first release wrote it; never edited to suit a newer one.
const VERSION_1: &str = include_str!("testdata/version_1.sql");

fn fresh() -> (TempDir, SqliteJournal) {
    let dir = TempDir::new().unwrap();
    let journal = open(&file(&dir)).unwrap();
    (dir, journal)
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("journal.db")
}

fn open(path: &Path) -> Result<SqliteJournal, JournalError> {
    SqliteJournal::open(path, Durability::Process)
}

fn raw(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

fn all(journal: &SqliteJournal) -> Result<Vec<QueryRecord>, JournalError> {
    journal.list(&ListFilter::default())
}

/// A closed file with `count` records, as bytes.
fn bytes_of_journal(count: usize) -> (Vec<QueryRecord>, Vec<u8>) {
    let (dir, journal) = fresh();
    let records: Vec<_> = (0..count).map(|n| keyed(&format!("key {n}"))).collect();
    records.iter().for_each(|record| add(&journal, record));
    drop(journal);
    (records, std::fs::read(file(&dir)).unwrap())
}

// ---- several processes

#[test]
fn of_two_writers_the_second_is_refused_and_sees_the_first() {
    let (dir, one) = fresh();
    let two = open(&file(&dir)).unwrap();
    let first = record("select 1");
    add(&one, &first);
    let second = change(&two, &first, |record| record.status = QueryStatus::Running);
    assert_eq!(one.update(&first, &next(&first)), Ok(Updated::Conflict(Some(Box::new(second)))));
}

#[test]
fn the_hint_moves_with_the_writes_of_others_and_not_with_our_own() {
    let (dir, ours) = fresh();
    let theirs = open(&file(&dir)).unwrap();
    let before = ours.change_hint().unwrap();
    let first = record("select 1");
    add(&ours, &first);
    assert_eq!(ours.change_hint(), Ok(before));
    assert_eq!(ours.change_hint(), Ok(before));
    change(&theirs, &first, |_| ());
    assert_ne!(ours.change_hint().unwrap(), before);
}

#[test]
fn one_of_eight_threads_gets_the_key() {
    let (dir, _journal) = fresh();
    let outcomes = in_eight_threads(file(&dir), |journal| {
        journal.insert(&keyed("k"), &Uniqueness::default()).unwrap() == Inserted::New
    });
    assert_eq!(outcomes.into_iter().filter(|is_new| *is_new).count(), 1);
}

#[test]
fn eight_threads_may_open_a_fresh_file_at_once() {
    for _ in 0..10 {
        let dir = TempDir::new().unwrap();
        in_eight_threads(file(&dir), |journal| add(&journal, &record("select 1")));
        assert_eq!(all(&open(&file(&dir)).unwrap()).unwrap().len(), 8);
    }
}

#[test]
fn eight_writers_lose_no_update() {
    let (dir, journal) = fresh();
    let first = record("select 1");
    add(&journal, &first);
    let id = first.id;
    in_eight_threads(file(&dir), move |journal| {
        for _ in 0..20 {
            let mut before = journal.get(id).unwrap().unwrap();
            while let Updated::Conflict(current) = journal.update(&before, &next(&before)).unwrap() {
                before = *current.unwrap();
            }
        }
    });
    assert_eq!(journal.get(id).unwrap().unwrap().version, first.version + 160);
}

fn in_eight_threads<T: Send + 'static>(
    path: PathBuf,
    work: impl Fn(SqliteJournal) -> T + Send + Sync + 'static,
) -> Vec<T> {
    let (work, barrier) = (Arc::new(work), Arc::new(Barrier::new(8)));
    let start = |_| {
        let (work, barrier, path) = (Arc::clone(&work), Arc::clone(&barrier), path.clone());
        std::thread::spawn(move || {
            barrier.wait();
            work(open(&path).unwrap())
        })
    };
    let threads: Vec<_> = (0..8).map(start).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn a_journal_locked_by_another_process_is_busy() {
    let (dir, journal) = fresh();
    journal.conn.lock().unwrap().busy_timeout(Duration::ZERO).unwrap();
    let other = Connection::open(file(&dir)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = journal.insert(&record("select 1"), &Uniqueness::default());
    assert_eq!(refused, Err(JournalError::Busy { path: file(&dir) }));
    assert_eq!(all(&journal), Ok(vec![]));
    other.execute_batch("ROLLBACK").unwrap();
    add(&journal, &record("select 1"));
}

// ---- what outlives what

#[test]
fn records_outlive_a_journal_that_was_never_closed() {
    let (dir, journal) = fresh();
    let first = record("select 1");
    add(&journal, &first);
    let second = change(&journal, &first, |record| record.status = QueryStatus::Running);
    std::mem::forget(journal);
    assert_eq!(open(&file(&dir)).unwrap().get(first.id), Ok(Some(second)));
}

#[test]
fn each_durability_syncs_as_it_says() {
    for (durability, expected) in [(Durability::Process, 1), (Durability::Power, 2)] {
        let dir = TempDir::new().unwrap();
        let journal = SqliteJournal::open(file(&dir), durability).unwrap();
        let conn = journal.conn.lock().unwrap();
        let pragma = |name: &str| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(pragma("synchronous"), expected);
        assert_eq!(pragma("foreign_keys"), 1);
        assert_eq!(pragma("busy_timeout"), 5000);
    }
}

#[test]
fn a_thread_that_died_in_a_transaction_leaves_a_journal_that_works() {
    let (_dir, journal) = fresh();
    let journal = Arc::new(journal);
    let shared = Arc::clone(&journal);
    let died = std::thread::spawn(move || {
        let conn = shared.conn.lock().unwrap();
        conn.execute_batch("BEGIN IMMEDIATE; DELETE FROM query").unwrap();
        panic!("on purpose");
    });
    assert!(died.join().is_err());
    assert!(journal.conn.is_poisoned());
    let first = record("select 1");
    add(&*journal, &first);
    assert_eq!(journal.get(first.id), Ok(Some(first)));
}

#[cfg(unix)]
#[test]
fn the_files_are_this_users_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, journal) = fresh();
    add(&journal, &record("select 1"));
    let entries = std::fs::read_dir(dir.path()).unwrap();
    let modes: Vec<_> =
        entries.map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect();
    assert_eq!(modes, [0o600; 3]);
    drop(journal);
    std::fs::set_permissions(file(&dir), std::fs::Permissions::from_mode(0o644)).unwrap();
    open(&file(&dir)).unwrap();
    assert_eq!(std::fs::metadata(file(&dir)).unwrap().permissions().mode() & 0o777, 0o600);
}

// ---- schema versions

#[test]
fn a_file_of_version_1_opens_with_its_records() {
    let dir = TempDir::new().unwrap();
    raw(&file(&dir), VERSION_1);
    let journal = open(&file(&dir)).unwrap();
    let found = all(&journal).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].id.to_string(), "q_0123456789abcdefghjkmnpqrs");
    assert_eq!(found[0].sql, "select 'é'");
    assert_eq!(found[0].status, QueryStatus::Running);
    assert_eq!(journal.damaged_records(), 0);
}

#[test]
fn an_older_file_takes_every_step_it_has_not_seen() {
    let dir = TempDir::new().unwrap();
    raw(&file(&dir), VERSION_1);
    let steps =
        [schema::STEPS[0], "CREATE TABLE extra (n INTEGER)", "INSERT INTO extra VALUES (7); SELECT 1"];
    for _ in 0..2 {
        let journal = SqliteJournal::open_with_steps(file(&dir), Durability::Process, &steps).unwrap();
        assert_eq!(all(&journal).unwrap().len(), 1);
        drop(journal);
        assert_eq!(number(&file(&dir), "SELECT sum(n) FROM extra"), 7);
        assert_eq!(number(&file(&dir), "PRAGMA user_version"), 3);
    }
}

#[test]
fn a_step_that_fails_leaves_the_file_at_its_version() {
    let dir = TempDir::new().unwrap();
    raw(&file(&dir), VERSION_1);
    let steps = [schema::STEPS[0], "CREATE TABLE extra (n INTEGER)", "INSERT INTO nowhere VALUES (1)"];
    assert!(SqliteJournal::open_with_steps(file(&dir), Durability::Process, &steps).is_err());
    assert_eq!(number(&file(&dir), "PRAGMA user_version"), 1);
    assert_eq!(number(&file(&dir), "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"), 0);
    assert_eq!(all(&open(&file(&dir)).unwrap()).unwrap().len(), 1);
}

#[test]
fn a_newer_file_is_refused_and_left_as_it_is() {
    let (dir, journal) = fresh();
    add(&journal, &record("select 1"));
    drop(journal);
    raw(&file(&dir), "PRAGMA user_version = 99");
    let before = std::fs::read(file(&dir)).unwrap();
    let refused = open(&file(&dir)).unwrap_err();
    assert_eq!(
        refused,
        JournalError::Newer { path: file(&dir), found: 99, known: schema::newest(schema::STEPS) }
    );
    assert_eq!(std::fs::read(file(&dir)).unwrap(), before);
}

#[test]
fn a_newer_file_that_was_never_closed_is_left_as_it_is() {
    let (dir, journal) = fresh();
    add(&journal, &record("select 1"));
    journal.conn.lock().unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    std::mem::forget(journal);
    let copy = TempDir::new().unwrap();
    for suffix in ["", "-wal"] {
        let name = format!("journal.db{suffix}");
        std::fs::copy(dir.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let bytes =
        || ["journal.db", "journal.db-wal"].map(|name| std::fs::read(copy.path().join(name)).unwrap());
    let before = bytes();
    assert!(matches!(open(&file(&copy)), Err(JournalError::Newer { found: 99, .. })));
    assert!(bytes() == before);
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    for sql in [
        "CREATE TABLE query (id TEXT)",
        "CREATE TABLE query (id TEXT); PRAGMA user_version = 1",
        "PRAGMA application_id = 77",
    ] {
        let dir = TempDir::new().unwrap();
        raw(&file(&dir), sql);
        let before = std::fs::read(file(&dir)).unwrap();
        assert!(matches!(open(&file(&dir)), Err(JournalError::Corrupt { .. })), "{sql}");
        assert_eq!(std::fs::read(file(&dir)).unwrap(), before, "{sql}");
    }
}

// ---- damage

/// Opens and uses a damaged file in every way. Nothing may panic, and what is read is what was written.
fn is_sound_or_refused(bytes: &[u8], written: &[QueryRecord]) -> bool {
    let dir = TempDir::new().unwrap();
    std::fs::write(file(&dir), bytes).unwrap();
    let Ok(journal) = open(&file(&dir)).inspect_err(assert_is_damage) else { return true };
    let known = |found: &QueryRecord| written.contains(found);
    let sound = |found: Result<Vec<QueryRecord>, JournalError>| match found {
        Ok(found) => found.iter().all(known),
        Err(error) => {
            assert_is_damage(&error);
            true
        }
    };
    let by_id = written.iter().all(|record| match journal.get(record.id) {
        Ok(found) => found.iter().all(known),
        Err(error) => {
            assert_is_damage(&error);
            true
        }
    });
    let lists = sound(all(&journal))
        && sound(journal.unsettled())
        && sound(journal.expired(Timestamp::from_millis(i64::MAX), 1000));
    let _ = journal.insert(&keyed("key 0"), &Uniqueness::default()).inspect_err(assert_is_damage);
    let _ = journal.update(&written[0], &next(&written[0])).inspect_err(assert_is_damage);
    let _ = journal.delete(written[1].id, 1).inspect_err(assert_is_damage);
    by_id && lists
}

/// One byte of the header tells SQLite that a file is too new for it to write.
fn assert_is_damage(error: &JournalError) {
    use JournalError::{Corrupt, Newer, ReadOnly};
    assert!(matches!(error, Corrupt { .. } | Newer { .. } | ReadOnly { .. }), "{error:?}");
}

#[test]
fn a_truncated_file_is_sound_as_far_as_it_goes_or_refused() {
    let (records, bytes) = bytes_of_journal(40);
    for length in (0..bytes.len()).step_by(509).chain([1, 16, 50, 99, 100, 511, 512, 4095, 4096, 4097]) {
        assert!(is_sound_or_refused(&bytes[..length], &records), "{length} bytes");
    }
}

#[test]
fn a_file_with_a_flipped_bit_is_sound_as_far_as_it_goes_or_refused() {
    let (records, bytes) = bytes_of_journal(40);
    for place in (0..110).chain((110..bytes.len()).step_by(307)) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        assert!(is_sound_or_refused(&damaged, &records), "byte {place}");
    }
}

#[test]
fn garbage_is_refused() {
    for garbage in [&b"xy"[..], b"SQLite format 3\0", &[0; 5000], &[0xff; 5000], b"{\"id\": 1}\n"] {
        let dir = TempDir::new().unwrap();
        std::fs::write(file(&dir), garbage).unwrap();
        let refused = open(&file(&dir)).unwrap_err();
        assert!(matches!(refused, JournalError::Corrupt { .. }), "{refused:?}");
        assert_eq!(std::fs::read(file(&dir)).unwrap(), garbage);
    }
}

#[test]
fn a_damaged_record_is_named_and_does_not_hide_the_others() {
    for damage in [
        "record = '{'",
        "record = replace(record, 'select 1', 'select 2')",
        "record = CAST(x'ff' AS TEXT)",
        "version = 9",
        "status = 'running'",
    ] {
        let (dir, journal) = fresh();
        let (bad, good) = (keyed("bad"), &[keyed("good")]);
        add(&journal, &bad);
        add(&journal, &good[0]);
        raw(&file(&dir), &format!("UPDATE query SET {damage} WHERE id = '{}'", bad.id));
        for _ in 0..2 {
            assert_eq!(all(&journal).unwrap(), *good, "{damage}");
            assert_eq!(journal.unsettled().unwrap(), *good, "{damage}");
            let late = Timestamp::from_millis(i64::MAX);
            assert_eq!(journal.expired(late, 1).unwrap(), *good, "{damage}");
        }
        assert_eq!(journal.damaged_records(), 1);
        let named = |error: JournalError| matches!(error, JournalError::Corrupt { reason, .. } if reason.contains(&bad.id.to_string()));
        assert!(named(journal.get(bad.id).unwrap_err()), "{damage}");
        assert!(named(journal.insert(&keyed("bad"), &Uniqueness::default()).unwrap_err()), "{damage}");
    }
}

#[test]
fn a_damaged_running_record_stands_for_nothing() {
    let (dir, journal) = fresh();
    let owner = InstanceId::generate();
    add(&journal, &record_of(owner, "select 1"));
    raw(&file(&dir), "UPDATE query SET record = '{'");
    let unique = Uniqueness { identical_running: Some(owner), ..Uniqueness::default() };
    assert_eq!(journal.insert(&record_of(owner, "select 1"), &unique), Ok(Inserted::New));
}

// ---- no place to write

#[test]
fn a_path_that_cannot_be_a_file_is_refused() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("plain"), "").unwrap();
    for path in
        [dir.path().to_path_buf(), dir.path().join("missing/journal.db"), dir.path().join("plain/journal.db")]
    {
        let refused = open(&path).unwrap_err();
        assert!(matches!(refused, JournalError::ReadOnly { .. }), "{path:?}: {refused:?}");
    }
}

/// Permissions do not bind a superuser, so the connection itself is told to refuse writes, with the same SQLite code
/// as a file that may not be written.
#[test]
fn a_journal_that_may_not_be_written_says_so_and_still_reads() {
    let (dir, journal) = fresh();
    let first = record("select 1");
    add(&journal, &first);
    journal.conn.lock().unwrap().pragma_update(None, "query_only", true).unwrap();
    let refused = journal.update(&first, &next(&first)).unwrap_err();
    assert!(matches!(&refused, JournalError::ReadOnly { path, .. } if *path == file(&dir)), "{refused:?}");
    assert_eq!(journal.get(first.id), Ok(Some(first)));
}

#[test]
fn a_connection_that_reads_only_is_refused() {
    let (dir, _journal) = fresh();
    let conn = Connection::open_with_flags(file(&dir), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let refused = refuse_read_only(&conn).unwrap_err().of(&file(&dir));
    assert!(matches!(refused, JournalError::ReadOnly { .. }), "{refused:?}");
}

#[test]
fn a_full_disk_is_named_and_loses_nothing() {
    let (dir, journal) = fresh();
    let first = record("select 1");
    add(&journal, &first);
    let limit = |pages: i64| {
        let conn = journal.conn.lock().unwrap();
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    };
    limit(1); // SQLite takes this as "as many as there are".
    let large = record(&format!("select '{}'", "x".repeat(60_000)));
    let full = || JournalError::DiskFull { path: file(&dir) };
    assert_eq!(journal.insert(&large, &Uniqueness::default()), Err(full()));
    let after = QueryRecord { sql: large.sql.clone(), ..next(&first) };
    assert_eq!(journal.update(&first, &after), Err(full()));
    assert_eq!(all(&journal), Ok(vec![first]));
    limit(1_000_000);
    add(&journal, &large);
}

// ---- cost

#[test]
fn every_search_uses_its_index_and_sorts_nothing() {
    let (_dir, journal) = fresh();
    let conn = journal.conn.lock().unwrap();
    for (search, index) in [
        (searches::BY_ID, "sqlite_autoindex_query_1"),
        (searches::BY_KEY, "query_by_key"),
        (searches::NEWEST, "query_newest"),
        (searches::NEWEST_BY_STATUS, "query_newest_by_status"),
        (searches::UNSETTLED, "query_unsettled"),
        (searches::EXPIRED, "query_expiring"),
        (searches::RUNNING, "query_running"),
    ] {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {search}")).unwrap();
        let count = statement.parameter_count();
        let rows =
            statement.query_map(rusqlite::params_from_iter(vec!["1"; count]), |row| row.get(3)).unwrap();
        let plan: Vec<String> = rows.map(Result::unwrap).collect();
        assert!(plan[0].contains(&format!("INDEX {index} ")) || plan[0].ends_with(index), "{plan:?}");
        // The few identical ones may be sorted.
        assert!(plan.len() == 1 || search == searches::RUNNING, "{plan:?}");
    }
}
