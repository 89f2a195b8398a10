//! Two clients, two processes, one state directory.

use std::time::{Duration, Instant};

use serde_json::json;
use support::server_process::{PATIENCE, ServerProcess};

use crate::{BINARY, ENDLESS, Server};

/// Another process, which has opened the state.
fn second(server: &Server) -> ServerProcess {
    let mut second = ServerProcess::start(BINARY, &server.state_dir(), &[]);
    second.call("query_list", json!({}));
    second
}

#[test]
fn either_process_answers_for_the_queries_of_both() {
    let mut first = Server::start(&[]);
    let mut second = second(&first);
    let id = first.process.call("async_execute_query", json!({ "sql": "select 7" }))["query_id"].clone();
    assert_eq!(second.call("query_result", json!({ "query_id": id }))["rows"], json!([[7]]));
    let running = first.process.submit(ENDLESS);
    let status = second.call("query_status", json!({ "query_id": running, "wait_seconds": 0 }));
    assert!(matches!(status["status"].as_str(), Some("pending" | "running")), "{status}");
    let listed = second.call("query_list", json!({}));
    assert_eq!(listed["queries"].as_array().unwrap().len(), 2);
}

#[test]
fn a_cancel_from_the_other_process_stops_the_query_where_it_runs() {
    let mut first = Server::start(&[]);
    let mut second = second(&first);
    let id = first.process.submit(ENDLESS);
    first.process.wait_until_running(&id);
    let canceled = second.call("query_cancel", json!({ "query_id": id }));
    assert_eq!(canceled["reason"], "canceled", "{canceled}");
    assert_eq!(first.process.wait_for_end(&id)["status"], "canceled");
}

#[test]
fn a_waiter_learns_of_the_other_processes_change_within_about_a_second() {
    let mut first = Server::start(&[]);
    let mut second = second(&first);
    let id = first.process.submit(ENDLESS);
    let wait = second.post_call("query_result", json!({ "query_id": id, "wait_seconds": 50 }));
    second.request("ping", json!({}));
    first.process.call("query_cancel", json!({ "query_id": id }));
    let start = Instant::now();
    let answer = second.answer(wait);
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn the_other_process_takes_over_from_a_killed_one() {
    let mut first = Server::start(&[]);
    let mut second = second(&first);
    let id = first.process.submit(ENDLESS);
    first.process.wait_until_running(&id);
    let wait = second.post_call("query_status", json!({ "query_id": id, "wait_seconds": 50 }));
    second.request("ping", json!({}));
    first.process.kill();
    let start = Instant::now();
    let answer = second.answer(wait);
    assert_eq!(answer["result"]["structuredContent"]["error"]["type"], "engine_stopped", "{answer}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_query_of_a_killed_process_is_told_the_truth_of_at_the_first_question() {
    let mut first = Server::start(&[]);
    let mut second = second(&first);
    let id = first.process.submit(ENDLESS);
    first.process.wait_until_running(&id);
    first.process.kill();
    let status = second.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }));
    assert_eq!(status["error"]["type"], "engine_stopped", "{status}");
}

/// Has one row after another, without end, none of them at once.
const SLOW_ROWS: &str = "with recursive n(i) as (select 1 union all select i + 1 from n) select i, \
     (with recursive m(j) as (select n.i union all select j + 1 from m where j < n.i + 100000) \
     select count(*) from m) as steps from n";

/// The first figure above `past` that a server tells of a running query, in both of its tools.
fn rows_beyond(server: &mut ServerProcess, id: &str, past: u64) -> u64 {
    let end = Instant::now() + PATIENCE;
    loop {
        let status = server.call("query_status", json!({ "query_id": id, "wait_seconds": 0.1 }));
        let rows = status["rows_so_far"].as_u64().unwrap_or_default();
        if rows > past {
            let message = status["message"].as_str().unwrap();
            assert!(message.contains(&format!("{rows} rows so far")), "{status}");
            let listed = server.call("query_list", json!({}));
            assert!(listed["queries"][0]["rows"].as_u64() >= Some(rows), "{listed}");
            return rows;
        }
        assert!(Instant::now() < end, "{status}");
    }
}

#[test]
fn the_other_process_sees_the_rows_grow_and_none_once_the_query_has_ended_without_a_result() {
    let mut first = Server::start(&[]);
    let mut second = second(&first);
    let id = first.process.submit(SLOW_ROWS);
    let rows = rows_beyond(&mut second, &id, 0);
    rows_beyond(&mut second, &id, rows);
    second.call("query_cancel", json!({ "query_id": id }));
    for process in [&mut first.process, &mut second] {
        assert_eq!(process.wait_for_end(&id)["rows_so_far"], json!(null));
        assert_eq!(process.call("query_list", json!({}))["queries"][0]["rows"], json!(null));
    }
}

#[test]
fn a_query_that_was_never_sent_is_run_by_the_process_that_takes_it_over() {
    let mut first = Server::start(&["--max-running", "1", "--no-deduplicate"]);
    let mut second = ServerProcess::start(BINARY, &first.state_dir(), &[]);
    let endless = first.process.submit(ENDLESS);
    first.process.wait_until_running(&endless);
    let waiting = first.process.submit("select 7");
    first.process.kill();
    second.wait_for_end(&waiting);
    let page = second.call("query_result", json!({ "query_id": waiting }));
    assert_eq!(page["rows"], json!([[7]]), "{page}");
}

#[test]
fn a_living_process_keeps_its_queries_when_another_one_starts() {
    let mut first = Server::start(&[]);
    let id = first.process.submit(ENDLESS);
    for _ in 0..3 {
        let mut other = second(&first);
        let status = other.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }));
        assert!(matches!(status["status"].as_str(), Some("pending" | "running")), "{status}");
        other.kill();
    }
    first.process.wait_until_running(&id);
    assert_eq!(first.process.call("query_cancel", json!({ "query_id": id }))["reason"], "canceled");
}
