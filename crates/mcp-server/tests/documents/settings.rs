//! Every Snowflake connection that a document shows can be loaded.

use std::fs;

use snowflake_adapter::config::{Sources, load};

use crate::pages;

/// A key of our own for the recipes that name one; it opens nothing.
const KEY: &str = include_str!("../../../snowflake-adapter/testdata/test-only-key.p8");

/// The names of the connections in a recipe.
fn names(block: &str) -> Vec<&str> {
    let headers = block.lines().filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    headers.filter(|name| !name.contains('.')).collect()
}

#[test]
fn every_connection_that_a_document_shows_can_be_loaded() {
    let mut seen = 0;
    for page in pages::all() {
        for block in page.blocks("toml") {
            let home = tempfile::tempdir().unwrap();
            write(home.path(), "rsa_key.p8", KEY);
            write(home.path(), "pat", "a-token");
            let place = home.path().to_str().unwrap();
            let text = block
                .replace("~/.snowflake", place)
                .replace("/run/secrets/snowflake-token", &format!("{place}/pat"));
            write(home.path(), "connections.toml", &text);
            for name in names(&block) {
                seen += 1;
                let sources =
                    Sources::new().with_directory(home.path()).with_variable("SNOWFLAKE_PASSWORD", "p");
                let loaded = load(Some(name), &sources);
                assert!(loaded.is_ok(), "{}: [{name}]: {:?}", page.name, loaded.err());
            }
        }
    }
    assert!(seen >= 7, "{seen} connections");
}

/// A file that only its owner reads, as secrets have to be.
fn write(directory: &std::path::Path, name: &str, text: &str) {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}
