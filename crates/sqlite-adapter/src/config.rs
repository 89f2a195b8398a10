//! What an operator decides about one SQLite connection.

use std::path::PathBuf;

/// Where the data are, what may be done to them and how much a statement may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database.
    pub source: SqliteSource,
    /// Whether statements may change it. ATTACH, extensions and the schema tables stay out of reach all the same.
    pub allow_writes: bool,
    /// How much one statement may use.
    pub limits: SqliteLimits,
}

impl SqliteConfig {
    /// Read-only access to `source` with the default limits.
    pub fn new(source: SqliteSource) -> Self {
        Self { source, allow_writes: false, limits: SqliteLimits::default() }
    }

    /// The same with writes allowed or not.
    pub fn with_writes(self, allow_writes: bool) -> Self {
        Self { allow_writes, ..self }
    }
}

/// A database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqliteSource {
    /// The built-in shop of [`crate::sample`], in memory.
    Sample,
    /// A database file, which must exist.
    File(PathBuf),
}

impl SqliteSource {
    /// Reads `:memory:` (the sample) or a path, with or without `sqlite:` before it.
    pub fn parse(text: &str) -> Result<Self, EmptyPath> {
        match text.strip_prefix("sqlite:").unwrap_or(text) {
            "" => Err(EmptyPath),
            ":memory:" => Ok(Self::Sample),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }
}

/// No path was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no database is named; use sqlite:PATH for a file, or sqlite::memory: for the built-in sample")]
pub struct EmptyPath;

/// Ceilings that keep one hostile statement from taking the process with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteLimits {
    /// Bytes of one value or stored row. It also bounds the longest step that nothing can interrupt.
    pub max_value_bytes: u32,
    /// Bytes of all values of one result row together.
    pub max_row_bytes: u64,
    /// Bytes of one statement's text.
    pub max_sql_bytes: u32,
    /// Pages a statement keeps in memory, in KiB; also how much a sort collects before it goes to a temporary file,
    /// which is a step that cannot be interrupted.
    pub cache_kib: u32,
    /// Bytes that SQLite may use in the whole process, the journal's included. Only ever lowered once set; zero leaves
    /// it as it is.
    pub max_heap_bytes: u64,
    /// Bytes that one statement may write to disk: temporary files of sorts, and its own rows. Known on Linux only.
    pub max_written_bytes: u64,
}

impl Default for SqliteLimits {
    fn default() -> Self {
        Self {
            max_value_bytes: 8 << 20,
            max_row_bytes: 8 << 20,
            max_sql_bytes: 1 << 20,
            cache_kib: 4 << 10,
            max_heap_bytes: 128 << 20,
            max_written_bytes: 16 << 30,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_the_sample_or_a_path() {
        assert_eq!(SqliteSource::parse("sqlite::memory:"), Ok(SqliteSource::Sample));
        assert_eq!(SqliteSource::parse(":memory:"), Ok(SqliteSource::Sample));
        let file = |path: &str| Ok(SqliteSource::File(PathBuf::from(path)));
        assert_eq!(SqliteSource::parse("sqlite:/a b/c.db"), file("/a b/c.db"));
        assert_eq!(SqliteSource::parse("c.db"), file("c.db"));
        assert_eq!(SqliteSource::parse("sqlite:"), Err(EmptyPath));
    }

    #[test]
    fn nothing_is_writable_unless_asked_for() {
        assert!(!SqliteConfig::new(SqliteSource::Sample).allow_writes);
    }
}
