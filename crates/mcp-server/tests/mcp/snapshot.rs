//! Texts kept beside the tests, so that a change of what models read is seen in review.

use std::path::PathBuf;

/// Compares `text` with the file `name`. With `UPDATE_SNAPSHOTS=1` the file is written instead.
pub(crate) fn assert_snapshot(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "{} differs; run the tests with UPDATE_SNAPSHOTS=1 and review the change.\n{text}",
        path.display()
    );
}
