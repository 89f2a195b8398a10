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

/// The lines of a document that are not within a fence.
fn prose(text: &str) -> Vec<&str> {
    let mut fenced = false;
    text.lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            !fenced && !fence
        })
        .collect()
}

/// The names by which a document's headings are reached, as the web shows them.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let headings = prose(text)
        .into_iter()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')));
    for heading in headings {
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let name: String = kept.collect::<String>().to_lowercase().replace(' ', "-");
        let name = (1..).find_map(|again| {
            let name = if again == 1 { name.clone() } else { format!("{name}-{}", again - 1) };
            (!anchors.contains(&name)).then_some(name)
        });
        anchors.extend(name);
    }
    anchors
}

/// The links of a document within the repository: the file, empty for the document itself, and the heading in it.
fn targets(text: &str) -> impl Iterator<Item = (String, String)> {
    let prose = prose(text).join("\n");
    let links: Vec<String> =
        prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect();
    let local = links.into_iter().filter(|target| !target.contains("://"));
    local.map(|target| {
        let (file, place) = target.split_once('#').unwrap_or((&target, ""));
        (file.to_owned(), place.to_owned())
    })
}

#[test]
fn every_link_of_a_document_leads_to_a_file_and_to_a_heading() {
    let mut documents = vec![];
    files(&root(), "md", &mut documents);
    let (mut links, mut places) = (0, 0);
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for (file, place) in targets(&text) {
            links += 1;
            let path =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(&file) };
            assert!(path.exists(), "{} links to {file}", document.display());
            if !place.is_empty() {
                places += 1;
                let there = anchors(&fs::read_to_string(&path).unwrap());
                assert!(there.contains(&place), "{} links to {file}#{place}: {there:?}", document.display());
            }
        }
    }
    assert!(links > 50 && places > 20, "{links} links, {places} of them to headings");
}

#[test]
fn a_heading_is_reached_by_its_words_and_a_number_where_it_stands_twice() {
    let found = anchors("# A `b`, and C!\n```\n# not one\n```\n## Same\n## Same\n#no\n");
    assert_eq!(found, HashSet::from(["a-b-and-c", "same", "same-1"].map(str::to_owned)));
}

/// A page that nothing leads to is not found by anybody.
#[test]
fn every_document_is_reached_from_the_index() {
    let mut reached = HashSet::new();
    let mut next = vec![root().join("docs/README.md")];
    while let Some(document) = next.pop() {
        let document = document.canonicalize().unwrap();
        if document.extension().is_none_or(|ending| ending != "md") || !reached.insert(document.clone()) {
            continue;
        }
        let text = fs::read_to_string(&document).unwrap();
        next.extend(targets(&text).map(|(file, _)| document.parent().unwrap().join(file)));
    }
    let mut documents = vec![];
    files(&root().join("docs"), "md", &mut documents);
    assert!(documents.len() > 15, "{documents:?}");
    for document in documents {
        assert!(
            reached.contains(&document.canonicalize().unwrap()),
            "nothing leads to {}",
            document.display()
        );
    }
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
