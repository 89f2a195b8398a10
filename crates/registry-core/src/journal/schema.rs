//! Tables of the journal and how older ones become newer.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::fault::Fault;

/// Marks the file as ours ("aqmj"), so that no other program's database is taken for a journal.
const APPLICATION_ID: i64 = 0x6171_6d6a;

/// Step number `n` makes version `n + 1` out of version `n`. A released step is never changed.
pub(super) const STEPS: &[&str] = &[VERSION_1];

/// The record is the JSON text; the other columns repeat what is searched or compared. Each index serves one search
/// and holds only the rows that it can find, so that no search costs more when more records have ended.
const VERSION_1: &str = "
    CREATE TABLE query (
        id              TEXT    NOT NULL PRIMARY KEY,
        version         INTEGER NOT NULL,
        status          TEXT    NOT NULL,
        epoch           INTEGER NOT NULL,
        owner           TEXT    NOT NULL,
        connection      TEXT    NOT NULL,
        sql_hash        INTEGER NOT NULL,
        idempotency_key TEXT,
        created_at      INTEGER NOT NULL,
        ttl_expires_at  INTEGER NOT NULL,
        finished        INTEGER NOT NULL,
        unsettled       INTEGER NOT NULL,
        stopping        INTEGER NOT NULL,
        forgotten       INTEGER NOT NULL,
        checksum        INTEGER NOT NULL,
        record          TEXT    NOT NULL
    ) STRICT;

    CREATE UNIQUE INDEX query_by_key ON query (connection, idempotency_key)
        WHERE idempotency_key IS NOT NULL AND forgotten = 0;
    CREATE INDEX query_running ON query (sql_hash, connection, owner)
        WHERE finished = 0 AND stopping = 0 AND forgotten = 0;
    CREATE INDEX query_unsettled ON query (created_at, id) WHERE unsettled = 1;
    CREATE INDEX query_expiring ON query (ttl_expires_at, id) WHERE (forgotten = 0 OR unsettled = 0);
    CREATE INDEX query_newest ON query (created_at DESC, id DESC) WHERE forgotten = 0;
    CREATE INDEX query_newest_by_status ON query (status, created_at DESC, id DESC) WHERE forgotten = 0;
";

/// Refuses a file that is neither ours nor empty, or too new, and writes nothing.
pub(super) fn inspect(conn: &Connection, steps: &[&str]) -> Result<(), Fault> {
    // One transaction, so that all that is looked at is of the same moment.
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
    known_version(&tx, steps)?;
    tx.commit()?;
    Ok(())
}

/// Applies the steps that the file has not seen, all of them or none. Any number of processes may call it at once.
/// It takes the write lock even when there is nothing to do, so that a file that cannot be written is refused now.
pub(super) fn migrate(conn: &Connection, steps: &[&str]) -> Result<(), Fault> {
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    // Read again under the lock: another process may have been first.
    let from = known_version(&tx, steps)?;
    if from == newest(steps) {
        return Ok(());
    }
    for step in steps.iter().skip(usize::try_from(from).unwrap_or(usize::MAX)) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", newest(steps))?;
    tx.commit()?;
    Ok(())
}

/// The version that `steps` lead to.
pub(super) fn newest(steps: &[&str]) -> i64 {
    i64::try_from(steps.len()).unwrap_or(i64::MAX)
}

fn known_version(conn: &Connection, steps: &[&str]) -> Result<i64, Fault> {
    let number = |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (found, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_empty = found == 0 && application == 0 && tables == 0;
    if !is_empty && (application != APPLICATION_ID || found < 1) {
        return Err(Fault::Foreign("it is another program's database".to_owned()));
    }
    match newest(steps) {
        known if found > known => Err(Fault::Newer { found, known }),
        _ => Ok(found),
    }
}
