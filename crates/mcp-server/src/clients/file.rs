//! A client's file: read whole, kept as it was, and replaced in one step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use registry_core::clock::Timestamp;

/// A file as it was read.
#[derive(Debug)]
pub struct ConfigFile {
    /// The file itself, behind all links.
    path: PathBuf,
    text: Option<String>,
}

impl ConfigFile {
    /// Reads the file, which need not exist.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let path = behind_links(path)?;
        let text = read_text(&path)?;
        Ok(Self { path, text })
    }

    /// Where it really is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text, if it exists.
    pub fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The texts that were kept of it, newest first, with their paths.
    pub fn backups(&self) -> Vec<(PathBuf, String)> {
        let (Some(directory), Some(prefix)) = (self.path.parent(), self.backup_prefix()) else {
            return Vec::new();
        };
        let entries = fs::read_dir(directory).into_iter().flatten().filter_map(|entry| entry.ok());
        let ours = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        let mut paths: Vec<PathBuf> = ours.map(|entry| entry.path()).collect();
        paths.sort_by(|a, b| b.cmp(a));
        paths.into_iter().filter_map(|path| Some((path.clone(), fs::read_to_string(path).ok()?))).collect()
    }

    /// Puts `text` in the place of what was read.
    pub fn replace(&self, text: &str) -> anyhow::Result<()> {
        self.check_unchanged()?;
        self.write_atomically(text).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Takes the file away, and its directory if nothing else is in it.
    pub fn remove(&self) -> anyhow::Result<()> {
        self.check_unchanged()?;
        fs::remove_file(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        if let Some(directory) = self.path.parent().filter(|directory| belongs_to_a_client(directory)) {
            // Fails, as it should, when something is in it.
            let _ = fs::remove_dir(directory);
        }
        Ok(())
    }

    /// Keeps what was read beside the file; none where there was no file.
    pub fn back_up(&self, now: Timestamp) -> anyhow::Result<Option<PathBuf>> {
        let (Some(text), Some(prefix)) = (&self.text, self.backup_prefix()) else { return Ok(None) };
        let stamp = stamp(now);
        for attempt in 0..1000 {
            // Sorts behind the one without a number.
            let number = if attempt == 0 { String::new() } else { format!("-{attempt:03}") };
            let path = self.path.with_file_name(format!("{prefix}{stamp}{number}"));
            match self.write_new(&path, text) {
                Ok(()) => return Ok(Some(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot keep a copy as {}", path.display()));
                }
            }
        }
        bail!("cannot keep a copy of {}: there are too many of this second", self.path.display())
    }

    /// Refuses a file that its owner or this system protects from writing.
    pub fn check_writable(&self) -> anyhow::Result<()> {
        match fs::metadata(&self.path) {
            Ok(found) if found.permissions().readonly() => {
                bail!("{} is read-only; make it writable and repeat the command", self.path.display())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The client itself may write to its file at any time.
    fn check_unchanged(&self) -> anyhow::Result<()> {
        self.check_writable()?;
        if read_text(&self.path)? != self.text {
            bail!(
                "{} changed while the question was open; nothing was written. Repeat the command",
                self.path.display()
            );
        }
        Ok(())
    }

    fn backup_prefix(&self) -> Option<String> {
        Some(format!("{}.backup-", self.path.file_name()?.to_string_lossy()))
    }

    fn write_atomically(&self, text: &str) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = directory.join(format!(".{name}.{}.new", std::process::id()));
        let written = self.write_new(&temporary, text).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written?;
        sync_directory(directory)
    }

    /// A new file with the permissions of the one that was read, from its first byte on.
    fn write_new(&self, path: &Path, text: &str) -> io::Result<()> {
        let permissions = fs::metadata(&self.path).map(|found| found.permissions()).ok();
        let mut file = create(path, permissions.is_some())?;
        if let Some(permissions) = permissions {
            file.set_permissions(permissions)?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }
}

/// The directories that clients make for their own files, never a home or a project.
fn belongs_to_a_client(directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default();
    [".cursor", ".vscode", "Claude", "User"].iter().any(|known| name == *known)
}

fn read_text(path: &Path) -> anyhow::Result<Option<String>> {
    // A device would be read without end, and replaced by a file.
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        bail!("{} is not a file; name the client's configuration file with --file", path.display());
    }
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let text = String::from_utf8(bytes);
    let why = || format!("{} is not UTF-8 text; save it as UTF-8 and repeat the command", path.display());
    text.map(Some).map_err(|_| anyhow::anyhow!(why()))
}

/// The file behind symbolic links, which need not exist.
fn behind_links(path: &Path) -> anyhow::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let Ok(target) = fs::read_link(&path) else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("")).join(target);
    }
    bail!("{} is a link that leads to itself", path.display())
}

/// `20261121T093000Z`.
fn stamp(now: Timestamp) -> String {
    let text = now.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("{}Z", seconds.replace(['-', ':'], ""))
}

#[cfg(unix)]
fn create(path: &Path, private: bool) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let mode = if private { 0o600 } else { 0o666 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _private: bool) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_since_it_was_read_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mcp.json");
        let missing = ConfigFile::read(&path).unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(missing.replace("ours").unwrap_err().to_string().contains("changed"));
        let file = ConfigFile::read(&path).unwrap();
        fs::write(&path, "theirs, again").unwrap();
        assert!(file.replace("ours").is_err() && file.remove().is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "theirs, again");
    }

    #[test]
    fn copies_are_found_newest_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mcp.json");
        let mut expected = Vec::new();
        for (text, second) in [("a", 1), ("b", 1), ("c", 2)] {
            fs::write(&path, text).unwrap();
            let file = ConfigFile::read(&path).unwrap();
            let copy = file.back_up(Timestamp::from_millis(second * 1000)).unwrap().unwrap();
            expected.insert(0, (copy, text.to_owned()));
        }
        assert_eq!(ConfigFile::read(&path).unwrap().backups(), expected);
        assert!(expected[0].0.ends_with("mcp.json.backup-19700101T000002Z"));
    }

    #[test]
    #[cfg(unix)]
    fn only_a_file_is_read_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("mcp.json");
        std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
        for path in [directory.path(), &device] {
            assert!(ConfigFile::read(path).unwrap_err().to_string().contains("is not a file"));
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_itself_is_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mcp.json");
        std::os::unix::fs::symlink("mcp.json", &path).unwrap();
        assert!(ConfigFile::read(&path).unwrap_err().to_string().contains("leads to itself"));
    }
}
