//! The journal in SQLite.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{
    CachedStatement, Connection, OpenFlags, OptionalExtension, Params, Transaction, TransactionBehavior,
    params,
};

use super::fault::{self, Damage, Fault};
use super::row::{self, NewRow, Revision};
use super::{
    Inserted, Journal, JournalError, ListFilter, Uniqueness, Updated, is_identical, schema, searches,
};
use crate::clock::Timestamp;
use crate::id::{InstanceId, QueryId};
use crate::metrics::{Histogram, HistogramSnapshot};
use crate::record::QueryRecord;

/// How long another process may hold the journal before we give up.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon to try again where SQLite itself does not wait.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// What a stored record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A killed process: enough for an engine that dies with it.
    Process,
    /// A power cut: for statements that go on without us.
    Power,
}

/// Records in one SQLite file, shared by any number of processes.
///
/// A record that does not read back is never taken for another state of its query. Asked for by its id or by its
/// idempotency key it is [`JournalError::Corrupt`], so that nothing is run twice on its account; everywhere else it is
/// left out, reported once in the log and counted by [`SqliteJournal::damaged_records`], so that it does not stand in
/// the way of all the others. It stays in the file as evidence.
#[derive(Debug)]
pub struct SqliteJournal {
    path: PathBuf,
    conn: Mutex<Connection>,
    lock_waits: Histogram,
    damaged: Mutex<BTreeSet<String>>,
}

impl SqliteJournal {
    /// Opens the journal at `path`, which is created or brought to this release's schema when need be. A file that
    /// is refused stays as it is.
    pub fn open(path: impl Into<PathBuf>, durability: Durability) -> Result<Self, JournalError> {
        Self::open_with_steps(path.into(), durability, schema::STEPS)
    }

    fn open_with_steps(path: PathBuf, durability: Durability, steps: &[&str]) -> Result<Self, JournalError> {
        create_private(&path).map_err(|error| fault::io(&path, &error))?;
        let conn = connect(&path, durability, steps).map_err(|fault| fault.of(&path))?;
        keep_private(&path).map_err(|error| fault::io(&path, &error))?;
        Ok(Self { path, conn: Mutex::new(conn), lock_waits: Histogram::default(), damaged: Mutex::default() })
    }

    /// Records met so far that do not read back.
    pub fn damaged_records(&self) -> usize {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, JournalError> {
        let conn = self.lock_waits.time(|| self.conn.lock().unwrap_or_else(PoisonError::into_inner));
        roll_back_leftovers(&conn).and_then(|()| work(&conn)).map_err(|fault| fault.of(&self.path))
    }

    /// Reads rows until `limit` sound ones are found; damaged ones take no place.
    fn sound(
        &self,
        mut statement: CachedStatement<'_>,
        params: impl Params,
        limit: usize,
    ) -> Result<Vec<QueryRecord>, Fault> {
        let mut found = Vec::new();
        let mut rows = statement.query(params)?;
        while found.len() < limit
            && let Some(row) = rows.next()?
        {
            match row::read(row) {
                Ok(record) => found.push(record),
                Err(damage) => self.report(damage),
            }
        }
        Ok(found)
    }

    fn report(&self, damage: Damage) {
        let Damage { id, reason } = damage;
        let mut damaged: MutexGuard<'_, _> = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
        if damaged.insert(id.clone()) {
            tracing::error!(journal = %self.path.display(), query = id, reason, "a damaged record is left out");
        }
    }

    fn identical(
        &self,
        conn: &Connection,
        record: &QueryRecord,
        owner: InstanceId,
    ) -> Result<Option<QueryRecord>, Fault> {
        let statement = conn.prepare_cached(searches::RUNNING)?;
        let key = params![row::hash(record.sql.as_bytes()), record.connection, owner.to_string()];
        let found = self.sound(statement, key, usize::MAX)?;
        Ok(found.into_iter().find(|stored| is_identical(stored, record, owner)))
    }
}

/// Whether the journal at `path` is of a release that we know, and whole. It reads and changes nothing.
pub fn check(path: &Path) -> Result<(), JournalError> {
    let look = || -> Result<(), Fault> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(PATIENCE)?;
        schema::inspect(&conn, schema::STEPS)?;
        let words: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if words == "ok" { Ok(()) } else { Err(Fault::Foreign(words)) }
    };
    look().map_err(|fault| fault.of(path))
}

impl Journal for SqliteJournal {
    fn insert(&self, record: &QueryRecord, unique: &Uniqueness) -> Result<Inserted, JournalError> {
        self.with(|conn| {
            let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
            if let Some(earlier) = same_key(&tx, record)? {
                return Ok(Inserted::SameKey(Box::new(earlier)));
            }
            if let Some(owner) = unique.identical_running
                && let Some(earlier) = self.identical(&tx, record, owner)?
            {
                return Ok(Inserted::Identical(Box::new(earlier)));
            }
            if unique.refuse_new {
                return Ok(Inserted::Refused);
            }
            insert(&tx, record)?;
            tx.commit()?;
            Ok(Inserted::New)
        })
    }

    fn update(&self, before: &QueryRecord, after: &QueryRecord) -> Result<Updated, JournalError> {
        self.with(|conn| match update(conn, before, after)? {
            true => Ok(Updated::Applied),
            false => Ok(Updated::Conflict(get(conn, before.id)?.map(Box::new))),
        })
    }

    fn get(&self, id: QueryId) -> Result<Option<QueryRecord>, JournalError> {
        self.with(|conn| get(conn, id))
    }

