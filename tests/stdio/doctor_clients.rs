//! `doctor` and the clients that this server is registered with.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::BINARY;

/// The steps about clients, with `home` as the user's directory.
fn steps(home: &Path) -> Vec<Value> {
    let output = Command::new(BINARY)
        .args(["--ephemeral", "doctor", "--json", "--offline", "--patience", "20s"])
        .env_clear()
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let steps = report["steps"].as_array().unwrap().iter();
    steps.filter(|step| step["scope"] == "clients").cloned().collect()
}

fn register(home: &Path, file: &str, key: &str, entry: &Value) {
    let path = home.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, json!({ key: { "sql": entry, "web": { "url": "https://example.com" } } }).to_string())
        .unwrap();
}

#[test]
fn a_registered_entry_is_started_and_answers() {
    let home = tempfile::tempdir().unwrap();
    let entry = json!({ "command": BINARY, "args": ["--ephemeral"], "env": { "ASYNC_QUERY_MCP_LOG_LEVEL": "error" } });
    register(home.path(), ".cursor/mcp.json", "mcpServers", &entry);
    let steps = steps(home.path());
    assert_eq!(steps.len(), 1, "{steps:#?}");
    assert_eq!((&steps[0]["step"], &steps[0]["status"]), (&json!("Cursor"), &json!("ok")), "{steps:#?}");
    assert!(steps[0]["message"].as_str().unwrap().contains(env!("CARGO_PKG_VERSION")), "{steps:#?}");
}

#[test]
fn an_entry_that_starts_no_server_is_named_with_its_mend() {
    for (entry, words) in [
        (json!({ "command": "/nowhere/async-query-mcp", "args": [] }), "No such file"),
        (json!({ "command": BINARY, "args": ["--no-such-flag"] }), "ended without an answer"),
        (
            json!({ "command": BINARY, "args": [], "env": { "ASYNC_QUERY_MCP_MODE": "anything" } }),
            "ended without",
        ),
    ] {
        let home = tempfile::tempdir().unwrap();
        register(home.path(), ".vscode/mcp.json", "servers", &entry);
        let steps = steps(home.path());
        assert_eq!(steps.len(), 1, "{steps:#?}");
        assert_eq!(
            (&steps[0]["step"], &steps[0]["kind"]),
            (&json!("VS Code"), &json!("client_entry")),
            "{steps:#?}"
        );
        assert!(steps[0]["message"].as_str().unwrap().contains(words), "{steps:#?}");
        assert!(steps[0]["mend"].as_str().unwrap().contains("install"), "{steps:#?}");
    }
}

#[test]
fn a_broken_file_and_a_launcher_are_told_and_nothing_is_started_through_it() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(".mcp.json"), "{\n  oops").unwrap();
    register(
        home.path(),
        ".cursor/mcp.json",
        "mcpServers",
        &json!({ "command": "npx", "args": ["async-query-mcp"] }),
    );
    let steps = steps(home.path());
    let found: Vec<_> =
        steps.iter().map(|step| (step["step"].as_str().unwrap(), step["status"].as_str().unwrap())).collect();
    assert_eq!(found, [("Cursor", "skipped"), ("Claude Code", "warning")], "{steps:#?}");
}

#[test]
fn where_no_client_knows_this_server_the_way_to_register_is_told() {
    let home = tempfile::tempdir().unwrap();
    let steps = steps(home.path());
    assert_eq!(steps.len(), 1);
    assert!(steps[0]["message"].as_str().unwrap().contains("install CLIENT"), "{steps:#?}");
}
