//! While a statement runs for a minute, everything else is answered, and a cancel ends it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::{ENDLESS, Server};

/// Far less than the statement takes, far more than an answer does on a slow machine.
const AT_ONCE: Duration = Duration::from_secs(30);

#[test]
fn everything_is_answered_while_a_long_statement_runs() {
    let mut server = Server::start(&[]);
    let id = server.process.submit(ENDLESS);
    server.process.wait_until_running(&id);
    let start = Instant::now();
    server.process.request("ping", json!({}));
    assert_eq!(
        server.process.request("tools/list", json!({}))["result"]["tools"].as_array().unwrap().len(),
        5
    );
    let quick = server.process.call("async_execute_query", json!({ "sql": "select 1" }));
    assert_eq!(quick["rows"], json!([[1]]));
    let status = server.process.call("query_status", json!({ "query_id": id, "wait_seconds": 0 }));
    assert_eq!(status["status"], "running", "{status}");
    assert!(start.elapsed() < AT_ONCE, "{:?}", start.elapsed());
}

#[cfg(target_os = "linux")]
#[test]
fn a_cancel_ends_it_and_the_processor_is_idle_after() {
    let mut server = Server::start(&[]);
    let id = server.process.submit(ENDLESS);
    server.process.wait_until_running(&id);
    let canceled = server.process.call("query_cancel", json!({ "query_id": id }));
    assert_eq!(
        (&canceled["canceled"], &canceled["reason"]),
        (&json!(true), &json!("canceled")),
        "{canceled}"
    );
    // A hundredth of a second of work in a quarter of a second is idle; a running statement would use all of it.
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let before = server.process.cpu_ticks();
        std::thread::sleep(Duration::from_millis(250));
        if server.process.cpu_ticks() - before <= 1 {
            return;
        }
        assert!(Instant::now() < end, "the statement still runs");
    }
}

#[test]
fn a_wait_that_its_client_gives_up_leaves_the_query_running_and_gets_no_answer() {
    let mut server = Server::start(&[]);
    let id = server.process.submit(ENDLESS);
    server.process.wait_until_running(&id);
    let wait = server.process.post_call("query_result", json!({ "query_id": id, "wait_seconds": 50 }));
    let params = json!({ "requestId": wait, "reason": "the client's patience is over" });
    server.process.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params }));
    let status = server.process.call("query_status", json!({ "query_id": id, "wait_seconds": 1 }));
    assert_eq!(status["status"], "running");
    assert!(server.process.other_messages.iter().all(|message| message["id"] != wait));
}

#[test]
fn a_large_result_is_paged_from_either_end_in_little_memory() {
    let mut server = Server::start(&[]);
    let rows = 400_000;
    let sql = format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows}) \
         select i, i, i, i, i, 'some text', 'some more text', i * 1.5, null, i from n"
    );
    let id = server.process.submit(&sql);
    let status = server.process.wait_for_end(&id);
    assert_eq!(status["status"], "succeeded", "{status}");
    let last = json!({ "query_id": id, "offset": rows - 10, "page_size": 100 });
    let page = server.process.call("query_result", last);
    assert_eq!((&page["total_rows"], &page["has_more"]), (&json!(rows), &json!(false)));
    assert_eq!((page["rows"].as_array().unwrap().len(), &page["rows"][9][0]), (10, &json!(rows)));
    #[cfg(target_os = "linux")]
    assert!(server.process.peak_memory() < 100_000_000, "{} bytes", server.process.peak_memory());
}
