//! Files that hold secrets: who may read them, and reading them without leaving copies behind.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::config::ConfigError;

/// No key and no token comes near this; it keeps a wrong path from filling the memory.
const MOST_BYTES: u64 = 256 * 1024;

/// Shorter ones are part of too many words.
const SHORTEST: usize = 4;

/// The text without the secret, should somebody have quoted it.
pub(crate) fn without(text: String, secret: &SecretString) -> String {
    let secret = secret.expose_secret();
    if secret.len() < SHORTEST || !text.contains(secret) { text } else { text.replace(secret, "(secret)") }
}

/// Whether the secret in the file would be accepted, without reading it.
pub(crate) fn check(path: &Path) -> Result<(), ConfigError> {
    let metadata = path.metadata().map_err(|error| ConfigError::unreadable(path, &error))?;
    check_metadata(path, &metadata)
}

/// The text of the file. It blocks.
pub(crate) fn read(path: &Path) -> Result<SecretString, ConfigError> {
    // Opening a pipe would wait for its writer, so what it is comes first.
    check(path)?;
    let file = File::open(path).map_err(|error| ConfigError::unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| ConfigError::unreadable(path, &error))?;
    // The file that was opened may not be the one that was checked.
    check_metadata(path, &metadata)?;
    read_text(file, MOST_BYTES).map_err(|error| ConfigError::unreadable(path, &error))
}

/// Reads an open file into memory that is wiped, whole or not at all.
pub(crate) fn read_text(file: File, most: u64) -> io::Result<SecretString> {
    let length = file.metadata()?.len();
    if length > most {
        return Err(io::Error::other(format!("{length} bytes, which is too large for what it should hold")));
    }
    // Room for all of it from the start: a vector that grows leaves its old memory unwiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 64));
    file.take(length).read_to_end(&mut bytes)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("not UTF-8 text"))?;
    Ok(SecretString::from(text))
}

fn check_metadata(path: &Path, metadata: &Metadata) -> Result<(), ConfigError> {
    if !metadata.is_file() {
        return Err(ConfigError::unreadable(path, &io::Error::other("not a regular file")));
    }
    match mode(metadata) {
        Some(mode) if mode & 0o077 != 0 => Err(ConfigError::Exposed { path: path.to_path_buf(), mode }),
        _ => Ok(()),
    }
}

/// The permission bits, where the system has them.
#[cfg(unix)]
pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    Some(metadata.permissions().mode() & 0o7777)
}

/// On Windows a file in the user's profile is the user's own by its inherited access list.
#[cfg(not(unix))]
pub(crate) fn mode(_metadata: &Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::testing::write;

    #[test]
    fn a_private_file_gives_its_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = write(directory.path(), "token", "canary\n", 0o600);
        assert_eq!(read(&path).unwrap().expose_secret(), "canary\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_or_write_is_refused_with_the_command_that_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602] {
            let path = write(directory.path(), "token", "canary", mode);
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 '{}'", path.display())), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn what_is_no_regular_file_or_far_too_large_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path()).unwrap_err().to_string().contains("not a regular file"));
        assert!(read(&directory.path().join("none")).is_err());
        let path = write(directory.path(), "large", &"x".repeat(300 * 1024), 0o600);
        assert!(read(&path).unwrap_err().to_string().contains("too large"));
    }
}
