//! What every command has in common: exit codes, colours, harmless text, completions.

use std::process::Stdio;

use serde_json::json;

use crate::{BINARY, ENDLESS, State};

/// A statement whose cell would rule a terminal.
const HOSTILE: &str = "select char(27) || '[2J' || char(8238) as cell";

#[test]
fn nothing_from_a_database_or_an_agent_rules_the_terminal() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let sql = "select x'1b5b324a' from \"missing\"";
    let arguments = json!({ "sql": sql, "label": "\u{202e}label\u{2066}" });
    server.request("tools/call", json!({ "name": "async_execute_query", "arguments": arguments }));
    for arguments in [
        &["list"][..],
        &["list", "--json"],
        &["status", "last"],
        &["status", "last", "--json"],
        &["result", "last"],
        &["cancel", "last"],
        &["status", "q_"],
    ] {
        let ran = state.run(arguments);
        let hidden = |c: char| c != '\n' && mcp_server::visible::is_hidden(c);
        assert!(!ran.out.contains(hidden) && !ran.err.contains(hidden), "{arguments:?}: {ran:?}");
    }
    assert_eq!(state.run(&["list", "--json"]).json()["queries"][0]["label"], "\u{202e}label\u{2066}");
}

#[test]
fn a_table_spells_hidden_characters_out_even_in_a_pipe() {
    let ran = State::new().run(&["run", HOSTILE]);
    assert!(ran.out.contains("\\u{1b}[2J\\u{202e}"), "{ran:?}");
}

#[test]
fn the_exit_code_tells_what_to_do_next() {
    let state = State::new();
    let nowhere = state.directory.path().join("file");
    std::fs::write(&nowhere, "").unwrap();
    let nowhere = nowhere.display().to_string();
    for (arguments, code) in [
        (&["run", "select 1"][..], 0),
        (&["run", "select * from missing"], 1),
        (&["run", "delete from orders"], 1),
        (&["run", "select 1", "--on", "nowhere"], 2),
        (&["run", ""], 2),
        (&["list", "--status", "cancelled"], 2),
        (&["status", "q_zzz"], 3),
        (&["result", "q_zzz"], 3),
        (&["cancel", "q_zzz"], 3),
        (&["run", ENDLESS, "--timeout", "0.3"], 5),
        (&["run", "select 1", "--database", "sqlite:/no/such/file.db"], 6),
        (&["list", "--state-dir", &nowhere], 6),
    ] {
        let ran = state.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
        assert_eq!(ran.out.is_empty(), code != 0, "{arguments:?}");
    }
}

#[test]
fn a_query_that_somebody_else_stopped_ends_its_run_as_canceled() {
    let state = State::new();
    let child = state.command(&["run", ENDLESS]).stderr(Stdio::piped()).spawn().unwrap();
    let end = std::time::Instant::now() + support::server_process::PATIENCE;
    while !state.path().join("journal.db").exists() || state.listed(&["--status", "running"]).is_empty() {
        assert!(std::time::Instant::now() < end);
    }
    assert_eq!(state.run(&["cancel", "last"]).code, 0);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(String::from_utf8(output.stderr).unwrap().contains("was canceled"));
}

#[test]
fn what_is_kept_nowhere_cannot_be_looked_at() {
    let output = std::process::Command::new(BINARY).args(["--ephemeral", "list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--state-dir"));
}

#[test]
fn errors_for_programs_are_json() {
    let error = State::new().run(&["run", "select * from missing", "--json"]).error();
    assert_eq!((&error["type"], &error["exit_code"]), (&json!("failed"), &json!(1)));
    assert!(error["message"].as_str().unwrap().contains("no such table"), "{error}");
}

#[test]
fn colours_are_used_where_they_are_asked_for_and_in_no_pipe_by_themselves() {
    let state = State::new();
    state.statement("select 1");
    assert!(!state.run(&["list"]).out.contains('\u{1b}'));
    assert!(state.run(&["list", "--color", "always"]).out.contains("\u{1b}[32msucceeded\u{1b}[0m"));
    assert!(state.run(&["status", "last", "--color", "always"]).out.contains("\u{1b}[32msucceeded"));
    assert!(!state.run(&["list", "--color", "never"]).out.contains('\u{1b}'));
}

