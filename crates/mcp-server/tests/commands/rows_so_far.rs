//! The rows so far of a query that another process drives.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::fake_snowflake::options::Options;
use support::server_process::{PATIENCE, ServerProcess};

use crate::State;
use crate::orphans::{CONNECTION, variables};

/// In parts of 100; the first part comes with the end of the statement.
const STATEMENT: &str = "select 1 /* fake: rows=1000 */";

/// A service that delivers parts of results as `fault` says, and a server that fetches from it.
fn fetching(fault: Fault) -> (FakeSnowflake, State, ServerProcess, String) {
    let options = Options { partition_rows: 100, ..Options::default() };
    let service = FakeSnowflake::start_blocking(options).unwrap();
    service.faults.add(fault);
    let mut state = State::new();
    state.variables = variables(&service, "sql", &state);
    let mut server = state.serve(&CONNECTION);
    let id = server.submit(STATEMENT);
    (service, state, server, id)
}

/// The query as it is listed again and again, until `done`.
fn listed_until(state: &State, done: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (end, mut seen) = (Instant::now() + PATIENCE, Vec::new());
    loop {
        let query = state.listed(&[]).remove(0);
        let ends = done(&query);
        assert!(ends || Instant::now() < end, "{seen:?}");
        seen.push(query);
        if ends {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn files_of_instances(state: &State) -> Vec<String> {
    let entries = std::fs::read_dir(state.path().join("instances")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_list_shows_how_the_rows_of_a_server_grow_to_their_final_number() {
    let slow = Fault::once("fetch", Misbehaviour::SlowHeaders { ms: 700 }).times(100);
    let (_service, state, mut server, id) = fetching(slow);
    let seen = listed_until(&state, |query| query["status"] == "succeeded");
    let mut counts: Vec<u64> = seen.iter().filter_map(|query| query["rows"].as_u64()).collect();
    assert!(counts.is_sorted(), "{counts:?}");
    counts.dedup();
    assert!(counts.len() >= 3 && counts.last() == Some(&1000), "{counts:?}");
    // Whatever was told of it goes with the next second.
    let end = Instant::now() + PATIENCE;
    while files_of_instances(&state).len() > 1 {
        assert!(Instant::now() < end, "{:?}", files_of_instances(&state));
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.wait_for_end(&id)["status"], "succeeded");
}

#[test]
fn a_query_whose_server_was_killed_has_no_rows_so_far() {
    let silent = Fault { skip: 2, ..Fault::once("fetch", Misbehaviour::HalfOpen).times(100) };
    let (_service, state, mut server, id) = fetching(silent);
    let shown = listed_until(&state, |query| query["rows"].is_u64()).pop().unwrap();
    assert_eq!((&shown["status"], &shown["server"]), (&json!("running"), &json!("alive")), "{shown}");
    let told = state.run(&["status", &id, "--json"]).json();
    assert!(told["rows_so_far"].is_u64(), "{told}");
    server.kill();
    let left = state.listed(&[]).remove(0);
    assert_eq!((&left["status"], &left["server"]), (&json!("running"), &json!("gone")), "{left}");
    assert_eq!(left["rows"], Value::Null, "{left}");
    assert_eq!(state.run(&["status", &id, "--json"]).json()["rows_so_far"], Value::Null);
    assert_eq!(files_of_instances(&state), Vec::<String>::new());
}
