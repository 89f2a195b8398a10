//! `list`: what runs and what ran.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::{ENDLESS, State, words};

#[test]
fn queries_of_servers_and_of_commands_are_in_one_list() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let ended = state.statement("select 1 as a");
    let arguments = json!({ "sql": ENDLESS, "label": "nightly", "wait_seconds": 0 });
    let running = server.call("async_execute_query", arguments)["query_id"].clone();
    server.wait_until_running(running.as_str().unwrap());
    let queries = state.listed(&[]);
    assert_eq!(words(&queries, "query_id"), [running.as_str().unwrap(), &ended]);
    let (first, second) = (&queries[0], &queries[1]);
    assert_eq!(
        (&first["status"], &first["server"], &first["label"]),
        (&json!("running"), &json!("alive"), &json!("nightly"))
    );
    assert_eq!(first["connection"], "main");
    assert!(first["client"].as_str().is_some_and(|client| client != "command line"), "{first}");
    assert!(first["sql"].as_str().unwrap().starts_with("with recursive"), "{first}");
    assert_eq!((&second["client"], &second["rows"]), (&json!("command line"), &json!(1)));
    let table = state.run(&["list"]).out;
    for word in ["QUERY", "running", "nightly", "command line", "with recursive", "select 1 as a"] {
        assert!(table.contains(word), "{word} is missing in\n{table}");
    }
}

#[test]
fn a_cut_result_is_listed_with_the_rows_that_are_stored() {
    let state = State::new();
    let sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 9) select i from n";
    assert_eq!(state.run(&["run", sql, "--max-result-rows", "4"]).code, 0);
    let listed = &state.listed(&[])[0];
    assert_eq!((&listed["rows"], &listed["truncated"]), (&json!(4), &json!("row_ceiling")));
    let table = state.run(&["list"]).out;
    assert!(table.contains("4 of more"), "{table}");
}

#[test]
fn the_limit_never_hides_a_query_that_has_not_ended() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let running = server.submit(ENDLESS);
    for number in 0..3 {
        state.statement(&format!("select {number}"));
    }
    let queries = state.listed(&["--limit", "2"]);
    assert_eq!(words(&queries, "sql")[..2], ["select 2", "select 1"]);
    assert_eq!(words(&queries, "query_id")[2..], [running.as_str()]);
    assert_eq!(state.run(&["list", "--limit", "2", "--json"]).json()["has_more"], true);
    assert!(state.run(&["list", "--limit", "2"]).out.contains("--all"));
    assert_eq!(state.listed(&["--all"]).len(), 4);
    assert_eq!(words(&state.listed(&["--status", "pending,running"]), "query_id"), [running.as_str()]);
    assert_eq!(state.listed(&["--status", "succeeded"]).len(), 3);
}

#[test]
fn a_list_leaves_the_queries_of_a_living_server_alone() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit(ENDLESS);
    server.wait_until_running(&id);
    let before = server.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }))["version"].clone();
    for _ in 0..3 {
        assert_eq!(state.run(&["list"]).code, 0);
        assert_eq!(state.run(&["status", &id]).code, 0);
    }
    let status = server.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }));
    assert_eq!((&status["status"], &status["version"]), (&json!("running"), &before), "{status}");
}

#[test]
fn a_query_that_died_with_its_server_is_listed_as_failed() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit(ENDLESS);
    server.wait_until_running(&id);
    server.kill();
    let queries = state.listed(&[]);
    assert_eq!(queries[0]["status"], "failed", "{queries:?}");
    assert!(queries[0]["error_message"].as_str().unwrap().contains("stopped with the server"), "{queries:?}");
}

#[test]
fn an_empty_list_names_the_directory_it_looked_in() {
    let state = State::emptied();
    let ran = state.run(&["list"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains(&state.path().display().to_string()), "{ran:?}");
    assert_eq!(state.run(&["list", "--json"]).json(), json!({ "queries": [], "has_more": false }));
}

#[test]
fn a_watch_into_a_pipe_is_block_after_block_and_ends_with_its_reader() {
    let state = State::emptied();
    let mut child = state
        .command(&["list", "--watch", "--interval", "0.1", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["queries"], json!([]));
    let id = state.statement("select 1");
    while next()["queries"][0]["query_id"] != id.as_str() {}
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
