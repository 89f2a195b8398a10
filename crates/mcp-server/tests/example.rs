//! The files beside the program: the example starts this server in every form, the changelog knows its version.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

use clap::{CommandFactory, Parser};
use mcp_server::cli::Cli;
use mcp_server::clients::Client;
use serde_json::{Map, Value, json};
use support::server_process::ServerProcess;

const BINARY: &str = env!("CARGO_BIN_EXE_async-query-mcp");
/// Where the example's files are; the tests have theirs elsewhere.
const HOME: &str = "/home/you";

fn example() -> Value {
    serde_json::from_str(include_str!("../../../mcp.json.example")).unwrap()
}

fn servers() -> Map<String, Value> {
    example()["mcpServers"].as_object().unwrap().clone()
}

fn arguments(server: &Value, home: &str) -> Vec<String> {
    let arguments = server["args"].as_array().unwrap().iter();
    arguments.map(|argument| argument.as_str().unwrap().replace(HOME, home)).collect()
}

fn variables(server: &Value, home: &str) -> Vec<(String, String)> {
    let given = server["env"].as_object().into_iter().flatten();
    given.map(|(name, value)| (name.clone(), value.as_str().unwrap().replace(HOME, home))).collect()
}

#[test]
fn every_client_finds_the_same_servers_under_its_key() {
    let example = example();
    for client in Client::ALL {
        assert_eq!(example[client.key()], example["mcpServers"], "{}", client.name());
    }
    assert_eq!(example.as_object().unwrap().len(), 2);
}

#[test]
fn every_form_of_a_server_is_there() {
    let servers = servers();
    let all: Vec<Vec<String>> = servers.values().map(|server| arguments(server, HOME)).collect();
    let connections = |args: &Vec<String>| args.iter().filter(|arg| *arg == "--connection").count();
    assert!(all.iter().any(|args| args.is_empty()), "the sample");
    assert!(all.iter().any(|args| args.iter().any(|arg| arg.starts_with("sqlite:"))), "a file");
    assert!(all.iter().any(|args| args.iter().any(|arg| arg.ends_with("=snowflake"))), "Snowflake");
    assert!(all.iter().any(|args| connections(args) > 1), "several connections");
    assert!(servers.values().any(|server| server["env"].is_object()), "variables");
}

#[test]
fn its_arguments_and_its_variables_are_ours() {
    let command = Cli::command();
    let known: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    for (name, server) in servers() {
        let line = std::iter::once("async-query-mcp".to_owned()).chain(arguments(&server, HOME));
        let cli = Cli::try_parse_from(line).unwrap();
        assert!(cli.global.connections.connections().is_ok(), "{name}");
        for (variable, _) in variables(&server, HOME) {
            assert!(known.contains(&variable.as_str()), "{name}: {variable}");
        }
    }
}

#[test]
fn every_server_starts_and_lists_its_tools() {
    for (name, server) in servers() {
        assert_eq!(server["command"], json!(format!("{HOME}/.cargo/bin/async-query-mcp")));
        let home = tempfile::tempdir().unwrap();
        let place = home.path().to_str().unwrap();
        let args = arguments(&server, place);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut variables = variables(&server, place);
        variables.push(("HOME".to_owned(), place.to_owned()));
        let mut process = ServerProcess::spawn_with(BINARY, &home.path().join("state"), &args, &variables);
        assert_eq!(process.initialize()["serverInfo"]["name"], json!("async-query-mcp"), "{name}");
        let id = process.post("tools/list", json!({}));
        let tools = process.answer(id)["result"]["tools"].clone();
        let execute =
            tools.as_array().unwrap().iter().find(|tool| tool["name"] == "async_execute_query").unwrap();
        let asks = execute["inputSchema"]["properties"].get("connection").is_some();
        assert_eq!(asks, args.iter().filter(|arg| **arg == "--connection").count() > 1, "{name}");
    }
}

#[test]
fn the_changelog_has_a_heading_for_this_version_or_for_what_comes() {
    let changelog = include_str!("../../../CHANGELOG.md");
    let headings: Vec<&str> = changelog.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let current = format!("[{}]", env!("CARGO_PKG_VERSION"));
    assert!(
        headings.iter().any(|heading| *heading == "[Unreleased]" || heading.starts_with(&current)),
        "{headings:?}"
    );
    let dated = |heading: &&str| *heading == "[Unreleased]" || heading.contains("] - 20");
    assert!(headings.iter().all(dated), "a version needs its date: {headings:?}");
}
