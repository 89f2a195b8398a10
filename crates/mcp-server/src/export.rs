//! Whole results as files, so that large ones never pass through a model's context.
//!
//! A file holds the values exactly as they are: nothing in it is escaped against programs that take a cell which
//! begins with `=` for a formula. It appears under its name only once it is whole and on the disk, never in place of
//! another file, and readable by this user alone. Asking again for the same file is harmless: while it is written the
//! second asker joins the first, and a file that has the very same bytes already is left as it is.

mod directory;
mod draft;
mod encoding;
mod jobs;
mod name;

use std::path::{Path, PathBuf};

use registry_core::QueryRegistry;
use registry_core::error::RegistryError;
use registry_core::id::QueryId;
use registry_core::registry::QueryPage;
use serde::Deserialize;
use tokio::task::spawn_blocking;

use draft::{Stamp, Storage, Target};
use encoding::Encoder;
pub use jobs::{Exports, Job, Progress};
pub use name::file_name;

/// Rows and bytes that are in memory at the same time. Small, because one thread reads them and another frees them, and
/// the allocator keeps for each thread what was freed there.
const PAGE_ROWS: u64 = 5_000;
const PAGE_BYTES: u64 = 256 << 10;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header, as RFC 4180 has them; NULL is empty, an empty text is `""`.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// The word for it, which is also the ending of its files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Jsonl => "application/jsonl",
        }
    }

    /// What the ending of a file name says.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        [Self::Csv, Self::Jsonl].into_iter().find(|format| format.as_str().eq_ignore_ascii_case(ending))
    }
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Rows so far.
    pub rows: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Where it is.
    pub path: PathBuf,
    /// What is in it.
    pub written: Written,
    /// It was there before, with the same bytes.
    pub was_there: bool,
    stamp: Option<Stamp>,
}

/// Why there is no file, by what a person does about it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ExportError {
    /// The rows cannot be read.
    #[error(transparent)]
    Rows(#[from] RegistryError),
    /// The statement has no columns.
    #[error("the statement returns no columns, so there is nothing to write")]
    NoColumns,
    /// Something else has that name.
    #[error("{} exists and is something else than these rows; it was left as it is", .0.display())]
    Exists(PathBuf),
    /// Another result is being written under that name.
    #[error("{} is being written with the rows of query {query}", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// Whose rows it gets.
        query: QueryId,
    },
    /// Enough files are being written.
    #[error("{0} files are being written, which is as many as at the same time")]
    TooMany(usize),
    /// There is no such directory.
    #[error("{} is not an existing directory", .0.display())]
    NoDirectory(PathBuf),
    /// Everybody may rearrange it.
    #[error("everybody may replace files in the directory {}", .0.display())]
    Exposed(PathBuf),
    /// This process may not write there.
    #[error("nothing may be written into the directory {}", .0.display())]
    NotWritable(PathBuf),
    /// The disk has no room left.
    #[error("no space is left for the file in {}; nothing was kept of it", .0.display())]
    DiskFull(PathBuf),
    /// Writing failed.
    #[error("cannot write into {}: {reason}", directory.display())]
    Io {
        /// The directory.
        directory: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// The server ends.
    #[error("the server is shutting down; nothing was kept of the file")]
    Stopped,
    /// A fault of this program.
    #[error("the file was given up by a fault of this program ({0})")]
    Fault(String),
}

impl ExportError {
    /// The class of the error in a word, for the answers of tools.
    pub fn kind_word(&self) -> &'static str {
        match self {
            Self::Rows(error) => error.kind_word(),
            Self::Stopped => "shutting_down",
            Self::Fault(_) => "internal",
            Self::NoColumns
            | Self::Exists(_)
            | Self::Taken { .. }
            | Self::TooMany(_)
            | Self::NoDirectory(_)
            | Self::Exposed(_)
            | Self::NotWritable(_)
            | Self::DiskFull(_)
            | Self::Io { .. } => "export_failed",
        }
    }
}

/// Writes the whole result of a query into the new file `path` and tells `news` how far it is, which may end it. A
/// call that is dropped or ended leaves nothing behind.
pub async fn write(
    registry: &QueryRegistry,
    id: QueryId,
    format: Format,
    path: &Path,
    news: impl FnMut(Written) -> Result<(), ExportError>,
) -> Result<Exported, ExportError> {
    let target = path.to_path_buf();
    let open = move || Target::at(&target, draft::private_file);
    let (written, was_there) = copy(registry, id, format, open, news).await?;
    let path = path.to_path_buf();
    let there = path.clone();
    let stamp = blocking(move || Ok(Stamp::of(&there))).await?;
    Ok(Exported { path, written, was_there, stamp })
}

async fn copy<F: Storage>(
    registry: &QueryRegistry,
    id: QueryId,
    format: Format,
    open: impl FnOnce() -> Result<Target<F>, ExportError> + Send + 'static,
    mut news: impl FnMut(Written) -> Result<(), ExportError>,
) -> Result<(Written, bool), ExportError> {
    let mut page = fetch(registry, id, 0).await?;
    if page.columns.is_empty() {
        return Err(ExportError::NoColumns);
    }
    let mut encoder = Encoder::new(format, &page.columns);
    let mut target = blocking(open).await?;
    let mut written = Written::default();
    loop {
        let rows = std::mem::take(&mut page.rows);
        written.rows += rows.len() as u64;
        let bytes;
        (encoder, target, bytes) = blocking(move || {
            let text = encoder.encode(&rows);
            target.write(text.as_bytes())?;
            Ok((encoder, target, text.len() as u64))
        })
        .await?;
        written.bytes += bytes;
        news(written)?;
        if !page.has_more {
            break;
        }
        page = fetch(registry, id, written.rows).await?;
    }
    let was_there = blocking(move || target.finish()).await?;
    Ok((written, was_there))
}

async fn fetch(registry: &QueryRegistry, id: QueryId, offset: u64) -> Result<QueryPage, ExportError> {
    let page = registry.fetch_result(id, offset, Some(PAGE_ROWS), PAGE_BYTES).await?;
    if page.rows.is_empty() && page.has_more {
        return Err(RegistryError::Results("rows are missing".to_owned()).into());
    }
    Ok(page)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    spawn_blocking(work).await.unwrap_or_else(|fault| Err(ExportError::Fault(fault.to_string())))
}

#[cfg(test)]
#[path = "export/tests.rs"]
mod tests;
