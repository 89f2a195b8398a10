//! The texts in the program's sources.

use std::fs;
use std::path::Path;

use crate::pages;

/// A source file, its literals of several lines made one.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) text: String,
}

/// Every source file of the program, without its tests.
pub(crate) fn all() -> Vec<Source> {
    let mut sources = Vec::new();
    for krate in fs::read_dir(pages::root().join("crates")).unwrap().map(Result::unwrap) {
        collect(&krate.path().join("src"), &mut sources);
    }
    assert!(sources.len() > 100, "{}", sources.len());
    sources
}

fn collect(directory: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, sources);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            sources.push(Source { text: joined(text) });
        }
    }
}

/// A backslash at the end of a line goes on behind the blanks of the next.
fn joined(text: &str) -> String {
    let mut pieces = text.split("\\\n");
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        whole.push_str(piece.trim_start());
    }
    whole.replace("\\\"", "\"").replace("\\'", "'")
}
