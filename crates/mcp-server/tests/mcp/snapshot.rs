//! The kept texts of these tests.

use std::path::Path;

/// Compares `text` with the kept file `name`.
pub(crate) fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    support::snapshot::assert_snapshot(&path, text);
}
