//! Commands, flags, variables and configurations that a document shows are taken by the program.

use std::collections::HashSet;

use clap::{CommandFactory, Parser};
use mcp_server::cli::Cli;
use serde_json::Value;

use crate::pages;

/// How a document may begin a command of ours.
const PROGRAMS: [&str; 2] = ["$ async-query-mcp", "$ cargo run --release --"];

/// The words of a command line, as a shell splits it; what is piped on is not ours.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => word.extend(chars.next()),
            (None | Some('"'), '$') => panic!("a shell puts a variable in the place of $: {line}"),
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '|' | '<' | '>' | '#' | '&') => break,
            (None, ' ') => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (_, c) => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Every command of ours in the documents, with the page it stands on.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for page in pages::all() {
        for block in page.blocks("console") {
            let block = block.replace("\\\n", " ");
            for line in block.lines() {
                let ours = PROGRAMS.iter().find_map(|program| line.strip_prefix(program));
                found.extend(ours.map(|rest| (page.name.clone(), words(rest))));
            }
        }
    }
    found
}

#[test]
fn every_command_that_a_document_shows_is_taken() {
    let commands = commands();
    assert!(commands.len() >= 25, "{} commands", commands.len());
    for (page, words) in commands {
        let line = std::iter::once("async-query-mcp".to_owned()).chain(words.iter().cloned());
        if let Err(error) = Cli::try_parse_from(line) {
            assert!(!error.use_stderr(), "{page}: {words:?}: {error}");
        }
    }
}

#[test]
fn every_command_of_the_program_is_shown_somewhere() {
    let shown: HashSet<String> = commands().into_iter().flat_map(|(_, words)| words).collect();
    for command in Cli::command().get_subcommands() {
        // What clients start is shown in their configurations.
        if command.get_name() != "serve" {
            assert!(shown.contains(command.get_name()), "no document shows {}", command.get_name());
        }
    }
}

#[test]
fn every_flag_and_variable_that_a_document_names_exists() {
    let command = Cli::command();
    let all = || std::iter::once(&command).chain(command.get_subcommands()).flat_map(|c| c.get_arguments());
    let flags: HashSet<String> = all().filter_map(|flag| Some(format!("--{}", flag.get_long()?))).collect();
    let variables: HashSet<&str> = all().filter_map(|flag| flag.get_env()?.to_str()).collect();
    let mut seen = 0;
    for page in pages::all() {
        for code in page.code() {
            let flag = code.split([' ', '=']).next().unwrap_or_default();
            if flag.starts_with("--") && flag.len() > 2 {
                seen += 1;
                assert!(
                    flags.contains(flag) || flag == "--help" || flag == "--version",
                    "{}: {flag}",
                    page.name
                );
            }
        }
        for rest in page.text.split("ASYNC_QUERY_MCP_").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
            let name = format!("ASYNC_QUERY_MCP_{}", &rest[..end]);
            let known =
                variables.contains(name.as_str()) || name.ends_with("_LIVE_TEST") || name.ends_with("MCP_");
            assert!(known, "{}: {name}", page.name);
        }
    }
    assert!(seen >= 40, "{seen} flags");
}

/// The entries of servers in a configuration that a document shows.
fn entries(block: &str) -> Vec<Value> {
    let text: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
    let servers = text.get("mcpServers").or_else(|| text.get("servers"));
    servers.and_then(Value::as_object).into_iter().flat_map(|servers| servers.values().cloned()).collect()
}

#[test]
fn every_configuration_that_a_document_shows_starts_the_server() {
    let mut seen = 0;
    for page in pages::all() {
        for entry in page.blocks("json").iter().flat_map(|block| entries(block)) {
            seen += 1;
            let args = entry["args"].as_array().cloned().unwrap_or_default();
            let args = args.iter().map(|arg| arg.as_str().unwrap().to_owned());
            let line = std::iter::once("async-query-mcp".to_owned()).chain(args);
            let cli = Cli::try_parse_from(line).unwrap_or_else(|error| panic!("{}: {error}", page.name));
            assert!(cli.global.connections.connections().is_ok(), "{}: {entry}", page.name);
        }
    }
    assert!(seen >= 3, "{seen} configurations");
}
