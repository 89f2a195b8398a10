//! SQLite as an engine of the query registry: inside this process, one thread and one connection for every running
//! statement, closed in by SQLite's own authorizer.
//!
//! **Where the data are.** [`SqliteSource::File`] is a database file, opened read-only unless writes are allowed.
//! [`SqliteSource::Sample`] is the shop described in [`sample`]; it is built once in a process, and every session reads
//! the same bytes without a copy and without a lock. With writes allowed there is one sample that all sessions share.
//! Reading a file in WAL mode may leave its `-wal` and `-shm` files beside it, as every reader of SQLite does.
//!
//! **What a statement may do.** Read. The authorizer is an allow-list; behind it stand a read-only connection, the
//! defensive switches and the ceilings of [`SqliteLimits`]. With writes allowed it may change data and tables, but
//! ATTACH, extensions, temporary objects, settings and the schema tables stay out of reach.
//!
//! **What a statement may use.** Values and rows up to 8 MiB. Functions that would take hours in one step are replaced by
//! ones that take linear time or can be stopped, or refused. A statement that was told to stop, and is still at a step
//! that nothing interrupts, is given up after a second: its end is told, it can commit nothing any more, and its thread
//! goes when the step is over. Sorts spill to unlinked temporary files in SQLite's usual directory (`SQLITE_TMPDIR`,
//! `TMPDIR`, `/var/tmp`, `/tmp`), up to a ceiling. SQLite counts memory for the whole process only: its hard heap limit
//! fails the statement that meets it, and the journal, which shares it, tries again what it could not write.

mod backend;
mod compile;
mod config;
mod diagnosis;
mod fence;
mod functions;
mod hints;
mod lexer;
mod like;
mod open;
mod random;
mod run;
mod runs;
pub mod sample;
mod sandbox;
mod session;
mod spill;
mod stop;
mod stream;
mod value;

pub use backend::SqliteBackend;
pub use config::{EmptyPath, SqliteConfig, SqliteLimits, SqliteSource};