    fn list(&self, filter: &ListFilter) -> Result<Vec<QueryRecord>, JournalError> {
        let limit = filter.limit.unwrap_or(usize::MAX);
        self.with(|conn| match filter.status {
            None => self.sound(conn.prepare_cached(searches::NEWEST)?, [], limit),
            Some(status) => {
                self.sound(conn.prepare_cached(searches::NEWEST_BY_STATUS)?, [status.as_str()], limit)
            }
        })
    }

    fn unsettled(&self) -> Result<Vec<QueryRecord>, JournalError> {
        self.with(|conn| self.sound(conn.prepare_cached(searches::UNSETTLED)?, [], usize::MAX))
    }

    fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<QueryRecord>, JournalError> {
        self.with(|conn| self.sound(conn.prepare_cached(searches::EXPIRED)?, [now.as_millis()], limit))
    }

    fn delete(&self, id: QueryId, version: u64) -> Result<bool, JournalError> {
        self.with(|conn| {
            let mut statement = conn.prepare_cached("DELETE FROM query WHERE id = ?1 AND version = ?2")?;
            Ok(statement.execute(params![id.to_string(), version.cast_signed()])? == 1)
        })
    }

    fn change_hint(&self) -> Result<i64, JournalError> {
        self.with(|conn| Ok(conn.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?))
    }

    fn lock_waits(&self) -> HistogramSnapshot {
        self.lock_waits.snapshot()
    }

    fn is_shared(&self) -> bool {
        true
    }
}

fn get(conn: &Connection, id: QueryId) -> Result<Option<QueryRecord>, Fault> {
    let mut statement = conn.prepare_cached(searches::BY_ID)?;
    let found = statement.query_row([id.to_string()], |row| Ok(row::read(row))).optional()?;
    Ok(found.transpose()?)
}

/// A damaged record still holds its key: what it stood for may run at the engine.
fn same_key(conn: &Connection, record: &QueryRecord) -> Result<Option<QueryRecord>, Fault> {
    let Some(key) = &record.idempotency_key else { return Ok(None) };
    let mut statement = conn.prepare_cached(searches::BY_KEY)?;
    let found = statement.query_row([&record.connection, key], |row| Ok(row::read(row))).optional()?;
    Ok(found.transpose()?)
}

fn insert(conn: &Connection, record: &QueryRecord) -> Result<(), Fault> {
    let row = NewRow::of(record)?;
    let mut statement = conn.prepare_cached(
        "INSERT INTO query (id, connection, sql_hash, idempotency_key, created_at, version, status, epoch, owner, \
         ttl_expires_at, finished, unsettled, stopping, forgotten, checksum, record) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?;
    let values: Vec<_> = row.never_changing().into_iter().chain(row.changing()).collect();
    statement.execute(values.as_slice())?;
    Ok(())
}

/// Columns that never change are not named, so that their index is left alone.
fn update(conn: &Connection, before: &QueryRecord, after: &QueryRecord) -> Result<bool, Fault> {
    let (row, old, id) = (NewRow::of(after)?, Revision::of(before), before.id.to_string());
    let mut statement = conn.prepare_cached(
        "UPDATE query SET version = ?1, status = ?2, epoch = ?3, owner = ?4, ttl_expires_at = ?5, finished = ?6, \
         unsettled = ?7, stopping = ?8, forgotten = ?9, checksum = ?10, record = ?11 \
         WHERE id = ?12 AND version = ?13 AND status = ?14 AND epoch = ?15",
    )?;
    let condition: [&dyn rusqlite::ToSql; 4] = [&id, &old.version, &old.status, &old.epoch];
    let values: Vec<_> = row.changing().into_iter().chain(condition).collect();
    Ok(statement.execute(values.as_slice())? == 1)
}

/// A transaction that could not even be rolled back, or whose thread died, must not swallow the next write.
fn roll_back_leftovers(conn: &Connection) -> Result<(), Fault> {
    if !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    Ok(())
}

fn connect(path: &Path, durability: Durability, steps: &[&str]) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(32);
    // Until the file is known to be ours, closing it must not write to it either.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let deadline = Instant::now() + PATIENCE;
    // The change to WAL answers "busy" at once where two processes would wait for each other.
    loop {
        match prepare(&conn, durability, steps) {
            Err(fault) if fault.is_busy() && Instant::now() < deadline => std::thread::sleep(RETRY_AFTER),
            Err(fault) => return Err(fault),
            Ok(()) => break,
        }
    }
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(conn)
}

fn prepare(conn: &Connection, durability: Durability, steps: &[&str]) -> Result<(), Fault> {
    roll_back_leftovers(conn)?;
    schema::inspect(conn, steps)?;
    refuse_read_only(conn)?;
    write_ahead(conn)?;
    let synchronous = match durability {
        Durability::Process => "NORMAL",
        Durability::Power => "FULL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // On macOS an ordinary sync leaves the data in the drive's own cache.
    conn.pragma_update(None, "fullfsync", durability == Durability::Power)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    schema::migrate(conn, steps)
}

/// SQLite opens a file that it may not write for reading, without a word.
fn refuse_read_only(conn: &Connection) -> Result<(), Fault> {
    if conn.is_readonly(rusqlite::MAIN_DB)? {
        let failure = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(failure, None).into());
    }
    Ok(())
}

fn write_ahead(conn: &Connection) -> Result<(), Fault> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Fault::Other(format!(
            "its file system has no shared memory, so the journal mode stays {mode}; choose a --state-dir on a local \
             disk"
        )));
    }
    Ok(())
}

/// Creates the file for this user alone; SQLite gives its companions the same permissions.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => sync_parent(path),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes the file's name survive a power cut, as SQLite does for the files that it creates.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| cfg!(unix) && !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes back what an older file gives to others.
fn keep_private(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
