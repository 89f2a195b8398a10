//! Queries at a remote engine whose server is gone: seen by every command, taken over by none, stopped by `cancel`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};

use crate::State;

pub(crate) const CONNECTION: [&str; 2] = ["--connection", "test=snowflake"];

/// A service, and a state directory on which a killed server left a statement running there.
struct Orphan {
    service: FakeSnowflake,
    state: State,
    id: String,
}

impl Orphan {
    fn new(api: &str) -> Self {
        let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
        let mut state = State::new();
        state.variables = variables(&service, api, &state);
        let mut server = state.serve(&CONNECTION);
        let id = server.submit("select 1 /* fake: runs=3600 */");
        server.wait_until_running(&id);
        server.kill();
        Self { service, state, id }
    }

    fn statuses(&self) -> Vec<String> {
        let ours = |query: &Value| query["sql"].as_str().is_some_and(|sql| sql.contains("runs=3600"));
        let status = |query: Value| query["status"].as_str().unwrap_or_default().to_owned();
        self.service.queries().into_iter().filter(ours).map(status).collect()
    }

    /// Any change of the record is a new version, a change of its owner too.
    fn version(&self) -> Value {
        version_of(&self.state, &self.id)
    }

    fn listed(&self) -> Value {
        self.state.listed(&[])[0].clone()
    }
}

fn version_of(state: &State, id: &str) -> Value {
    state.run(&["status", id, "--json"]).json()["version"].clone()
}

pub(crate) fn variables(service: &FakeSnowflake, api: &str, state: &State) -> Vec<(String, String)> {
    let settings =
        client::place(service.port()).into_iter().chain(client::sign_in(api, "canary-4711-secret"));
    let settings = settings.chain([("DATABASE", "DB".to_owned())]);
    client::variables(settings, &state.directory.path().join("none"))
}

#[test]
fn an_orphan_is_seen_by_all_and_taken_over_by_no_short_lived_command() {
    let orphan = Orphan::new("sql");
    let version = orphan.version();
    let before = orphan.listed();
    assert_eq!((&before["status"], &before["server"]), (&json!("running"), &json!("gone")), "{before}");
    for arguments in
        [&["list"][..], &["status", "last"], &["status", "last", "--wait", "0.2"], &["prune", "--all"]]
    {
        let ran = orphan.state.run(&[&CONNECTION[..], arguments].concat());
        assert!(ran.code == 0 || ran.code == 7, "{arguments:?}: {ran:?}");
    }
    // A statement of its own on the same connection does not take it over either.
    let own = orphan.state.run(&[&CONNECTION[..], &["run", "select 2", "--json"]].concat());
    assert_eq!(own.code, 0, "{own:?}");
    let after = orphan.state.run(&["status", &orphan.id, "--json"]).json();
    assert_eq!((&after["status"], &after["server"]), (&json!("running"), &json!("gone")), "{after}");
    assert_eq!(orphan.version(), version);
    assert_eq!(orphan.statuses(), ["RUNNING"]);
    assert!(orphan.state.run(&["list"]).out.contains("running, server gone"));
}

#[test]
fn a_cancel_of_an_orphan_is_carried_out_by_the_command_itself() {
    for api in ["sql", "driver"] {
        let orphan = Orphan::new(api);
        let ran = orphan.state.run(&[&CONNECTION[..], &["cancel", &orphan.id, "--wait"]].concat());
        assert_eq!(ran.code, 0, "{api}: {ran:?}");
        assert!(ran.out.contains("the engine confirmed that it stopped"), "{api}: {ran:?}");
        assert!(!orphan.statuses().contains(&"RUNNING".to_owned()), "{api}: {:?}", orphan.statuses());
        assert_eq!(orphan.listed()["status"], "canceled", "{api}");
    }
}

#[test]
fn a_cancel_without_the_connection_says_what_is_missing_and_the_wish_stands() {
    let orphan = Orphan::new("sql");
    // It says so at once: a word that nobody asks the engine for would be waited for in vain.
    let start = Instant::now();
    let ran = orphan.state.run(&["cancel", &orphan.id, "--wait", "60"]);
    assert!(ran.code == 7 && start.elapsed() < Duration::from_secs(30), "{:?}: {ran:?}", start.elapsed());
    assert!(ran.out.contains("no connection test") && ran.out.contains("--connection"), "{ran:?}");
    assert_eq!(orphan.statuses(), ["RUNNING"]);
    // The next server carries the wish out.
    let mut server = orphan.state.serve(&CONNECTION);
    assert_eq!(server.wait_for_end(&orphan.id)["status"], "canceled");
    assert!(!orphan.statuses().contains(&"RUNNING".to_owned()));
}

#[test]
fn a_waiting_query_of_a_dead_server_is_canceled_without_being_sent() {
    let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
    let mut state = State::new();
    state.variables = variables(&service, "sql", &state);
    let limits = ["--max-running", "1", "--no-deduplicate"];
    let mut server = state.serve(&[&CONNECTION[..], &limits[..]].concat());
    let running = server.submit("select 1 /* fake: runs=3600 */");
    server.wait_until_running(&running);
    let waiting = server.submit("select 2 /* fake: runs=3600 */");
    server.kill();
    let version = version_of(&state, &running);
    let ran = state.run(&[&CONNECTION[..], &["cancel", &waiting]].concat());
    assert!(ran.code == 0 && ran.out.contains("it was never sent to the engine"), "{ran:?}");
    let status = state.run(&["status", &waiting]).out;
    assert!(status.contains("canceled by request; it was never sent to the engine"), "{status}");
    // Nobody asked for the other one.
    assert_eq!(version_of(&state, &running), version);
    assert!(
        !service
            .queries()
            .iter()
            .any(|query| query["sql"].as_str().is_some_and(|sql| sql.starts_with("select 2")))
    );
}
