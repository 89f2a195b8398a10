//! The end of the conversation: waits are answered, the registry is closed, nothing takes a second.

use std::time::Duration;

use mcp_server::config::Settings;
use mcp_server::lazy::LazyRegistry;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::world::{World, serve};

const SECOND: Duration = Duration::from_secs(1);

fn line(id: u64, method: &str, params: Value) -> String {
    format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
}

fn hello() -> String {
    let client = json!({"name": "test", "version": "0"});
    let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client});
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    format!("{}{initialized}\n", line(1, "initialize", params))
}

#[tokio::test(start_paused = true)]
async fn closed_input_answers_the_waits_and_ends_within_a_second() {
    let world = World::new().await;
    let submitted =
        world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 0})).await;
    let id = submitted.str("query_id");
    let (pipe, _, served) = serve(Settings::default(), LazyRegistry::opened(world.registry.clone()));
    let (reader, mut writer) = tokio::io::split(pipe);
    let mut lines = BufReader::new(reader).lines();
    let wait = json!({"name": "query_result", "arguments": {"query_id": id, "wait_seconds": 50}});
    writer.write_all(format!("{}{}", hello(), line(2, "tools/call", wait)).as_bytes()).await.unwrap();
    lines.next_line().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let closed = Instant::now();
    writer.shutdown().await.unwrap();
    let answer: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
    assert_eq!(answer["id"], json!(2));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("shutting down") && text.contains(id) && text.contains("query_status"), "{text}");
    timeout(SECOND, served).await.unwrap().unwrap().unwrap();
    assert!(closed.elapsed() < SECOND, "{:?}", closed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_signal_answers_the_waits_and_ends_within_a_second() {
    let world = World::new().await;
    let waiting = world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 50}));
    let signal = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.shutdown.cancel();
        Instant::now()
    };
    let (answer, signaled) = tokio::join!(waiting, signal);
    assert!(answer.text.contains("shutting down"), "{}", answer.text);
    world.served.await.unwrap().unwrap();
    assert!(signaled.elapsed() < SECOND, "{:?}", signaled.elapsed());
    // A remote query goes on, to be taken up by the next start.
    assert_eq!(world.engine.running(), 1);
    assert_eq!(world.engine.dropped_sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_its_first_word_is_no_error() {
    let registry = || LazyRegistry::new(Box::new(|| panic!("nothing may be opened")));
    let (pipe, _, served) = serve(Settings::default(), registry());
    drop(pipe);
    timeout(SECOND, served).await.unwrap().unwrap().unwrap();
    let (_pipe, shutdown, served) = serve(Settings::default(), registry());
    shutdown.cancel();
    timeout(SECOND, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_does_not_keep_the_process() {
    let world = World::new().await;
    let (mut pipe, shutdown, served) =
        serve(Settings::default(), LazyRegistry::opened(world.registry.clone()));
    pipe.write_all(hello().as_bytes()).await.unwrap();
    for id in 2..40 {
        pipe.write_all(line(id, "tools/list", json!({})).as_bytes()).await.unwrap();
    }
    tokio::time::sleep(SECOND).await;
    shutdown.cancel();
    timeout(SECOND, served).await.unwrap().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_no_message_does_not_end_the_conversation() {
    let world = World::new().await;
    let (pipe, _, _served) = serve(Settings::default(), LazyRegistry::opened(world.registry.clone()));
    let (reader, mut writer) = tokio::io::split(pipe);
    let mut lines = BufReader::new(reader).lines();
    writer.write_all(hello().as_bytes()).await.unwrap();
    lines.next_line().await.unwrap().unwrap();
    writer.write_all(b"not json\n{\"jsonrpc\":\n\n").await.unwrap();
    writer.write_all(line(2, "tools/list", json!({})).as_bytes()).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        answers.push((answer["error"]["code"].clone(), answer["id"].clone()));
    }
    assert_eq!(
        answers,
        [(json!(-32700), Value::Null), (json!(-32700), Value::Null), (Value::Null, json!(2))]
    );
}
