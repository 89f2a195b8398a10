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
            let what = if path.is_dir() { "a directory" } else { "not a file" };
            let path = path.display();
            return Err(misconfigured(format!("{path} is {what}. Name a SQLite database file.")));
        }
        let opened = match access {
            Access::ReadWrite => open_file(&path, OpenFlags::SQLITE_OPEN_READ_WRITE),
            Access::ReadOnly => open_file(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).or_else(|error| {
                if is_unused_in_a_closed_place(&path, &error) { open_unchanging(&path) } else { Err(error) }
            }),
        };
        opened.map_err(|error| self.cannot_open(&error))
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

fn open_file(path: &Path, mode: OpenFlags) -> rusqlite::Result<Connection> {
    checked(Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?)
}

/// Opens a file that nobody changes while it is open.
fn open_unchanging(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte))
            }
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    open_file(Path::new(&uri), OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// A file in WAL mode is read through files beside it, and here they cannot be made. Without a log nobody writes to it.
fn is_unused_in_a_closed_place(path: &Path, error: &rusqlite::Error) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly)) && !Path::new(&log).exists()
}

/// Reads the header, so that what is no database is told here and not blamed on a statement.
fn checked(connection: Connection) -> rusqlite::Result<Connection> {
    match connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0)) {
        Err(error) if !is_busy(&error) => Err(error),
        Ok(_) | Err(_) => Ok(connection),
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
