//! Clients close stdin, wait two seconds, and then get rough. The server is gone long before, whatever it was doing.

use std::time::Duration;

use serde_json::json;
use support::server_process::ServerProcess;

use crate::{ENDLESS, Server};

/// What a client may ever have to wait.
const GONE_WITHIN: Duration = Duration::from_secs(1);

fn assert_ends_well(process: &mut ServerProcess) {
    let (status, after) = process.ended(Duration::from_secs(10)).expect("the process ends");
    assert!(status.success(), "{status}: {}", process.stderr());
    assert!(after < GONE_WITHIN, "gone only after {after:?}: {}", process.stderr());
}

/// A wait in flight, a query running, another one waiting in the line.
fn busy() -> (Server, u64) {
    let mut server = Server::start(&["--max-running", "1", "--no-deduplicate"]);
    let id = server.process.submit(ENDLESS);
    server.process.submit(ENDLESS);
    server.process.wait_until_running(&id);
    let wait = server.process.post_call("query_result", json!({ "query_id": id, "wait_seconds": 50 }));
    // The ping is answered after the wait has begun, because requests are started in order.
    server.process.request("ping", json!({}));
    (server, wait)
}

#[test]
fn an_idle_server_ends_when_its_input_closes() {
    let mut server = Server::start(&[]);
    server.process.close_input();
    assert_ends_well(&mut server.process);
}

#[test]
fn a_server_that_was_never_spoken_to_ends_when_its_input_closes() {
    let mut server = Server::spawn(&[]);
    server.process.close_input();
    assert_ends_well(&mut server.process);
}

#[test]
fn a_busy_server_answers_its_waits_and_ends_when_its_input_closes() {
    let (mut server, wait) = busy();
    server.process.close_input();
    let answer = server.process.answer(wait);
    assert_eq!(answer["result"]["structuredContent"]["status"], "running", "{answer}");
    assert_ends_well(&mut server.process);
}

#[test]
fn a_quick_call_is_still_answered_when_the_input_closes_behind_it() {
    let mut server = Server::start(&[]);
    // Builds the sample, which is no quick call.
    server.process.call("async_execute_query", json!({ "sql": "select 1" }));
    let call = server.process.post_call("async_execute_query", json!({ "sql": "select 41 + 1" }));
    server.process.close_input();
    let answer = server.process.answer(call);
    assert_eq!(answer["result"]["structuredContent"]["rows"], json!([[42]]), "{answer}");
    assert_ends_well(&mut server.process);
}

#[cfg(unix)]
#[test]
fn every_signal_ends_an_idle_and_a_busy_server() {
    for signal in ["TERM", "INT"] {
        let mut idle = Server::start(&[]);
        idle.process.signal(signal);
        assert_ends_well(&mut idle.process);
        let (mut server, _) = busy();
        server.process.signal(signal);
        assert_ends_well(&mut server.process);
    }
}

#[cfg(unix)]
#[test]
fn a_signal_before_the_first_message_ends_the_server() {
    let mut server = Server::spawn(&[]);
    // A process that has begun to log has begun to listen for signals.
    while !std::fs::read_to_string(format!("/proc/{}/status", server.process.id()))
        .is_ok_and(|status| catches_sigterm(&status))
    {
        assert!(server.process.ended(Duration::ZERO).is_none());
        std::thread::yield_now();
    }
    server.process.signal("TERM");
    assert_ends_well(&mut server.process);
}

/// Whether signal 15 is among the caught ones.
#[cfg(unix)]
fn catches_sigterm(status: &str) -> bool {
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << 14) != 0)
}

#[test]
fn the_queries_that_ran_are_canceled_and_say_why() {
    let (mut server, _) = busy();
    server.process.close_input();
    assert_ends_well(&mut server.process);
    let mut next = ServerProcess::start(crate::BINARY, &server.state_dir(), &[]);
    let listed = next.call("query_list", json!({}));
    for query in listed["queries"].as_array().unwrap() {
        assert_eq!(query["status"], "canceled", "{query}");
    }
    assert_eq!(listed["queries"].as_array().unwrap().len(), 2);
}

#[test]
fn the_handshake_is_answered_before_anything_is_opened() {
    let mut server = Server::spawn(&["--database", "sqlite:/nowhere/at/all.db"]);
    let hello = server.process.initialize();
    assert_eq!(hello["serverInfo"]["name"], "async-query-mcp");
    assert!(!server.state_dir().exists(), "the handshake must not open the state");
    let error =
        server.process.call_error("async_execute_query", json!({ "sql": "select 1", "wait_seconds": 20 }));
    assert!(error.contains("/nowhere/at/all.db"), "{error}");
    server.process.request("ping", json!({}));
}
