//! The directory that holds everything which outlives a process: whose it is, and what lies where in it.

use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::id::InstanceId;

const JOURNAL: &str = "journal.db";

/// A state directory that is safe to use: this user's, and writable by nobody else.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
    /// The instances that live in this process.
    own: Arc<Mutex<HashSet<InstanceId>>>,
}

impl StateDir {
    /// Creates the directory for this user alone, or checks the one that is there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateDirError> {
        // Gathering the components drops a trailing slash, which would hide that the last one is a link. The absolute
        // path keeps its meaning when the process changes its directory.
        let asked = path.as_ref();
        let root: PathBuf =
            std::path::absolute(asked).map_err(|error| failed(asked, &error))?.components().collect();
        create(&root)?;
        check_kind(&root)?;
        check_permissions(&root)?;
        check_owner(&root)?;
        check_ancestors(&root)?;
        let state = Self { root, own: Arc::default() };
        for part in [state.results(), state.instances()] {
            create(&part)?;
            check_kind(&part)?;
            check_permissions(&part)?;
        }
        Ok(state)
    }

    /// Whether queries were ever kept at `path`, as far as can be told; nothing is made there.
    pub fn is_used(path: &Path) -> bool {
        !matches!(path.join(JOURNAL).try_exists(), Ok(false))
    }

    /// The directory itself, as an absolute path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of the journal.
    pub fn journal(&self) -> PathBuf {
        self.root.join(JOURNAL)
    }

    /// The directory of the stored results.
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// The directory of the signs of life.
    pub fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    pub(crate) fn own(&self) -> MutexGuard<'_, HashSet<InstanceId>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a state directory cannot be used, by what a person does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateDirError {
    /// The path is a symbolic link: whoever may change the link chooses where records and rows go.
    #[error("the state directory {} is a symbolic link; name the directory that it points to", path.display())]
    Symlink {
        /// The path.
        path: PathBuf,
    },
    /// Something else has that name.
    #[error("the state directory {} is not a directory; move it aside or choose another --state-dir", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// Others could replace what is in it.
    #[error(
        "others may write to the state directory {} (mode {mode:o}); run: chmod 700 '{}'",
        path.display(),
        path.display()
    )]
    Exposed {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Anybody could put another directory in its place.
    #[error(
        "anybody may write to {} (mode {mode:o}), and so replace the state directory {}; run: chmod o-w '{}', or \
         choose another --state-dir",
        ancestor.display(),
        path.display(),
        ancestor.display()
    )]
    ExposedAncestor {
        /// The state directory.
        path: PathBuf,
        /// The directory above it.
        ancestor: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another user owns it.
    #[error(
        "the state directory {} belongs to user {owner} and this process runs as user {user}; choose another \
         --state-dir, or give this one to the user with chown",
        path.display()
    )]
    Foreign {
        /// The path.
        path: PathBuf,
        /// Its owner's number.
        owner: u32,
        /// Our user's number.
        user: u32,
    },
    /// The disk has no room left.
    #[error("no space left in the state directory {}; free some", path.display())]
    DiskFull {
        /// The path.
        path: PathBuf,
    },
    /// Its file system keeps no locks, so nobody could tell who is alive.
    #[error("the file system of {} has no file locks; choose a --state-dir on a local disk", path.display())]
    NoLocks {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error(
        "the state directory {} cannot be used ({reason}); give this user access, choose another --state-dir, or \
         start with --ephemeral",
        path.display()
    )]
    Unusable {
        /// The path.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
}

/// The system's failure at `path`.
pub(crate) fn failed(path: &Path, error: &io::Error) -> StateDirError {
    let path = path.to_path_buf();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StateDirError::DiskFull { path },
        io::ErrorKind::Unsupported => StateDirError::NoLocks { path },
        _ => StateDirError::Unusable { path, reason: error.to_string() },
    }
}

/// Creates a file that was not there, for this user alone.
pub(crate) fn create_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Removes a file that may be gone already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What is there already, even a link, is left for the checks to judge.
fn create(path: &Path) -> Result<(), StateDirError> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| failed(path, &error))
}

fn check_kind(path: &Path) -> Result<(), StateDirError> {
    let kind = path.symlink_metadata().map_err(|error| failed(path, &error))?.file_type();
    match (kind.is_symlink(), kind.is_dir()) {
        (true, _) => Err(StateDirError::Symlink { path: path.to_path_buf() }),
        (_, false) => Err(StateDirError::NotADirectory { path: path.to_path_buf() }),
        (_, true) => Ok(()),
    }
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), StateDirError> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = path.symlink_metadata().map_err(|error| failed(path, &error))?;
    match metadata.permissions().mode() & 0o7777 {
        mode if mode & 0o022 != 0 => Err(StateDirError::Exposed { path: path.to_path_buf(), mode }),
        _ => Ok(()),
    }
}

/// Where a directory above it is everybody's, its entries must at least be safe from those who do not own them, as in
/// the usual place for temporary files.
#[cfg(unix)]
fn check_ancestors(path: &Path) -> Result<(), StateDirError> {
    use std::os::unix::fs::PermissionsExt;
    let real = path.canonicalize().map_err(|error| failed(path, &error))?;
    for ancestor in real.ancestors().skip(1) {
        let metadata = ancestor.symlink_metadata().map_err(|error| failed(ancestor, &error))?;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o002 != 0 && mode & 0o1000 == 0 {
            let (path, ancestor) = (path.to_path_buf(), ancestor.to_path_buf());
            return Err(StateDirError::ExposedAncestor { path, ancestor, mode });
        }
    }
    Ok(())
}

