//! What SQLite says went wrong, in the journal's own words.

use std::io;
use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::JournalError;

/// A failure inside the journal that does not know yet which file it is about.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite's own.
    Sqlite(rusqlite::Error),
    /// One record does not read back.
    Record(Damage),
    /// SQLite reads the file, but it is no journal of ours.
    Foreign(String),
    /// A newer release wrote the file.
    Newer { found: i64, known: i64 },
    /// What a record cannot be stored for.
    Other(String),
}

/// A row that gives no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) id: String,
    pub(super) reason: String,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Record(damage)
    }
}

impl Fault {
    /// The same failure of the file at `path`.
    pub(super) fn of(self, path: &Path) -> JournalError {
        let path_buf = path.to_path_buf();
        match self {
            Self::Sqlite(error) => sqlite(path, &error),
            Self::Record(Damage { id, reason }) => JournalError::Corrupt {
                path: path_buf,
                reason: format!("the record of query {id}: {reason}"),
            },
            Self::Foreign(reason) => JournalError::Corrupt { path: path_buf, reason },
            Self::Newer { found, known } => JournalError::Newer { path: path_buf, found, known },
            Self::Other(reason) => JournalError::Other { path: path_buf, reason },
        }
    }

    /// Whether another process is in the way, so that a moment later it may go well.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error().is_some_and(|e| is_busy(e.code)))
    }
}

fn is_busy(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed)
}

fn sqlite(path: &Path, error: &rusqlite::Error) -> JournalError {
    let (path, reason) = (path.to_path_buf(), error.to_string());
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => failed(path, *failure, reason),
        rusqlite::Error::SqlInputError { error, msg, .. } => failed(path, *error, msg.clone()),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => JournalError::Corrupt { path, reason },
        _ => JournalError::Other { path, reason },
    }
}

fn failed(path: std::path::PathBuf, failure: ffi::Error, reason: String) -> JournalError {
    match failure.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => JournalError::Corrupt { path, reason },
        // The key was looked for in the same transaction and not found, so index and records disagree.
        ErrorCode::ConstraintViolation if failure.extended_code == ffi::SQLITE_CONSTRAINT_UNIQUE => {
            JournalError::Corrupt { path, reason }
        }
        ErrorCode::DiskFull => JournalError::DiskFull { path },
        ErrorCode::ReadOnly
        | ErrorCode::CannotOpen
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => JournalError::ReadOnly { path, reason },
        code if is_busy(code) => JournalError::Busy { path },
        ErrorCode::SystemIoFailure => match failure.extended_code {
            // Only the growth of the shared memory file fails this way: there is no room for it.
            ffi::SQLITE_IOERR_SHMSIZE => JournalError::DiskFull { path },
            ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS => {
                JournalError::Corrupt { path, reason }
            }
            _ => JournalError::Other { path, reason },
        },
        // Every statement is a constant that fits our tables: when one does not, the tables are not ours.
        _ if failure.extended_code & 0xff == ffi::SQLITE_ERROR => JournalError::Corrupt { path, reason },
        _ => JournalError::Other { path, reason },
    }
}

/// The system's failure to create or change the file at `path`.
pub(super) fn io(path: &Path, error: &io::Error) -> JournalError {
    let (path, reason) = (path.to_path_buf(), error.to_string());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JournalError::DiskFull { path },
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory => JournalError::ReadOnly { path, reason },
        _ => JournalError::Other { path, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(extended_code: i32) -> &'static str {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(extended_code), None);
        match Fault::Sqlite(error).of(Path::new("journal.db")) {
            JournalError::Corrupt { .. } => "corrupt",
            JournalError::Newer { .. } => "newer",
            JournalError::ReadOnly { .. } => "read-only",
            JournalError::DiskFull { .. } => "full",
            JournalError::Busy { .. } => "busy",
            JournalError::Other { .. } => "other",
        }
    }

    #[test]
    fn every_code_of_sqlite_is_sorted_by_what_a_person_does_about_it() {
        for (code, expected) in [
            (ffi::SQLITE_CORRUPT, "corrupt"),
            (ffi::SQLITE_CORRUPT_INDEX, "corrupt"),
            (ffi::SQLITE_NOTADB, "corrupt"),
            (ffi::SQLITE_IOERR_SHORT_READ, "corrupt"),
            (ffi::SQLITE_IOERR_CORRUPTFS, "corrupt"),
            (ffi::SQLITE_FULL, "full"),
            (ffi::SQLITE_IOERR_SHMSIZE, "full"),
            (ffi::SQLITE_READONLY, "read-only"),
            (ffi::SQLITE_READONLY_DIRECTORY, "read-only"),
            (ffi::SQLITE_CANTOPEN, "read-only"),
            (ffi::SQLITE_CANTOPEN_ISDIR, "read-only"),
            (ffi::SQLITE_PERM, "read-only"),
            (ffi::SQLITE_BUSY, "busy"),
            (ffi::SQLITE_BUSY_SNAPSHOT, "busy"),
            (ffi::SQLITE_BUSY_RECOVERY, "busy"),
            (ffi::SQLITE_LOCKED, "busy"),
            (ffi::SQLITE_PROTOCOL, "busy"),
            (ffi::SQLITE_IOERR, "other"),
            (ffi::SQLITE_IOERR_WRITE, "other"),
            (ffi::SQLITE_IOERR_FSYNC, "other"),
            (ffi::SQLITE_NOMEM, "other"),
            (ffi::SQLITE_TOOBIG, "other"),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, "corrupt"),
            (ffi::SQLITE_ERROR, "corrupt"),
        ] {
            assert_eq!(kind(code), expected, "{code}");
        }
    }
}
