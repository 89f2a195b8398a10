//! The process is killed without warning, again and again; what a client was told stays true.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use support::server_process::ServerProcess;

use crate::{BINARY, ENDLESS, Schedule, Server};

#[test]
fn every_query_that_was_answered_is_known_after_a_kill() {
    let mut server = Server::start(&[]);
    let done = server.process.call("async_execute_query", json!({ "sql": "select 7" }))["query_id"].clone();
    let failed = server.process.submit("select * from missing");
    server.process.wait_for_end(&failed);
    let running = server.process.submit(ENDLESS);
    server.process.wait_until_running(&running);
    server.crash_and_restart();
    let page = server.process.call("query_result", json!({ "query_id": done }));
    assert_eq!(page["rows"], json!([[7]]));
    assert_eq!(server.process.wait_for_end(&failed)["status"], "failed");
    let status = server.process.wait_for_end(&running);
    assert_eq!(
        (&status["status"], &status["error"]["type"]),
        (&json!("failed"), &json!("engine_stopped")),
        "{status}"
    );
    let error = server.process.call_error("query_result", json!({ "query_id": running }));
    assert!(error.contains("submit"), "{error}");
}

#[test]
fn kills_at_random_moments_lose_nothing_that_was_answered() {
    let mut schedule = Schedule(20_261_121);
    let mut server = Server::start(&["--no-deduplicate"]);
    // One at least ends well, however slow the machine is.
    let done = server.process.submit("select 7");
    server.process.wait_for_end(&done);
    let mut statuses = HashMap::from([(done, String::new())]);
    for round in 0..40 {
        for _ in 0..=schedule.below(3) {
            let sql = ["select 7", ENDLESS, "select * from missing"][schedule.below(3) as usize];
            let id = server.process.submit(sql);
            statuses.insert(id, String::new());
        }
        if schedule.below(2) == 0 {
            let id = statuses.keys().next().unwrap().clone();
            server.process.post_call("query_cancel", json!({ "query_id": id }));
        }
        std::thread::sleep(Duration::from_micros(schedule.below(250_000)));
        server.process.kill();
        server.process = ServerProcess::start(BINARY, &server.state_dir(), &["--no-deduplicate"]);
        for (id, before) in &mut statuses {
            let now = server.process.wait_for_end(id)["status"].as_str().unwrap().to_owned();
            assert!(before.is_empty() || *before == now, "round {round}: {id} was {before} and is {now}");
            if now == "succeeded" {
                let page = server.process.call("query_result", json!({ "query_id": id }));
                assert_eq!(page["rows"], json!([[7]]), "round {round}");
            }
            *before = now;
        }
    }
    assert!(statuses.len() >= 40);
    let kinds: std::collections::HashSet<&String> = statuses.values().collect();
    assert!(kinds.len() >= 2, "the schedule shows too little: {kinds:?}");
}

#[test]
fn a_damaged_journal_is_told_and_mended_without_a_restart() {
    let mut server = Server::spawn(&[]);
    std::fs::create_dir_all(server.state_dir()).unwrap();
    let journal = server.state_dir().join("journal.db");
    std::fs::write(&journal, "this is no database, however long one looks at it").unwrap();
    server.process.initialize();
    let error = server.process.call_error("async_execute_query", json!({ "sql": "select 1" }));
    assert!(error.contains("journal.db") && error.contains("move it aside"), "{error}");
    std::fs::rename(&journal, server.state_dir().join("journal.damaged")).unwrap();
    let answer = server.process.call("async_execute_query", json!({ "sql": "select 1" }));
    assert_eq!(answer["rows"], json!([[1]]));
}