/// A file that we create belongs to us, which tells who we are without asking the system; and it shows that the
/// directory can be written.
#[cfg(unix)]
fn check_owner(path: &Path) -> Result<(), StateDirError> {
    use std::os::unix::fs::MetadataExt;
    let owner = path.symlink_metadata().map_err(|error| failed(path, &error))?.uid();
    let user = probe(path).map_err(|error| failed(path, &error))?.uid();
    if owner != user {
        return Err(StateDirError::Foreign { path: path.to_path_buf(), owner, user });
    }
    Ok(())
}

/// On Windows a directory in the user's profile is the user's own by its inherited access list; here is only checked
/// that it can be written.
#[cfg(not(unix))]
fn check_permissions(_path: &Path) -> Result<(), StateDirError> {
    Ok(())
}

#[cfg(not(unix))]
fn check_ancestors(_path: &Path) -> Result<(), StateDirError> {
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(path: &Path) -> Result<(), StateDirError> {
    probe(path).map(drop).map_err(|error| failed(path, &error))
}

fn probe(directory: &Path) -> io::Result<std::fs::Metadata> {
    let path = directory.join(format!(".probe-{}", Uuid::new_v4()));
    let metadata = create_private_file(&path)?.metadata();
    std::fs::remove_file(&path)?;
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(path: &Path) -> Vec<String> {
        let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_directory_holds_its_parts_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        for _ in 0..2 {
            let state = StateDir::open(&path).unwrap();
            assert_eq!(entries(&path), ["instances", "results"]);
            assert_eq!(state.root(), path);
            assert_eq!(state.journal(), path.join("journal.db"));
        }
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::write(&path, "").unwrap();
        assert_eq!(StateDir::open(&path).unwrap_err(), StateDirError::NotADirectory { path });
        let path = dir.path().join("results");
        std::fs::write(&path, "").unwrap();
        std::fs::write(dir.path().join("state/below"), "").unwrap_err();
        assert!(matches!(
            StateDir::open(dir.path().join("state/below")),
            Err(StateDirError::Unusable { .. })
        ));
    }

    #[cfg(unix)]
    mod unix {
        use std::fs::Permissions;
        use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

        use super::*;

        fn mode(path: &Path) -> u32 {
            path.metadata().unwrap().mode() & 0o777
        }

        #[test]
        fn a_new_directory_is_this_users_alone() {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::open(dir.path().join("a/b")).unwrap();
            assert_eq!(mode(&dir.path().join("a")), 0o700);
            for path in [state.root(), &state.results(), &state.instances()] {
                assert_eq!(mode(path), 0o700, "{path:?}");
            }
        }

        #[test]
        fn a_link_is_refused_however_it_is_written() {
            let dir = tempfile::tempdir().unwrap();
            let (real, link) = (dir.path().join("real"), dir.path().join("link"));
            StateDir::open(&real).unwrap();
            symlink(&real, &link).unwrap();
            symlink("missing", dir.path().join("dangling")).unwrap();
            for name in ["link", "link/", "link/.", "dangling"] {
                let refused = StateDir::open(dir.path().join(name)).unwrap_err();
                assert!(matches!(refused, StateDirError::Symlink { .. }), "{name}: {refused}");
            }
        }

        #[test]
        fn a_link_in_place_of_a_part_is_refused() {
            let dir = tempfile::tempdir().unwrap();
            symlink("/tmp", dir.path().join("results")).unwrap();
            assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::Symlink { .. })));
        }

        #[test]
        fn a_directory_that_others_may_write_is_refused_with_the_mend() {
            let dir = tempfile::tempdir().unwrap();
            for exposed in [0o770, 0o702, 0o1777] {
                std::fs::set_permissions(dir.path(), Permissions::from_mode(exposed)).unwrap();
                let refused = StateDir::open(dir.path()).unwrap_err();
                assert!(refused.to_string().contains("chmod 700"), "{refused}");
                assert_eq!(entries(dir.path()), [""; 0]);
            }
            std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
            StateDir::open(dir.path()).unwrap();
        }

        #[test]
        fn a_directory_that_anybody_could_replace_is_refused_with_the_mend() {
            let dir = tempfile::tempdir().unwrap();
            let above = dir.path().join("above");
            std::fs::create_dir(&above).unwrap();
            std::fs::set_permissions(&above, Permissions::from_mode(0o777)).unwrap();
            let refused = StateDir::open(above.join("x/state")).unwrap_err();
            assert!(matches!(refused, StateDirError::ExposedAncestor { mode: 0o777, .. }), "{refused}");
            assert!(refused.to_string().contains("chmod o-w"), "{refused}");
            std::fs::set_permissions(&above, Permissions::from_mode(0o1777)).unwrap();
            StateDir::open(above.join("x/state")).unwrap();
        }

        #[test]
        fn a_part_that_others_may_write_is_refused() {
            let dir = tempfile::tempdir().unwrap();
            let state = StateDir::open(dir.path()).unwrap();
            std::fs::set_permissions(state.results(), Permissions::from_mode(0o770)).unwrap();
            assert!(matches!(StateDir::open(dir.path()), Err(StateDirError::Exposed { mode: 0o770, .. })));
        }

        /// Only a superuser can give a directory away; for anybody else there is nothing to see here.
        #[test]
        fn a_directory_of_another_user_is_refused() {
            let dir = tempfile::tempdir().unwrap();
            let user = dir.path().metadata().unwrap().uid();
            if chown(dir.path(), Some(user + 1), None).is_err() {
                return;
            }
            let refused = StateDir::open(dir.path()).unwrap_err();
            let path = dir.path().to_path_buf();
            assert_eq!(refused, StateDirError::Foreign { path, owner: user + 1, user });
            assert_eq!(entries(dir.path()), [""; 0]);
        }
    }
}
