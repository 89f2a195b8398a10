//! Answers that stay small whatever comes, and limits that say which flag they are.

use std::time::Duration;

use mcp_server::config::Settings;
use mcp_server::page::utf16;
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::QueryId;
use registry_core::registry::RegistryConfig;
use registry_core::testing::scripted::Script;
use serde_json::{Value, json};

use crate::world::{World, engine, text};

/// What a client may be sent in one form of an answer.
const HARD_BOUND: usize = 48 * 1024;

async fn sizes(world: &World, tool: &str, arguments: Value) -> (usize, usize) {
    let result = world.raw(tool, arguments).await;
    let structured = result.structured_content.as_ref().map_or(0, |facts| utf16(&facts.to_string()));
    (structured, utf16(&text(&result)))
}

/// A text of a megabyte that is nine times as long when it is spelled out.
fn megabyte() -> String {
    "\u{e0041}".repeat(1 << 18)
}

#[tokio::test(start_paused = true)]
async fn no_answer_is_longer_than_its_bound() {
    let long = megabyte();
    let wide: Vec<(String, &str)> = (0..10_000).map(|n| (format!("{n}{}", &long[..400]), "TEXT")).collect();
    let wide: Vec<(&str, &str)> = wide.iter().map(|(name, kind)| (name.as_str(), *kind)).collect();
    let named = [(long.as_str(), long.as_str())];
    let engine = crate::world::remote()
        .on("select cell", Script::at_once().with_rows(&[("t", "TEXT")], vec![vec![json!(long)]; 3]))
        .on("select name", Script::at_once().with_rows(&named, vec![vec![json!(1)]]))
        .on("select wide", Script::at_once().with_rows(&wide, vec![vec![json!(long[..80]); 10_000]]))
        .on("select many", Script::at_once().with_count(1_000_000))
        .on("select wrong", Script::at_once().then_fails(ErrorInfo::new(ErrorKind::Sql, long.clone())));
    let settings = Settings { page_chars: 48_000, ..Settings::default() };
    let world = World::with(engine, settings, RegistryConfig::default()).await;
    let label = "\u{e0041}".repeat(200);
    for sql in ["select cell", "select name", "select wide", "select many", "select wrong"] {
        let submitted = json!({"sql": sql, "label": label, "wait_seconds": 0});
        let id = world.call("async_execute_query", submitted).await.str("query_id").to_owned();
        for tool in ["query_result", "query_status", "query_cancel"] {
            let (structured, shown) = sizes(&world, tool, json!({"query_id": id})).await;
            assert!(
                structured <= HARD_BOUND && shown <= HARD_BOUND,
                "{tool} {sql}: {structured} and {shown}"
            );
        }
    }
    for arguments in [json!({}), json!({"limit": 200, "status": "failed"}), json!({"status": long})] {
        let (structured, shown) = sizes(&world, "query_list", arguments).await;
        assert!(structured <= HARD_BOUND && shown <= HARD_BOUND, "query_list: {structured} and {shown}");
    }
    let (_, shown) = sizes(&world, "query_result", json!({"query_id": long})).await;
    assert!(shown <= HARD_BOUND, "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_cut_cell_tells_its_place_and_its_size_and_the_pages_lose_nothing() {
    let rows: Vec<Vec<Value>> = (0..40)
        .map(|n| vec![json!(n), json!("é".repeat(if n % 7 == 3 { 100_000 + n } else { 5 }))])
        .collect();
    let script = Script::at_once().with_rows(&[("n", "NUMBER"), ("t", "TEXT")], rows);
    let world = World::over(crate::world::remote().on("select", script)).await;
    let mut answer = world.call("async_execute_query", json!({"sql": "select"})).await;
    let id = answer.str("query_id").to_owned();
    let (mut numbers, mut cuts) = (Vec::new(), Vec::new());
    loop {
        for row in answer.facts["rows"].as_array().unwrap() {
            numbers.push(row[0].as_u64().unwrap());
        }
        cuts.extend(answer.facts["cut_cells"].as_array().cloned().unwrap_or_default());
        let Some(next) = answer.facts["next_offset"].as_u64() else { break };
        answer = world.call("query_result", json!({"query_id": id, "offset": next})).await;
    }
    assert_eq!(numbers, (0..40).collect::<Vec<u64>>());
    let expected: Vec<Value> = (0..40)
        .filter(|n| n % 7 == 3)
        .map(|n| json!({"row": n, "column": 1, "characters": 100_000 + n}))
        .collect();
    assert_eq!(cuts, expected);
    let page = world.call("query_result", json!({"query_id": id, "offset": 3, "page_size": 1})).await;
    assert!(page.text.contains("ééé…(cut, 100,003 characters in all)"), "{}", page.text);
    assert!(page.str("next").contains("substr(column, start, length)"), "{}", page.str("next"));
}

#[tokio::test(start_paused = true)]
async fn every_limit_that_a_call_meets_names_its_flag() {
    let config = RegistryConfig {
        max_running: 1,
        max_queued: 0,
        max_statement_bytes: 100,
        ..RegistryConfig::default()
    };
    let settings = Settings { max_wait: Duration::from_secs(2), ..Settings::default() };
    let world = World::with(engine(), settings, config).await;
    let long = world.refused("async_execute_query", json!({"sql": "select x".repeat(101)})).await;
    assert!(long.contains("--max-statement-bytes") && long.contains("limit is 100"), "{long}");
    let running =
        world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 60})).await;
    assert!(running.str("message").contains("limited to 2 s (--max-wait-seconds)"), "{}", running.text);
    let full = world.refused("async_execute_query", json!({"sql": "select slow"})).await;
    assert!(full.contains("--max-running") && full.contains("--max-queued"), "{full}");
    assert!(full.contains("error.type: queue_full"), "{full}");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_guessed_ids_read_and_stop_nothing() {
    let world = World::new().await;
    let running =
        world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 0})).await;
    let known = running.str("query_id");
    let mut near: Vec<String> =
        ["", "../journal.db", "q_", "q_*", "%", "q_/../../etc/passwd", "Q_0"].map(str::to_owned).into();
    near.extend([
        known.to_uppercase(),
        known[..27].to_owned(),
        format!("{known}.rows"),
        format!("{known}\0"),
    ]);
    let guesses = near.into_iter().chain((0..10_000).map(|_| QueryId::generate().to_string()));
    for (place, guess) in guesses.enumerate() {
        let tool = ["query_result", "query_status", "query_cancel"][place % 3];
        let refused = world.refused(tool, json!({"query_id": guess})).await;
        assert!(refused.contains("error.type: not_found"), "{guess}: {refused}");
    }
    assert_eq!(world.engine.running(), 1);
    assert_eq!(world.engine.calls(registry_core::testing::scripted::Call::Cancel), 0);
}