#[test]
fn completions_know_the_commands_and_need_no_state() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output =
            std::process::Command::new(BINARY).args(["completions", shell]).env_clear().output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && script.contains("prune") && script.contains("older-than"),
            "{shell}"
        );
    }
}

/// What bash offers for the last word of a line.
#[cfg(unix)]
fn completed(line: &str) -> Option<String> {
    let script = std::process::Command::new(BINARY).args(["completions", "bash"]).output().unwrap().stdout;
    let ask = "eval \"$SCRIPT\"; COMP_WORDS=($LINE); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
        known=$(complete -p async-query-mcp); known=${known#*-F }; \
        ${known%% *} async-query-mcp \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[@]}\"";
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", ask]).env("SCRIPT", String::from_utf8(script).unwrap()).env("LINE", line);
    Some(String::from_utf8(bash.output().ok()?.stdout).unwrap().trim().to_owned())
}

#[test]
#[cfg(unix)]
fn bash_completes_the_flags_of_commands_and_their_values() {
    for (line, offered) in [
        ("async-query-mcp comp", "completions"),
        ("async-query-mcp run --for", "--format"),
        ("async-query-mcp install cur", "cursor"),
        ("async-query-mcp prune --old", "--older-than"),
    ] {
        // Where there is no bash there is nothing to ask.
        let Some(found) = completed(line) else { return };
        assert_eq!(found, offered, "{line}");
    }
}

#[test]
fn the_help_of_every_command_lists_the_exit_codes() {
    let state = State::new();
    for command in ["run", "list", "status", "result", "cancel", "prune"] {
        let ran = state.run(&[command, "--help"]);
        assert!(ran.code == 0 && ran.out.contains("Exit codes:") && ran.out.contains("130"), "{command}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_output_is_told_apart_from_a_reader_that_has_enough() {
    let state = State::new();
    state.statement("select 1");
    let home = state.directory.path().display().to_string();
    for arguments in [
        &["check", "select 1"][..],
        &["doctor", "--offline"],
        &["install", "cursor", "--dry-run"],
        &["install", "cursor", "--print"],
        &["list"],
        &["run", "select 1"],
        &["completions", "bash"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = state.command(arguments).env("HOME", &home).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(6), "{arguments:?}: {output:?}");
        // It stops its query then, and says so.
        if arguments[0] == "run" {
            continue;
        }
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = state.command(arguments).env("HOME", &home).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(0) && !said.contains("pipe"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_command_line_without_its_object_names_every_way_to_give_it() {
    for (command, ways) in
        [("run", ["<SQL|", "--file"]), ("cancel", ["<ID", "--all"]), ("prune", ["--older-than", "--all"])]
    {
        let ran = State::new().run(&[command]);
        let told = ran.err.split("Usage").next().unwrap_or_default();
        assert!(ran.code == 2 && ways.iter().all(|way| told.contains(way)), "{ran:?}");
    }
}

#[test]
fn where_no_query_was_run_yet_the_last_one_is_told_so() {
    let ran = State::emptied().run(&["status", "last"]);
    assert!(ran.code == 3 && ran.err.contains("no queries") && !ran.err.contains("query last"), "{ran:?}");
}

#[test]
fn who_only_looks_makes_nothing() {
    let state = State::new();
    for arguments in [
        &["list"][..],
        &["list", "--watch"],
        &["status", "last"],
        &["result", "last"],
        &["cancel", "--all"],
        &["prune", "--all"],
    ] {
        let ran = state.run(arguments);
        assert!(ran.code == 3 && ran.err.contains("there is nothing at"), "{arguments:?}: {ran:?}");
        assert!(!state.path().exists(), "{arguments:?}");
    }
    std::fs::create_dir(state.path()).unwrap();
    assert_eq!(state.run(&["list"]).code, 3);
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}
