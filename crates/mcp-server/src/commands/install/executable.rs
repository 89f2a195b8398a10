//! The path under which a client finds this program later.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The absolute path of this program, as it was called where that is a link: a package manager moves what is behind it.
pub(super) fn path() -> anyhow::Result<PathBuf> {
    let real = std::env::current_exe().context("cannot tell the path of this program")?;
    let called = std::env::args_os().next();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = called.and_then(|called| as_called(&called, &path, &real));
    Ok(known.unwrap_or(real))
}

fn as_called(called: &OsStr, path: &OsStr, real: &Path) -> Option<PathBuf> {
    let real = real.canonicalize().ok()?;
    let same = |candidate: &PathBuf| candidate.canonicalize().is_ok_and(|found| found == real);
    if Path::new(called).components().count() > 1 {
        return std::path::absolute(called).ok().filter(same);
    }
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(called)).find(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_link_on_the_path_is_kept_and_another_program_of_that_name_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (cellar, bin, other) = (dir.path().join("1.0"), dir.path().join("bin"), dir.path().join("other"));
        for made in [&cellar, &bin, &other] {
            std::fs::create_dir(made).unwrap();
        }
        let real = cellar.join("tool");
        std::fs::write(&real, "real").unwrap();
        std::fs::write(other.join("tool"), "another").unwrap();
        std::os::unix::fs::symlink(&real, bin.join("tool")).unwrap();
        let path = std::env::join_paths([&other, &bin]).unwrap();
        assert_eq!(as_called(OsStr::new("tool"), &path, &real), Some(bin.join("tool")));
        assert_eq!(as_called(bin.join("tool").as_os_str(), &path, &real), Some(bin.join("tool")));
        assert_eq!(as_called(OsStr::new("tool"), other.as_os_str(), &real), None);
    }
}
