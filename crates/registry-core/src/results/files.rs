//! The two files of a result: their names, who may read them, and how they come and go.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::ResultStoreError;
use super::index;
use crate::id::QueryId;

const ROWS: &str = ".rows";
const INDEX: &str = ".idx";

/// Where the result of one query lies.
#[derive(Debug, Clone)]
pub(super) struct ResultFiles {
    pub(super) directory: PathBuf,
    pub(super) rows: PathBuf,
    pub(super) index: PathBuf,
}

impl ResultFiles {
    pub(super) fn new(directory: &Path, id: QueryId) -> Self {
        Self {
            directory: directory.to_owned(),
            rows: directory.join(format!("{id}{ROWS}")),
            index: directory.join(format!("{id}{INDEX}")),
        }
    }

    /// Removes both; the index first, because without it nobody takes the rows for a result.
    pub(super) fn remove(&self) -> Result<(), ResultStoreError> {
        for path in [&self.index, &self.rows] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(path, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether the files are still those of the writer with this token: another one may have replaced them.
    pub(super) fn belong_to(&self, token: &index::Token) -> bool {
        index::token(&self.index).is_ok_and(|found| found == *token)
    }
}

/// The query that a file of this name belongs to.
pub(super) fn owner(file_name: &str) -> Option<QueryId> {
    file_name.strip_suffix(ROWS).or_else(|| file_name.strip_suffix(INDEX))?.parse().ok()
}

/// Makes `directory` and what is missing above it.
pub(super) fn create_directory(directory: &Path) -> Result<(), ResultStoreError> {
    let mut builder = fs::DirBuilder::new();
    private::directory(builder.recursive(true)).create(directory).map_err(|error| failed(directory, &error))
}

/// A new file; an old one of that name would mix with what its writer still writes, so it must be gone.
pub(super) fn create(path: &Path) -> Result<File, ResultStoreError> {
    let mut options = OpenOptions::new();
    private::file(options.write(true).create_new(true)).open(path).map_err(|error| failed(path, &error))
}

/// Makes new names in `directory` survive a power cut.
pub(super) fn sync_directory(directory: &Path) -> Result<(), ResultStoreError> {
    private::sync_directory(directory).map_err(|error| failed(directory, &error))
}

/// The error of a call that made or wrote `path`.
pub(super) fn failed(path: &Path, error: &io::Error) -> ResultStoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ResultStoreError::DiskFull(path.parent().unwrap_or(path).display().to_string())
        }
        _ => ResultStoreError::Io(format!("{}: {error}", path.display())),
    }
}

/// The error of a call that opened or read `path`.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> ResultStoreError {
    match error.kind() {
        io::ErrorKind::NotFound => ResultStoreError::Missing,
        io::ErrorKind::UnexpectedEof => ResultStoreError::Damaged("a file is shorter than it was".to_owned()),
        _ => failed(path, error),
    }
}

/// Results may be anybody's secrets: only their user gets at them.
#[cfg(unix)]
mod private {
    use std::fs::{DirBuilder, File, OpenOptions};
    use std::io;
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    use std::path::Path;

    pub(super) fn directory(builder: &mut DirBuilder) -> &mut DirBuilder {
        builder.mode(0o700)
    }

    pub(super) fn file(options: &mut OpenOptions) -> &mut OpenOptions {
        options.mode(0o600)
    }

    pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }
}

/// Elsewhere a user's own directories are private already, and names need no syncing.
#[cfg(not(unix))]
mod private {
    use std::fs::{DirBuilder, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn directory(builder: &mut DirBuilder) -> &mut DirBuilder {
        builder
    }

    pub(super) fn file(options: &mut OpenOptions) -> &mut OpenOptions {
        options
    }

    pub(super) fn sync_directory(_directory: &Path) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_an_owner() {
        let id = QueryId::generate();
        assert_eq!(owner(&format!("{id}.rows")), Some(id));
        assert_eq!(owner(&format!("{id}.idx")), Some(id));
        for foreign in ["", ".rows", "q_.idx", "notes.rows", &id.to_string(), &format!("{id}.rows.bak")] {
            assert_eq!(owner(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_apart_from_other_failures() {
        let path = Path::new("/results/q.rows");
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(failed(path, &kind.into()), ResultStoreError::DiskFull("/results".to_owned()));
        }
        assert!(matches!(failed(path, &io::ErrorKind::PermissionDenied.into()), ResultStoreError::Io(_)));
        assert_eq!(unreadable(path, &io::ErrorKind::NotFound.into()), ResultStoreError::Missing);
    }
}
