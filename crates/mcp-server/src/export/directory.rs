//! The one directory that tools may write files into.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ExportError;
use super::draft::{self, PREFIX, SUFFIX};

/// A draft that nobody has written to for so long may have lost its writer.
const ABANDONED: Duration = Duration::from_secs(60);

/// Where the file called `name` goes, if `directory` can be used. `name` is one that [`super::file_name`] gave.
pub(super) fn place(directory: &Path, name: &str) -> Result<PathBuf, ExportError> {
    let metadata = fs::metadata(directory).map_err(|error| draft::unwritable(directory, &error))?;
    if !metadata.is_dir() {
        return Err(ExportError::NoDirectory(directory.to_path_buf()));
    }
    check_permissions(directory, &metadata)?;
    Ok(directory.join(name))
}

/// In a directory that everybody may rearrange, a file could be exchanged before it gets its name.
#[cfg(unix)]
fn check_permissions(directory: &Path, metadata: &fs::Metadata) -> Result<(), ExportError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode();
    let (others_write, only_their_own) = (mode & 0o002 != 0, mode & 0o1000 != 0);
    if others_write && !only_their_own {
        return Err(ExportError::Exposed(directory.to_path_buf()));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &fs::Metadata) -> Result<(), ExportError> {
    Ok(())
}

/// Removes drafts whose process was killed: nobody holds their lock.
pub(super) fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if !is_draft(&path) || !is_abandoned(&path) {
            continue;
        }
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "cannot remove an abandoned draft");
        }
    }
}

fn is_draft(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(PREFIX)
        && name.ends_with(SUFFIX)
        && path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
}

fn is_abandoned(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    let age =
        file.metadata().and_then(|metadata| metadata.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > ABANDONED) && file.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn only_drafts_that_lost_their_writer_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, age: u64| {
            let path = dir.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            (path, file)
        };
        let abandoned = make(&format!("{PREFIX}a{SUFFIX}"), 3600).0;
        let (held, file) = make(&format!("{PREFIX}b{SUFFIX}"), 3600);
        file.lock().unwrap();
        let fresh = make(&format!("{PREFIX}c{SUFFIX}"), 0).0;
        let other = make("old.csv", 3600).0;
        sweep(dir.path());
        assert!(!abandoned.exists());
        assert!([held, fresh, other].iter().all(|path| path.exists()));
    }

    #[test]
    fn a_directory_that_is_missing_or_none_is_told_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let missing = place(&dir.path().join("missing"), "x.csv").unwrap_err();
        assert!(matches!(missing, ExportError::NoDirectory(_)), "{missing}");
        fs::write(dir.path().join("file"), "").unwrap();
        let file = place(&dir.path().join("file"), "x.csv").unwrap_err();
        assert!(matches!(file, ExportError::NoDirectory(_)), "{file}");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_everybody_may_rearrange_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (mode, usable) in [(0o777, false), (0o1777, true), (0o775, true), (0o702, false)] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(place(dir.path(), "x.csv").is_ok(), usable, "{mode:o}");
        }
    }
}
