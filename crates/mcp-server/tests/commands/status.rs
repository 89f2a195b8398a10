//! `status`: one query, whole.

use serde_json::json;

use crate::{ENDLESS, State};

#[test]
fn everything_is_told_of_one_query() {
    let state = State::new();
    let id = state.statement("select 1 as a union all select 2");
    let page = state.run(&["status", &id]);
    assert_eq!(page.code, 0);
    for word in [
        id.as_str(),
        "succeeded",
        "main (sqlite::memory:)",
        "command line",
        "accepted",
        "kept until",
        "2, ",
        "union all",
    ] {
        assert!(page.out.contains(word), "{word} is missing in\n{}", page.out);
    }
    let document = state.run(&["status", &id, "--json"]).json();
    for (field, value) in [
        ("query_id", json!(id)),
        ("status", json!("succeeded")),
        ("rows", json!(2)),
        ("client", json!("command line")),
        ("target", json!("sqlite::memory:")),
        ("sql", json!("select 1 as a union all select 2")),
        ("owes", json!([])),
        ("rows_gone", json!(false)),
    ] {
        assert_eq!(document[field], value, "{field} in {document}");
    }
    for field in ["version", "created_at", "duration_seconds", "expires_at", "remote_query_id", "finished_at"]
    {
        assert!(!document[field].is_null(), "{field} in {document}");
    }
}

#[test]
fn the_names_of_the_tool_are_the_names_of_the_command() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit("select * from missing");
    let tool = server.wait_for_end(&id);
    let command = state.run(&["status", &id, "--json"]).json();
    for (field, value) in tool.as_object().unwrap() {
        // What to call next and whether something changed is for callers of tools.
        if !["next", "changed", "error_message"].contains(&field.as_str()) {
            assert_eq!(&command[field], value, "{field}");
        }
    }
    assert_eq!(command["error"]["type"], "sql");
}

#[test]
fn a_wait_ends_with_the_query_and_its_exit_code_tells_how() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let failed = server.submit("select * from missing");
    assert_eq!(state.run(&["status", &failed, "--wait"]).code, 1);
    let succeeded = state.statement("select 1");
    assert_eq!(state.run(&["status", &succeeded, "--wait"]).code, 0);
    let endless = server.submit(ENDLESS);
    server.wait_until_running(&endless);
    let still = state.run(&["status", &endless, "--wait", "0.2"]);
    assert_eq!(still.code, 7, "{still:?}");
    assert!(still.out.contains("is running"), "{still:?}");
    let waiting = state
        .command(&["status", &endless, "--wait", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    server.call("query_cancel", json!({ "query_id": endless }));
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["status"], &document["stop_confirmed"]), (&json!("canceled"), &json!(true)));
}

#[test]
fn the_beginning_of_an_id_and_the_word_last_name_a_query() {
    let state = State::new();
    let (first, second) = (state.statement("select 1"), state.statement("select 2"));
    let differs = first.chars().zip(second.chars()).position(|(a, b)| a != b).unwrap();
    let status = |name: &str| state.run(&["status", name, "--json"]);
    assert_eq!(status(&first[..=differs]).json()["query_id"], first.as_str());
    // Without the letters that all ids begin with.
    assert_eq!(status(&first[2..=differs]).json()["query_id"], first.as_str());
    for newest in ["last", "@last"] {
        assert_eq!(status(newest).json()["query_id"], second.as_str());
    }
}

#[test]
fn a_beginning_that_several_ids_share_names_them_all() {
    let state = State::new();
    // The first letter of an id is one of eight.
    let ids: Vec<String> = (0..9).map(|number| state.statement(&format!("select {number}"))).collect();
    let shares = |one: &&String| ids.iter().filter(|other| other[..3] == one[..3]).count() > 1;
    let shared: Vec<&String> = ids.iter().filter(shares).collect();
    let ambiguous = state.run(&["status", &shared[0][..3]]);
    assert_eq!(ambiguous.code, 2);
    for id in shared.iter().filter(|id| id[..3] == shared[0][..3]) {
        assert!(ambiguous.err.contains(id.as_str()), "{ambiguous:?}");
    }
    assert!(ambiguous.err.contains("select") && ambiguous.err.contains("Give more"), "{ambiguous:?}");
}

#[test]
fn an_unknown_id_is_not_found_and_the_directory_is_named() {
    let state = State::new();
    for name in ["last", "q_zzz", "q_00000000000000000000000000", "\u{1b}[2J"] {
        let ran = state.run(&["status", name]);
        assert_eq!(ran.code, 3, "{name:?}: {ran:?}");
        assert!(
            ran.err.contains(&state.path().display().to_string()) && !ran.err.contains('\u{1b}'),
            "{ran:?}"
        );
        let error = state.run(&["status", name, "--json"]).error();
        assert_eq!((&error["type"], &error["exit_code"]), (&json!("not_found"), &json!(3)), "{error}");
    }
}
