//! Connections: one for every statement, closed in before the statement is seen.

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use rusqlite::serialize::Data;
use rusqlite::{Connection, MAIN_DB, OpenFlags};
use uuid::Uuid;

use crate::config::{SqliteConfig, SqliteSource};
use crate::sample;
use crate::sandbox::{self, Access, Denials};
use crate::stop::Brake;

/// The sample as the bytes of a database file: made once, read by every connection where it lies.
static IMAGE: OnceLock<rusqlite::Result<Vec<u8>>> = OnceLock::new();

/// A connection that can do no more than its sandbox allows.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) connection: Connection,
    pub(crate) denials: Denials,
    pub(crate) brake: Brake,
}

/// Opens connections. Nothing is touched before the first of them.
#[derive(Debug)]
pub(crate) struct Opener {
    config: SqliteConfig,
    /// Holds the writable sample: a shared database in memory lasts as long as one connection to it.
    keeper: Mutex<Option<Connection>>,
    shared_name: String,
}

impl Opener {
    pub(crate) fn new(config: SqliteConfig) -> Self {
        let shared_name = format!("file:/sample-{}?vfs=memdb", Uuid::new_v4());
        Self { config, keeper: Mutex::new(None), shared_name }
    }

    pub(crate) fn config(&self) -> &SqliteConfig {
        &self.config
    }

    fn access(&self) -> Access {
        if self.config.allow_writes { Access::ReadWrite } else { Access::ReadOnly }
    }

    /// A new connection. It blocks: call it off the runtime's threads.
    pub(crate) fn open(&self) -> Result<Engine, BackendError> {
        self.close_in(self.connect()?)
    }

    /// The same inside a transaction that the sandbox lets nobody commit.
    pub(crate) fn open_within_transaction(&self) -> Result<Engine, BackendError> {
        let connection = self.connect()?;
        connection.execute_batch("BEGIN").map_err(|error| self.cannot_open(&error))?;
        self.close_in(connection)
    }

    fn close_in(&self, mut connection: Connection) -> Result<Engine, BackendError> {
        let brake = Brake::default();
        let denials = sandbox::close_in(&mut connection, self.access(), &self.config.limits, &brake)
            .map_err(|error| self.cannot_open(&error))?;
        Ok(Engine { connection, denials, brake })
    }

    fn connect(&self) -> Result<Connection, BackendError> {
        match (&self.config.source, self.access()) {
            (SqliteSource::File(path), access) => self.connect_file(path, access),
            (SqliteSource::Sample, Access::ReadOnly) => {
                connect_image().map_err(|error| self.cannot_open(&error))
            }
            (SqliteSource::Sample, Access::ReadWrite) => {
                self.connect_shared().map_err(|error| self.cannot_open(&error))
            }
        }
    }

    fn connect_file(&self, path: &Path, access: Access) -> Result<Connection, BackendError> {
        // An absolute path is never taken for a URI, whose parameters could change how the file is opened.
        let path = std::fs::canonicalize(path).map_err(|error| no_file(path, &error))?;
        if !path.is_file() {
            return Err(misconfigured(format!(
                "{} is not a file. Name a SQLite database file.",
                path.display()
            )));
        }
        let mode = match access {
            Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        };
        let opened = Connection::open_with_flags(&path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = opened.map_err(|error| self.cannot_open(&error))?;
        // Reads the header, so that what is no database is told here and not blamed on a statement.
        match connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0)) {
            Ok(_) => Ok(connection),
            Err(error) if is_busy(&error) => Ok(connection),
            Err(error) => Err(self.cannot_open(&error)),
        }
    }

    fn connect_shared(&self) -> rusqlite::Result<Connection> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            let mut first = self.open_shared()?;
            sample::build(&mut first)?;
            *keeper = Some(first);
        }
        self.open_shared()
    }

    fn open_shared(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(&self.shared_name, flags)
    }

    pub(crate) fn cannot_open(&self, error: &rusqlite::Error) -> BackendError {
        let name = match &self.config.source {
            SqliteSource::Sample => "the sample database".to_owned(),
            SqliteSource::File(path) => path.display().to_string(),
        };
        misconfigured(format!(
            "cannot open {name}: {}. Check that it is a SQLite database, and its permissions and those of its \
             directory, then submit again.",
            crate::diagnosis::words(error)
        ))
    }
}

/// A private view of the sample that shares its bytes with all others.
fn connect_image() -> rusqlite::Result<Connection> {
    let image = match IMAGE.get_or_init(image) {
        Ok(image) => image,
        Err(_) => return Err(rusqlite::Error::InvalidQuery),
    };
    let mut connection = Connection::open_in_memory()?;
    connection.deserialize_bytes(MAIN_DB, image)?;
    Ok(connection)
}

fn image() -> rusqlite::Result<Vec<u8>> {
    let mut connection = Connection::open_in_memory()?;
    sample::build(&mut connection)?;
    match connection.serialize(MAIN_DB)? {
        Data::Owned(bytes) => Ok(bytes.to_vec()),
        Data::Shared(bytes) => Ok(bytes.to_vec()),
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    matches!(error.sqlite_error_code(), Some(DatabaseBusy | DatabaseLocked))
}

fn no_file(path: &Path, error: &std::io::Error) -> BackendError {
    misconfigured(match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!(
                "there is no database file {}. Ask the user to create it, or to start the server with another path.",
                path.display()
            )
        }
        _ => format!("cannot open {}: {error}. Check its permissions, then submit again.", path.display()),
    })
}

/// Waiting does not mend it.
fn misconfigured(message: String) -> BackendError {
    BackendError::new(ErrorKind::Configuration, message)
}
