//! The documents as files, and the pieces of them that other tests look at.

use std::fs;
use std::path::{Path, PathBuf};

/// A document: its place in the repository and its text.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) text: String,
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The pages that users read, in the order of their names.
pub(crate) fn all() -> Vec<Page> {
    let mut names = vec!["README.md".to_owned(), "SECURITY.md".to_owned(), "packaging/README.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names.into_iter().map(|name| one(&name)).collect()
}

pub(crate) fn one(name: &str) -> Page {
    let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    Page { name: name.to_owned(), text }
}

impl Page {
    /// What stands between fences of the kind `language`.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let mut blocks = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            if kind == language {
                blocks.push(block.join("\n"));
            }
        }
        blocks
    }

    /// What stands in single backticks, outside of fenced blocks.
    pub(crate) fn code(&self) -> Vec<String> {
        let mut prose = String::new();
        let mut fenced = false;
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        prose.split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")).collect()
    }
}
