//! Texts kept beside the tests, so that a change of what people and models read is seen in review.

use std::path::Path;

/// Compares `text` with the file at `path`. With `UPDATE_SNAPSHOTS=1` the file is written instead.
pub fn assert_snapshot(path: &Path, text: &str) {
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(path, &text).expect("a snapshot can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == text,
        "{} differs; run the tests with UPDATE_SNAPSHOTS=1 and review the change.\n{text}",
        path.display()
    );
}
