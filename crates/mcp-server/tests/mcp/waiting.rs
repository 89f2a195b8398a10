//! Waits: how long, what is told meanwhile, and what ends them.

use std::time::Duration;

use mcp_server::config::Settings;
use registry_core::registry::RegistryConfig;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest};
use rmcp::service::PeerRequestOptions;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::world::{World, engine};

const BOUND: Duration = Duration::from_secs(3600);

fn request(tool: &'static str, arguments: Value) -> ClientRequest {
    let params = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().cloned().unwrap());
    ClientRequest::CallToolRequest(CallToolRequest::new(params))
}

#[tokio::test(start_paused = true)]
async fn a_slow_query_takes_two_calls() {
    let world = World::new().await;
    let started = Instant::now();
    let submitted = world.call("async_execute_query", json!({"sql": "select slow"})).await;
    assert_eq!((submitted.str("status"), started.elapsed().as_secs()), ("running", 10));
    let next = submitted.str("next");
    assert!(next.contains("Still running normally") && next.contains("Do not resubmit"), "{next}");
    assert!(submitted.text.ends_with(next), "{}", submitted.text);
    let result = world.call("query_result", json!({"query_id": submitted.str("query_id")})).await;
    assert_eq!((result.str("status"), result.facts["rows"].clone()), ("succeeded", json!([[1]])));
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_shortened_to_the_servers_and_only_then_spoken_of() {
    let settings = Settings { max_wait: Duration::from_secs(5), ..Settings::default() };
    let world = World::with(engine(), settings, RegistryConfig::default()).await;
    let started = Instant::now();
    let by_default = world.call("async_execute_query", json!({"sql": "select endless"})).await;
    assert_eq!((by_default.facts["wait_seconds"].clone(), started.elapsed().as_secs()), (Value::Null, 5));
    let id = by_default.str("query_id").to_owned();
    for (tool, asked, told) in [
        ("query_result", json!(1000), json!(5.0)),
        ("query_status", json!(1e300), json!(5.0)),
        ("query_result", json!(2.5), Value::Null),
        ("query_status", json!(0), Value::Null),
    ] {
        let answer = world.call(tool, json!({"query_id": id, "wait_seconds": asked})).await;
        assert_eq!(answer.facts["wait_seconds"], told, "{tool} {asked}");
        assert_eq!(answer.text.contains("wait_seconds: 5"), !told.is_null(), "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_status_wait_ends_with_the_next_change() {
    let world = World::new().await;
    let submitted = world.call("async_execute_query", json!({"sql": "select slow", "wait_seconds": 0})).await;
    let id = submitted.str("query_id").to_owned();
    let mut version = submitted.facts["version"].as_u64().unwrap();
    let mut statuses = vec![submitted.str("status").to_owned()];
    let started = Instant::now();
    while started.elapsed() < BOUND && statuses.last().unwrap() != "succeeded" {
        let arguments = json!({"query_id": id, "version": version, "wait_seconds": 50});
        let status = world.call("query_status", arguments).await;
        assert_eq!(status.facts["changed"], json!(true));
        assert!(status.facts["version"].as_u64().unwrap() > version);
        version = status.facts["version"].as_u64().unwrap();
        statuses.push(status.str("status").to_owned());
    }
    statuses.dedup();
    assert_eq!(statuses, ["pending", "running", "succeeded"]);
    // An ended query answers at once, whatever version is named.
    let now = Instant::now();
    let ended = world.call("query_status", json!({"query_id": id, "version": version})).await;
    assert_eq!((ended.facts["changed"].clone(), now.elapsed().as_secs()), (json!(false), 0));
}

#[tokio::test(start_paused = true)]
async fn progress_is_told_every_three_seconds_and_always_grows() {
    let world = World::new().await;
    world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 16})).await;
    let told = world.client.service().progress.lock().unwrap().clone();
    assert!((4..=5).contains(&told.len()), "{told:?}");
    assert!(told.windows(2).all(|pair| pair[0].progress < pair[1].progress), "{told:?}");
    for progress in told {
        let message = progress.message.unwrap();
        assert!(message.starts_with("running: ") && message.chars().count() <= 200, "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn giving_up_a_call_ends_the_wait_and_not_the_query() {
    let world = World::new().await;
    let submitted = world.call("async_execute_query", json!({"sql": "select slow", "wait_seconds": 0})).await;
    let id = submitted.str("query_id").to_owned();
    let arguments = json!({"query_id": id, "wait_seconds": 50});
    let options = PeerRequestOptions::no_options();
    let waiting =
        world.client.send_cancellable_request(request("query_result", arguments), options).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    waiting.cancel(Some("tired".to_owned())).await.unwrap();
    let status = world.call("query_status", json!({"query_id": id, "wait_seconds": 0})).await;
    assert_eq!(status.str("status"), "running");
    let result = world.call("query_result", json!({"query_id": id, "wait_seconds": 50})).await;
    assert_eq!(result.facts["rows"], json!([[1]]));
    assert_eq!(world.engine.all_executions(), 1);
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_places_are_answered_with_what_to_do() {
    let settings = Settings { max_calls: 2, ..Settings::default() };
    let world = World::with(engine(), settings, RegistryConfig::default()).await;
    let submitted =
        world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 0})).await;
    let waiting = json!({"query_id": submitted.str("query_id"), "wait_seconds": 20});
    let third = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.refused("query_list", json!({})).await
    };
    let calls = (world.raw("query_result", waiting.clone()), world.raw("query_result", waiting), third);
    let (_, _, text) = tokio::join!(calls.0, calls.1, calls.2);
    assert!(text.contains("2 at a time") && text.contains("next: Wait"), "{text}");
    world.call("query_list", json!({})).await;
}
