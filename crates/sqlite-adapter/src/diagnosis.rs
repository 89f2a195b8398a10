//! Errors in words from which a statement can be mended.

use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::results::ResultStoreError;
use rusqlite::{Error, ErrorCode};

use crate::hints;
use crate::lexer::{self, Place};
use crate::open::Engine;

/// SQLite's own words, without the statement that `Display` would repeat.
pub(crate) fn words(error: &Error) -> String {
    match error {
        Error::SqlInputError { msg, .. } => msg.clone(),
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqliteFailure(code, None) => code.to_string(),
        other => other.to_string(),
    }
}

/// Whether the engine ended the statement because it was asked to.
pub(crate) fn is_stop(error: &Error) -> bool {
    use ErrorCode::{DatabaseBusy, DatabaseLocked, OperationInterrupted};
    matches!(error.sqlite_error_code(), Some(OperationInterrupted | DatabaseBusy | DatabaseLocked))
}

/// An error of compiling `sql`, of which the part from `start` on was given to the engine.
pub(crate) fn of_text(engine: &Engine, sql: &str, start: usize, error: &Error) -> ErrorInfo {
    if let Some(denial) = engine.denials.take() {
        return ErrorInfo::new(ErrorKind::Refused, denial);
    }
    let Error::SqlInputError { msg, offset, .. } = error else {
        let plain = of_engine(engine, error);
        return match hints::for_message(&engine.connection, sql, &plain.message) {
            Some(hint) if plain.kind == ErrorKind::Sql => {
                ErrorInfo { message: format!("{}. {hint}", plain.message), ..plain }
            }
            _ => plain,
        };
    };
    let mut message = msg.clone();
    if let Ok(offset) = usize::try_from(*offset) {
        message.push_str(&format!(" ({})", place(sql, start + offset)));
    }
    if let Some(hint) = hints::for_message(&engine.connection, sql, msg) {
        message.push_str(&format!(". {hint}"));
    }
    coded(ErrorKind::Sql, message, error)
}

/// Line and column, with what stands there.
fn place(sql: &str, offset: usize) -> String {
    const LENGTH: usize = 40;
    let place = Place::of(sql, offset);
    let at = sql.get(offset..).and_then(|rest| {
        let token = lexer::tokens(rest).find(|token| token.kind != lexer::TokenKind::Trivia)?;
        Some(rest[token.span].chars().take(LENGTH).collect::<String>())
    });
    match at {
        Some(token) => format!("{place}, at {token:?}"),
        None => format!("{place}, the end of the statement"),
    }
}

/// An error of running a statement, or of the connection.
pub(crate) fn of_engine(engine: &Engine, error: &Error) -> ErrorInfo {
    if let Some(denial) = engine.denials.take() {
        return ErrorInfo::new(ErrorKind::Refused, denial);
    }
    let words = words(error);
    let (kind, message) = match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly | ErrorCode::AuthorizationForStatementDenied) => {
            (ErrorKind::Refused, format!("Refused: {words}."))
        }
        Some(ErrorCode::TooBig) => (
            ErrorKind::ResourceLimit,
            format!("{words}: a value or the statement itself is larger than this server allows. Make it smaller."),
        ),
        Some(ErrorCode::OutOfMemory) => (
            ErrorKind::ResourceLimit,
            "the statement needs more memory than this server allows. Aggregate or filter earlier, and avoid huge texts."
                .to_owned(),
        ),
        Some(ErrorCode::DiskFull) => (
            ErrorKind::ResourceLimit,
            "the disk for temporary files is full. Sort or group fewer rows, or ask the user to free space or to set \
             SQLITE_TMPDIR to a larger disk."
                .to_owned(),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Unavailable,
            format!("{words}: another program holds the database. Submit the statement again in a moment."),
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::PermissionDenied) => (
            ErrorKind::Unavailable,
            format!("{words}. Check the database file and the disk, then submit again."),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (ErrorKind::Protocol, format!("{words}. The database file is damaged; the user must restore it."))
        }
        _ => (ErrorKind::Sql, words),
    };
    coded(kind, message, error)
}

fn coded(kind: ErrorKind, message: String, error: &Error) -> ErrorInfo {
    let info = ErrorInfo::new(kind, message);
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(code) => info.with_code(i64::from(code), code.to_string()),
        None => info,
    }
}

/// The rows could not be kept.
pub(crate) fn of_store(error: &ResultStoreError, only_read: bool) -> ErrorInfo {
    let advice = if only_read {
        "Free space on that disk, or ask for fewer rows and columns, then submit again."
    } else {
        "The changes of the statement are in the database: do not submit it again, read the rows with SELECT."
    };
    ErrorInfo::new(ErrorKind::ResultStore, format!("the rows could not be stored: {error}. {advice}"))
}

/// A row that no answer could carry.
pub(crate) fn of_wide_row(bytes: u64) -> ErrorInfo {
    let message = format!(
        "one row of the result has {} MiB. Select fewer or shorter columns, for example substr(column, 1, 1000).",
        bytes >> 20
    );
    ErrorInfo::new(ErrorKind::ResourceLimit, message)
}

/// The ceiling on bytes written was reached.
pub(crate) fn of_written() -> ErrorInfo {
    ErrorInfo::new(
        ErrorKind::ResourceLimit,
        "the statement wrote more to disk, for sorting or as its result, than this server allows. Filter or aggregate \
         before sorting, or add a LIMIT.",
    )
}
