//! What the tests of this crate share.

use std::path::{Path, PathBuf};

/// Writes a file with these permission bits.
pub(crate) fn write(directory: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    let _ = mode;
    path
}
