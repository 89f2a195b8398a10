//! What holds back writes here, found out by trying.

use std::time::Duration;

use registry_core::backend::{BackendError, Fence};
use rusqlite::{Connection, Error, ErrorCode};

use crate::diagnosis;
use crate::open::Opener;

/// A lock that another program holds is not waited for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// One forbidden statement of each kind: a write, a second database, a setting, and an object of our own.
const FORBIDDEN: &[(&str, &str)] = &[
    ("a write", "CREATE TABLE fence_probe (x)"),
    ("a second database", "ATTACH ':memory:' AS fence_probe"),
    ("a setting", "PRAGMA query_only = OFF"),
    ("a temporary object", "CREATE TEMP TABLE fence_probe (x)"),
];

/// Tries what must be refused. It blocks.
pub(crate) fn probe(opener: &Opener) -> Fence {
    if opener.config().allow_writes {
        return Fence::open("Writes are allowed on this connection, and SQLite carries them out.");
    }
    match refusals(opener) {
        Ok(None) => Fence::engine(format!(
            "SQLite itself refused {}, which were tried without the check of the SQL text.",
            names()
        )),
        Ok(Some(passed)) => Fence::parser_only(format!(
            "SQLite did not refuse {passed}; only the check of the SQL text holds writes back."
        )),
        Err(error) => Fence::unknown(format!("The database could not be tried: {}", error.0.message)),
    }
}

/// The first kind of statement that was not refused.
fn refusals(opener: &Opener) -> Result<Option<&'static str>, BackendError> {
    // In a transaction that is never committed nothing would stay, even if nothing were refused.
    let engine = opener.open_within_transaction()?;
    engine.connection.busy_timeout(PATIENCE).map_err(|error| opener.cannot_open(&error))?;
    for (name, sql) in FORBIDDEN {
        match tried(&engine.connection, sql) {
            Ok(()) => return Ok(Some(name)),
            Err(error) if is_refusal(&error) => {}
            Err(error) => return Err(opener.cannot_open(&error)),
        }
    }
    Ok(None)
}

fn tried(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn is_refusal(error: &Error) -> bool {
    use ErrorCode::{AuthorizationForStatementDenied, ReadOnly};
    let refused = matches!(error.sqlite_error_code(), Some(AuthorizationForStatementDenied | ReadOnly));
    if !refused {
        tracing::warn!(error = diagnosis::words(error), "a forbidden statement failed without being refused");
    }
    refused
}

fn names() -> String {
    let names: Vec<_> = FORBIDDEN.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}
