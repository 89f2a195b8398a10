//! What the documents promise is there.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn files(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !matches!(entry.file_name().to_str(), Some("target" | "node_modules" | ".git")) {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// The names of all functions that are tests, or are called by one.
fn functions() -> HashSet<String> {
    let mut sources = vec![];
    files(&root(), "rs", &mut sources);
    let mut names = HashSet::new();
    for source in sources {
        let text = fs::read_to_string(source).unwrap();
        for part in text.split("fn ").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.insert(name);
        }
    }
    names
}

/// Whatever a document writes as `module::function` in code.
fn names_in(document: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join("docs").join(document)).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|code| code.rsplit_once("::")).map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let functions = functions();
    for (document, at_least) in [("seed-tests.md", 50), ("states.md", 10)] {
        let names = names_in(document);
        assert!(names.len() >= at_least, "{document} names {} tests", names.len());
        for name in names {
            assert!(functions.contains(&name), "{document} names {name}, which is no function");
        }
    }
}

#[test]
fn every_link_of_a_document_leads_to_a_file() {
    let mut documents = vec![];
    files(&root(), "md", &mut documents);
    let mut links = 0;
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            links += 1;
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}", document.display());
        }
    }
    assert!(links > 5);
}

#[test]
fn the_core_knows_no_protocol_and_no_product() {
    let mut sources = vec![];
    files(&root().join("crates/registry-core"), "rs", &mut sources);
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        for word in ["rmcp", "reqwest", "serde_json::json!({ \"jsonrpc\"", "hyper"] {
            assert!(!text.contains(word), "{} mentions {word}", source.display());
        }
    }
    let manifest = fs::read_to_string(root().join("crates/registry-core/Cargo.toml")).unwrap();
    for package in ["rmcp", "reqwest", "hyper", "sqlite-adapter", "snowflake"] {
        assert!(!manifest.contains(package), "registry-core depends on {package}");
    }
}

#[test]
fn only_one_module_writes_to_stdout() {
    let mut sources = vec![];
    files(&root().join("crates"), "rs", &mut sources);
    let writers: Vec<PathBuf> = sources
        .into_iter()
        .filter(|path| {
            !path
                .components()
                .any(|part| matches!(part.as_os_str().to_str(), Some("examples" | "benches" | "tests")))
        })
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap();
            let text = text.split("#[cfg(test)]").next().unwrap();
            ["io::stdout(", "io::stdio_pipes("].iter().any(|call| text.contains(call))
        })
        .collect();
    assert!(writers.len() <= 2, "{writers:?}");
    assert!(writers.iter().all(|path| path.starts_with(root().join("crates/mcp-server"))), "{writers:?}");
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let mut explained = false;
    for line in section.lines().map(str::trim) {
        if line.starts_with('#') {
            explained = true;
        } else if line.is_empty() {
            explained = false;
        } else if line.contains(" = ") {
            assert!(explained || line.contains('#'), "no word on: {line}");
        }
    }
}
