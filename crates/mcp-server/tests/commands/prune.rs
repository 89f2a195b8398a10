//! `prune`: what is forgotten and what is not.

use serde_json::json;

use crate::{ENDLESS, State, words};

#[test]
fn ended_queries_go_with_their_rows_and_running_ones_stay() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let running = server.submit(ENDLESS);
    server.wait_until_running(&running);
    let ended = state.statement("select 'twelve bytes' as a");
    let young = state.run(&["prune", "--older-than", "1h", "--json"]).json();
    assert_eq!(young, json!({ "forgotten": 0, "freed_bytes": 0, "kept_for_debts": 0 }));
    assert_eq!(state.listed(&[]).len(), 2);
    let rows = state.path().join("results").join(format!("{ended}.rows"));
    let bytes = rows.metadata().unwrap().len();
    let all = state.run(&["prune", "--all", "--json"]).json();
    assert_eq!(all, json!({ "forgotten": 1, "freed_bytes": bytes, "kept_for_debts": 0 }));
    assert!(!rows.exists());
    assert_eq!(words(&state.listed(&[]), "query_id"), [running.as_str()]);
    assert_eq!(
        server.call("query_status", json!({ "query_id": running, "wait_seconds": 0 }))["status"],
        "running"
    );
    assert_eq!(state.run(&["result", &ended]).code, 3);
}

#[test]
fn the_server_that_ran_a_forgotten_query_forgets_it_too() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit("select 1");
    server.wait_for_end(&id);
    let ran = state.run(&["prune", "--all"]);
    assert!(ran.code == 0 && ran.out.starts_with("Forgot 1 query, freed "), "{ran:?}");
    let error = server.call_error("query_result", json!({ "query_id": id }));
    assert!(error.contains(&id), "{error}");
}

#[test]
fn what_to_forget_must_be_said() {
    let state = State::new();
    for arguments in
        [&["prune"][..], &["prune", "--all", "--older-than", "1h"], &["prune", "--older-than", "soon"]]
    {
        assert_eq!(state.run(arguments).code, 2, "{arguments:?}");
    }
}
