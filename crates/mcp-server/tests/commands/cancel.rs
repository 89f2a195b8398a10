//! `cancel`: stops what other processes run.

use serde_json::json;

use crate::{ENDLESS, State, words};

#[test]
fn a_query_of_a_living_server_is_stopped_and_the_engines_word_is_told() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit(ENDLESS);
    server.wait_until_running(&id);
    let ran = state.run(&["cancel", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("the engine confirmed that it stopped"), "{ran:?}");
    let status = server.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }));
    assert_eq!(status["status"], "canceled");
}

#[test]
fn several_are_stopped_at_once_and_each_is_told_of() {
    let state = State::new();
    let mut server = state.serve(&["--no-deduplicate"]);
    let ended = state.statement("select 1");
    let running = [server.submit(ENDLESS), server.submit(ENDLESS)];
    running.iter().for_each(|id| server.wait_until_running(id));
    let ran = state.run(&["cancel", &running[0], &running[1], &ended, "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = ran.json();
    let queries = document["queries"].as_array().unwrap();
    assert_eq!(words(queries, "query_id"), [running[0].as_str(), &running[1], &ended]);
    assert_eq!(words(queries, "reason"), ["canceled", "canceled", "already_completed"]);
    assert_eq!(document["all_stopped"], true);
    let again = state.run(&["cancel", &running[0]]);
    assert!(again.code == 0 && again.out.contains("canceled before"), "{again:?}");
}

#[test]
fn an_unknown_id_does_not_save_the_others() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit(ENDLESS);
    let ran = state.run(&["cancel", "q_zzz", &id]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.err.contains("q_zzz") && ran.out.contains(&id), "{ran:?}");
    assert_eq!(server.wait_for_end(&id)["status"], "canceled");
    let document = state.run(&["cancel", "q_zzz", "--json"]).json();
    assert_eq!(document["queries"][0]["reason"], "not_found");
    assert_eq!(document["all_stopped"], false);
}

#[test]
fn all_stops_every_query_of_every_server() {
    let state = State::new();
    let (mut first, mut second) =
        (state.serve(&["--max-running", "1", "--no-deduplicate"]), state.serve(&[]));
    let ids = [first.submit(ENDLESS), first.submit(ENDLESS), second.submit(ENDLESS)];
    first.wait_until_running(&ids[0]);
    let ran = state.run(&["cancel", "--all"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 3), "{ran:?}");
    for id in &ids {
        assert!(ran.out.contains(id.as_str()), "{ran:?}");
        assert_eq!(first.wait_for_end(id)["status"], "canceled");
    }
    let nothing = state.run(&["cancel", "--all"]);
    assert!(nothing.code == 0 && nothing.out.contains("Nothing to cancel"), "{nothing:?}");
}

#[test]
fn whom_to_cancel_must_be_said_and_only_once() {
    let state = State::new();
    for arguments in [&["cancel"][..], &["cancel", "--all", "q_1"]] {
        assert_eq!(state.run(arguments).code, 2, "{arguments:?}");
    }
}

#[test]
fn an_empty_id_names_no_query_even_where_there_is_only_one() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let id = server.submit(ENDLESS);
    server.wait_until_running(&id);
    for nothing in ["", " ", "q_", "q"] {
        for command in ["cancel", "status", "result"] {
            let ran = state.run(&[command, nothing]);
            assert_eq!(ran.code, 2, "{command} {nothing:?}: {ran:?}");
            assert!(ran.err.contains("list"), "{ran:?}");
        }
    }
    assert_eq!(
        server.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }))["status"],
        "running"
    );
    assert_eq!(state.run(&["cancel", &id]).code, 0);
}
