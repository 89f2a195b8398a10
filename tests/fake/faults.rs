//! Every fault does what its name says.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::fake_snowflake::faults::{Fault, Misbehaviour};

use crate::caller::{World, answer, world};

fn submission(world: &World) -> reqwest::RequestBuilder {
    world.api("POST", "/api/v2/statements?async=true&requestId=r").json(&json!({ "statement": "select 1" }))
}

#[tokio::test]
async fn an_answer_is_lost_before_or_after_the_effect() {
    for kind in [Misbehaviour::Lost, Misbehaviour::Reset] {
        let world = world().await;
        world.fake.faults.add(Fault::once("submit", kind.clone()));
        submission(&world).send().await.unwrap_err();
        assert_eq!(world.fake.queries().len(), 0, "{kind:?}");
        world.fake.faults.add(Fault::once("submit", kind.clone()).after_effect());
        submission(&world).send().await.unwrap_err();
        assert_eq!(world.fake.queries().len(), 1, "{kind:?}");
        assert!(world.fake.log.events("submit")[1]["fault"].is_string());
        assert_eq!(answer(submission(&world)).await.0, 202, "the fault was for one call");
    }
}

#[tokio::test]
async fn a_reset_is_told_from_a_close() {
    let world = world().await;
    world.fake.faults.add(Fault::once("submit", Misbehaviour::Reset));
    let error = submission(&world).send().await.unwrap_err();
    assert!(format!("{error:?}").contains("reset"), "{error:?}");
    world.fake.faults.add(Fault::once("submit", Misbehaviour::Lost));
    let error = submission(&world).send().await.unwrap_err();
    assert!(!format!("{error:?}").contains("reset"), "{error:?}");
}

#[tokio::test]
async fn statuses_come_as_often_as_scripted() {
    let world = world().await;
    for status in [401, 429, 500, 502, 503, 504] {
        let kind = Misbehaviour::Status { status, retry_after: Some(1) };
        world.fake.faults.add(Fault::once("any", kind).times(2));
        for _ in 0..2 {
            let got = submission(&world).send().await.unwrap();
            assert_eq!(
                (got.status().as_u16(), &got.headers()["retry-after"]),
                (status, &"1".parse().unwrap())
            );
        }
        assert!(world.fake.faults.waiting().is_empty());
    }
    assert!(world.fake.queries().is_empty());
    let faults = json!([{ "endpoint": "submit", "fault": "status", "status": 503, "skip": 1 }]);
    answer(world.client.post(world.url("/fake/faults")).json(&faults)).await;
    assert_eq!(answer(submission(&world)).await.0, 202);
    assert_eq!(answer(submission(&world)).await.0, 503);
}

#[tokio::test]
async fn a_busy_status_still_says_running() {
    let world = world().await;
    let handle = world.api_start("select system$wait(30)").await;
    world.fake.faults.add(Fault::once("check", Misbehaviour::BusyStatus));
    let (status, body) = world.api_check(&handle, "").await;
    assert_eq!((status, &body["code"], &body["statementHandle"]), (429, &json!("333334"), &json!(handle)));
}

#[tokio::test]
async fn an_error_code_of_the_driver_can_be_scripted() {
    let world = world().await;
    let session = world.session(json!({})).await;
    world.fake.faults.add(Fault::once("submit", Misbehaviour::Code { code: "390111".to_owned() }));
    assert_eq!(world.query(&session, "r", json!({ "sqlText": "select 1" })).await["code"], "390111");
}

#[tokio::test]
async fn answers_are_slow_or_never_come() {
    let world = world().await;
    for kind in [Misbehaviour::SlowHeaders { ms: 300 }, Misbehaviour::SlowBody { ms: 30 }] {
        world.fake.faults.add(Fault::once("submit", kind));
        let start = Instant::now();
        assert_eq!(answer(submission(&world)).await.0, 202);
        assert!(start.elapsed() >= Duration::from_millis(280));
    }
    world.fake.faults.add(Fault::once("submit", Misbehaviour::HalfOpen));
    let error = submission(&world).timeout(Duration::from_millis(200)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
}

#[tokio::test]
async fn bodies_are_broken_in_every_way() {
    let world = world().await;
    for kind in [Misbehaviour::CutBody, Misbehaviour::TruncatedGzip] {
        world.fake.faults.add(Fault::once("submit", kind));
        let got = submission(&world).send().await.unwrap();
        assert_eq!(got.status(), 202);
        got.bytes().await.unwrap_err();
    }
    for kind in [Misbehaviour::NotJson, Misbehaviour::HalfJson, Misbehaviour::Html { status: 200 }] {
        world.fake.faults.add(Fault::once("submit", kind.clone()));
        let got = submission(&world).send().await.unwrap();
        let html = matches!(kind, Misbehaviour::Html { .. });
        assert_eq!(got.headers()["content-type"] == "text/html", html);
        serde_json::from_str::<Value>(&got.text().await.unwrap()).unwrap_err();
    }
    world.fake.faults.add(Fault::once("submit", Misbehaviour::HugeBody { bytes: 8 << 20 }));
    assert!(submission(&world).send().await.unwrap().bytes().await.unwrap().len() >= 8 << 20);
}

#[tokio::test]
async fn answers_lead_astray() {
    let world = world().await;
    let location = "https://elsewhere.invalid/".to_owned();
    world.fake.faults.add(Fault::once("submit", Misbehaviour::Redirect { location: location.clone() }));
    let got = submission(&world).send().await.unwrap();
    assert_eq!(
        (got.status().as_u16(), got.headers()["location"].to_str().unwrap()),
        (307, location.as_str())
    );

    let first = world.api_start("select 1").await;
    world.fake.faults.add(Fault::once("submit", Misbehaviour::DuplicateHandle));
    assert_eq!(world.api_start("select 2").await, first);

    world.fake.faults.add(Fault::once("submit", Misbehaviour::ClockSkew { seconds: -86_400 }));
    let skewed = submission(&world).send().await.unwrap().headers()["date"].clone();
    let right = submission(&world).send().await.unwrap().headers()["date"].clone();
    assert_ne!(skewed, right);
}

#[tokio::test]
async fn chunk_addresses_can_lead_to_another_host() {
    let world = world().await;
    world.fake.set("inline_rows", "0").unwrap();
    let session = world.session(json!({})).await;
    let base = "http://bucket.invalid".to_owned();
    world.fake.faults.add(Fault::once("submit", Misbehaviour::ForeignChunks { base }));
    let body = world.query(&session, "r", json!({ "sqlText": "select 1" })).await;
    let url = body["data"]["chunks"][0]["url"].as_str().unwrap();
    assert!(url.starts_with("http://bucket.invalid/chunks/"), "{url}");
}
