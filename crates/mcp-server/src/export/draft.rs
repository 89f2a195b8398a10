//! A file on its way: without its name until it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::NamedTempFile;

use super::ExportError;

/// How drafts are called, so that those of a killed process can be told from other files.
pub(super) const PREFIX: &str = ".async-query-mcp-";
/// The end of a draft's name.
pub(super) const SUFFIX: &str = ".part";
const COMPARED_AT_ONCE: usize = 64 * 1024;

/// What a draft is written to: a file, but for tests of full disks.
pub(super) trait Storage: Write + Send + 'static {
    /// Returns once everything written would outlive a loss of power.
    fn settle(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn settle(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Creates a file for this user alone; its lock tells others that it has a writer.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // A file system without locks only means that an abandoned draft stays.
    let _ = file.try_lock();
    Ok(file)
}

/// Where rows go.
pub(super) enum Target<F> {
    /// Into a new file.
    Draft(Draft<F>),
    /// Nowhere: a file of this name is there, and may have the very same rows.
    Twin(Twin),
}

/// Tells a file from what somebody else made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// The stamp of the file at `path`; `None` if there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = path.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Self { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl<F: Storage> Target<F> {
    /// A draft of the file `path`, or what is there already.
    pub(super) fn at(path: &Path, make: impl FnMut(&Path) -> io::Result<F>) -> Result<Self, ExportError> {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => Twin::open(path).map(Self::Twin),
            // Not even looked into: a link may lead anywhere, and a pipe may wait for ever.
            Ok(_) => Err(ExportError::Exists(path.to_path_buf())),
            Err(_) => Draft::create(path, make).map(Self::Draft),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        match self {
            Self::Draft(draft) => draft.write(bytes),
            Self::Twin(twin) => twin.compare(bytes),
        }
    }

    /// The file is there, whole, with its name; `true` if it was before.
    pub(super) fn finish(self) -> Result<bool, ExportError> {
        match self {
            Self::Draft(draft) => draft.publish().map(|()| false),
            Self::Twin(twin) => twin.finish().map(|()| true),
        }
    }
}

/// A file without its name; dropped, it is gone.
pub(super) struct Draft<F> {
    file: NamedTempFile<F>,
    path: PathBuf,
}

impl<F: Storage> Draft<F> {
    fn create(path: &Path, make: impl FnMut(&Path) -> io::Result<F>) -> Result<Self, ExportError> {
        let directory = directory_of(path);
        let made = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).make_in(directory, make);
        let file = made.map_err(|error| unwritable(directory, &error))?;
        Ok(Self { file, path: path.to_path_buf() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        let written = self.file.as_file_mut().write_all(bytes);
        written.map_err(|error| unwritable(directory_of(&self.path), &error))
    }

    /// Nothing that has the name already is replaced, not even a link.
    fn publish(mut self) -> Result<(), ExportError> {
        let directory = directory_of(&self.path);
        self.file.as_file_mut().settle().map_err(|error| unwritable(directory, &error))?;
        match self.file.persist_noclobber(&self.path) {
            Ok(_) => {}
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ExportError::Exists(self.path));
            }
            Err(refused) => return Err(unwritable(directory, &refused.error)),
        }
        settle_directory(directory);
        Ok(())
    }
}

/// A file that was there before, read beside the rows that were to be written.
pub(super) struct Twin {
    file: BufReader<File>,
    path: PathBuf,
    buffer: Vec<u8>,
}

impl Twin {
    fn open(path: &Path) -> Result<Self, ExportError> {
        let file = File::open(path).map_err(|_| ExportError::Exists(path.to_path_buf()))?;
        let file = BufReader::with_capacity(COMPARED_AT_ONCE, file);
        Ok(Self { file, path: path.to_path_buf(), buffer: vec![0; COMPARED_AT_ONCE] })
    }

    fn compare(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        for part in bytes.chunks(COMPARED_AT_ONCE) {
            let Some(beside) = self.buffer.get_mut(..part.len()) else { return Err(self.differs()) };
            if self.file.read_exact(beside).is_err() || beside != part {
                return Err(self.differs());
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), ExportError> {
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) | Err(_) => Err(self.differs()),
        }
    }

    fn differs(&self) -> ExportError {
        ExportError::Exists(self.path.clone())
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// The name itself outlives a loss of power.
fn settle_directory(directory: &Path) {
    if cfg!(unix)
        && let Err(error) = File::open(directory).and_then(|directory| directory.sync_all())
    {
        tracing::debug!(directory = %directory.display(), %error, "the directory of an export could not be synced");
    }
}

/// Why nothing can be written into `directory`, by what a person does about it.
pub(super) fn unwritable(directory: &Path, error: &io::Error) -> ExportError {
    use io::ErrorKind;
    let directory = directory.to_path_buf();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => ExportError::NoDirectory(directory),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => ExportError::NotWritable(directory),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ExportError::DiskFull(directory),
        _ => ExportError::Io { directory, reason: error.to_string() },
    }
}
