//! How much a statement has written to disk.
//!
//! SQLite puts no ceiling on its temporary files, so an endless sort would fill the disk. A statement has its thread
//! for itself, and Linux counts what each thread writes; elsewhere only a full disk ends such a statement.

use std::fs::File;
use std::io::{Read, Seek};

/// The bytes one thread has written since the value was made.
#[derive(Debug)]
pub(crate) struct Written {
    counters: Option<File>,
    before: u64,
}

impl Written {
    /// Counts from now on for the calling thread.
    pub(crate) fn by_this_thread() -> Self {
        let counters = File::open("/proc/thread-self/io").ok();
        let mut written = Self { counters, before: 0 };
        written.before = written.bytes();
        written
    }

    /// Bytes so far; 0 where nobody counts.
    pub(crate) fn bytes(&mut self) -> u64 {
        self.read().unwrap_or(0).saturating_sub(self.before)
    }

    fn read(&mut self) -> Option<u64> {
        let counters = self.counters.as_mut()?;
        counters.rewind().ok()?;
        let mut text = String::new();
        counters.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| line.strip_prefix("wchar: "))?.trim().parse().ok()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn only_this_threads_bytes_are_counted() {
        let mut written = Written::by_this_thread();
        let write = || tempfile::tempfile().unwrap().write_all(&[0; 4096]).unwrap();
        std::thread::spawn(write).join().unwrap();
        assert_eq!(written.bytes(), 0);
        write();
        assert_eq!(written.bytes(), 4096);
    }
}
