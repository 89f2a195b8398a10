//! The service as a program, over its restarts.

use serde_json::{Value, json};
use support::fake_snowflake::process::FakeProcess;

use crate::caller::{answer, world};

const BINARY: &str = env!("CARGO_BIN_EXE_fake-snowflake");

async fn get(url: String) -> Value {
    answer(reqwest::Client::new().get(url)).await.1
}

async fn api(address: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::builder().user_agent("tests/0").build().unwrap();
    let url = format!("{address}/api/v2/statements{path}");
    answer(client.request(method.parse().unwrap(), url).bearer_auth("t").json(body)).await
}

#[tokio::test]
async fn a_killed_service_comes_back_with_its_history() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (state, log) = (path("state"), path("log"));
    let arguments = ["--port", "0", "--state", &state, "--log", &log];
    let mut service = FakeProcess::start(BINARY, &arguments).unwrap();
    let (_, done) = api(&service.address, "POST", "", &json!({ "statement": "select 6 as a" })).await;
    let slow = json!({ "statement": "select 7 as a /* fake: runs=0.5 */" });
    let (_, running) = api(&service.address, "POST", "?async=true", &slow).await;
    service.kill();

    let service = FakeProcess::start(BINARY, &arguments).unwrap();
    for (before, value) in [(&done, "6"), (&running, "7")] {
        let path = format!("/{}", before["statementHandle"].as_str().unwrap());
        let (mut status, mut body) = api(&service.address, "GET", &path, &json!({})).await;
        while status == 202 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            (status, body) = api(&service.address, "GET", &path, &json!({})).await;
        }
        assert_eq!((status, &body["data"]), (200, &json!([[value]])));
    }
    let lines = std::fs::read_to_string(log).unwrap();
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).unwrap()["event"].is_string()));
    assert!(lines.contains("\"event\":\"submit\""));
}

#[tokio::test]
async fn faults_are_read_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("faults").display().to_string();
    std::fs::write(&path, r#"[{"endpoint":"submit","fault":"status","status":502}]"#).unwrap();
    let service = FakeProcess::start(BINARY, &["--port", "0", "--faults", &path]).unwrap();
    let body = json!({ "statement": "select 1" });
    assert_eq!(api(&service.address, "POST", "", &body).await.0, 502);
    assert_eq!(api(&service.address, "POST", "", &body).await.0, 200);
}

#[tokio::test]
async fn calls_are_counted_by_kind() {
    let world = world().await;
    let handle = world.api_start("select 1").await;
    world.api_end(&handle).await;
    let report = get(world.url(&format!("/fake/queries/{handle}"))).await;
    assert_eq!(report["calls"]["submit"], 1);
    assert!(report["calls"]["check"].as_u64() >= Some(1));
    let log = get(world.url("/fake/log")).await;
    assert_eq!(log[0]["call"], 1);
    assert!(log.as_array().unwrap().iter().any(|entry| entry["event"] == "execute"));
}

#[tokio::test]
async fn a_service_that_is_dropped_no_longer_answers() {
    let world = world().await;
    let address = world.fake.address.clone();
    world.api_start("select system$wait(30)").await;
    drop(world);
    reqwest::get(address).await.unwrap_err();
}
