//! SQL API v2, a test for each row of its tables.

use serde_json::{Value, json};

use crate::caller::{answer, world, world_with};

#[tokio::test]
async fn a_running_statement_is_202_and_a_finished_one_200() {
    let world = world().await;
    let sql = "select 42 as a, null as b /* fake: queued=0.05 runs=0.1 */";
    let (status, body) = world.api_submit("async=true&requestId=r1", json!({ "statement": sql })).await;
    assert_eq!((status, &body["code"]), (202, &json!("333334")));
    let handle = body["statementHandle"].as_str().unwrap();
    assert_eq!(body["statementStatusUrl"], format!("/api/v2/statements/{handle}"));
    let (status, body) = world.api_end(handle).await;
    assert_eq!((status, &body["code"], &body["sqlState"]), (200, &json!("090001"), &json!("00000")));
    assert_eq!(body["data"], json!([["42", null]]));
    assert_eq!(body["resultSetMetaData"]["rowType"][0]["name"], "A");
    assert_eq!(body["resultSetMetaData"]["format"], "jsonv2");
    assert_eq!(world.fake.query(handle).unwrap()["request_id"], "r1");
}

#[tokio::test]
async fn a_short_statement_without_async_is_answered_at_once_and_a_long_one_with_202() {
    let world = world_with(|options| options.set("hold", "0.1").unwrap()).await;
    assert_eq!(world.api_submit("", json!({ "statement": "select 1" })).await.0, 200);
    assert_eq!(world.api_submit("", json!({ "statement": "select system$wait(5)" })).await.0, 202);
}

#[tokio::test]
async fn partitions_are_gzip_and_complete() {
    let world = world_with(|options| options.set("partition_rows", "40").unwrap()).await;
    let sql = "select seq4() as n from table(generator(rowcount => 100))";
    let handle = world.api_start(sql).await;
    let (_, first) = world.api_end(&handle).await;
    let parts = first["resultSetMetaData"]["partitionInfo"].as_array().unwrap();
    assert_eq!(parts.iter().map(|part| part["rowCount"].as_u64().unwrap()).collect::<Vec<_>>(), [40, 40, 20]);
    let plain = reqwest::Client::builder().no_gzip().user_agent("x").build().unwrap();
    let request = plain.get(world.url(&format!("/api/v2/statements/{handle}?partition=2"))).bearer_auth("t");
    let raw = request.header("content-type", "application/json").send().await.unwrap();
    assert_eq!(raw.headers()["content-encoding"], "gzip");
    let (_, last) = world.api_check(&handle, "partition=2").await;
    assert_eq!(last.as_object().unwrap().keys().collect::<Vec<_>>(), ["data"]);
    assert_eq!(last["data"].as_array().unwrap().len(), 20);
    assert_eq!(last["data"][19][0], "99");
    assert_eq!(world.api_check(&handle, "partition=3").await.0, 400);
    assert_eq!(world.fake.query(&handle).unwrap()["calls"]["fetch"], 3);
}

#[tokio::test]
async fn every_type_is_a_text_of_its_form() {
    let world = world().await;
    let (_, body) = world.api_submit("", json!({ "statement": "select 1 /* fake: types rows=3 */" })).await;
    let columns = body["resultSetMetaData"]["rowType"].as_array().unwrap();
    let value = |name: &str, row: usize| {
        let place = columns.iter().position(|column| column["name"] == name).unwrap();
        (columns[place]["type"].as_str().unwrap(), body["data"][row][place].as_str().unwrap_or("null"))
    };
    let nines = format!("-{}", "9".repeat(38));
    for (name, row, kind, text) in [
        ("C_NUMBER", 1, "fixed", nines.as_str()),
        ("C_DECIMAL", 0, "fixed", "1234.5678901234"),
        ("C_REAL", 0, "real", "1.5"),
        ("C_BOOLEAN", 0, "boolean", "true"),
        ("C_BINARY", 0, "binary", "DEAD"),
        ("C_DATE", 0, "date", "18262"),
        ("C_TIME", 0, "time", "82919.000000001"),
        ("C_NTZ", 0, "timestamp_ntz", "1616174019.123456789"),
        ("C_NTZ", 1, "timestamp_ntz", "-1.500000000"),
        ("C_LTZ", 0, "timestamp_ltz", "1616174019.123456789"),
        ("C_TZ", 0, "timestamp_tz", "1616174019.123456789 1500"),
        ("C_VARIANT", 0, "variant", "{\"a\": [1, null]}"),
        ("C_NUMBER", 2, "fixed", "null"),
    ] {
        assert_eq!(value(name, row), (kind, text), "{name}");
    }
}

#[tokio::test]
async fn failures_are_422_with_code_and_state() {
    let world = world().await;
    for (sql, code, state) in [
        ("select nothing_like_it", "000904", "42000"),
        ("select * from nowhere", "002003", "42S02"),
        ("selec 1", "001003", "42000"),
        ("select 1; select 2", "000008", "0A000"),
        ("use role r", "391911", "0A000"),
    ] {
        let (status, body) = world.api_submit("async=true", json!({ "statement": sql })).await;
        assert_eq!((status, &body["code"], &body["sqlState"]), (422, &json!(code), &json!(state)), "{sql}");
        assert!(body["statementHandle"].is_string());
    }
    let handle = world.api_start("select 1 /* fake: fails=100051 */").await;
    let (status, body) = world.api_end(&handle).await;
    assert_eq!((status, &body["code"]), (422, &json!("100051")));
}

#[tokio::test]
async fn a_statement_past_its_timeout_is_408() {
    let world = world().await;
    let body = json!({ "statement": "select system$wait(30)", "timeout": 1 });
    let (_, body) = world.api_submit("async=true", body).await;
    let (status, body) = world.api_end(body["statementHandle"].as_str().unwrap()).await;
    assert_eq!((status, &body["code"]), (408, &json!("000630")));
}

#[tokio::test]
async fn a_cancel_stops_a_running_statement_and_no_other() {
    let world = world().await;
    let handle = world.api_start("select system$wait(30) /* fake: aborting=0.1 */").await;
    let cancel = |handle: &str| {
        world.api("POST", &format!("/api/v2/statements/{handle}/cancel")).header("content-length", "0")
    };
    let (status, body) = answer(cancel(&handle)).await;
    assert_eq!((status, &body["code"], &body["sqlState"]), (200, &json!("000604"), &json!("57014")));
    let (status, body) = world.api_end(&handle).await;
    assert_eq!((status, &body["code"]), (422, &json!("000604")));
    for handle in [handle.as_str(), "01b00000-0000-0000-0000-000000000000"] {
        let (status, body) = answer(cancel(handle)).await;
        assert_eq!((status, &body["code"], &body["sqlState"]), (422, &json!("000709"), &json!("02000")));
    }
}

#[tokio::test]
async fn a_result_expires() {
    let world = world().await;
    let handle = world.api_start("select 1").await;
    assert_eq!(world.api_end(&handle).await.0, 200);
    world.fake.set("result_validity", "0").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let (status, body) = world.api_check(&handle, "").await;
    assert_eq!((status, &body["code"]), (422, &json!("000709")));
}

#[tokio::test]
async fn a_request_id_with_retry_runs_once_and_without_runs_again() {
    let world = world().await;
    let body = json!({ "statement": "select 1 /* fake: runs=0.2 */" });
    let handle = |(_, body): (u16, Value)| body["statementHandle"].clone();
    let first = handle(world.api_submit("async=true&requestId=r", body.clone()).await);
    assert_eq!(handle(world.api_submit("async=true&requestId=r&retry=true", body.clone()).await), first);
    assert_ne!(handle(world.api_submit("async=true&requestId=r", body).await), first);
    world.api_end(first.as_str().unwrap()).await;
    let submits = world.fake.log.events("submit");
    assert_eq!(submits[1]["retry"], true);
    assert_eq!(submits[1]["duplicate"], true);
    let runs = world.fake.log.events("execute");
    assert_eq!(runs.iter().filter(|run| run["handle"] == first).count(), 1);
}

#[tokio::test]
async fn the_context_and_the_bindings_are_used() {
    let world = world().await;
    let body = json!({
        "statement": "select current_role(), current_warehouse(), ? + 1, ?", "role": "R", "warehouse": "W",
        "bindings": { "1": { "type": "FIXED", "value": "41" }, "2": { "type": "TEXT", "value": "x" } },
        "parameters": { "query_tag": "tag" },
    });
    let (_, body) = world.api_submit("", body).await;
    assert_eq!(body["data"], json!([["R", "W", "42", "x"]]));
    let sql = "select query_tag from table(SNOWFLAKE.information_schema.query_history_by_user()) where query_tag = 'tag'";
    let (_, body) = world.api_submit("", json!({ "statement": sql })).await;
    assert_eq!(body["data"], json!([["tag"]]));
}

#[tokio::test]
async fn bad_requests_have_their_statuses() {
    let world = world().await;
    let submit = || world.api("POST", "/api/v2/statements");
    for body in
        [json!({}), json!({ "statement": 1 }), json!({ "statement": "select 1", "parameters": { "x": 1 } })]
    {
        let (status, body) = answer(submit().json(&body)).await;
        assert_eq!((status, &body["code"]), (400, &json!("390142")));
    }
    let untyped = |method: &str, path: &str| {
        world.client.request(method.parse().unwrap(), world.url(path)).bearer_auth("token")
    };
    assert_eq!(answer(untyped("POST", "/api/v2/statements").body("{}")).await.0, 415);
    let handle = world.api_start("select 1").await;
    assert_eq!(answer(untyped("GET", &format!("/api/v2/statements/{handle}"))).await.0, 415);
    assert_eq!(answer(world.api("POST", &format!("/api/v2/statements/{handle}/cancel"))).await.0, 411);
    assert_eq!(answer(world.api("GET", "/api/v2/statements")).await.0, 405);
    assert_eq!(answer(world.api("GET", "/api/v3")).await.0, 404);
    let (status, body) = answer(world.client.post(world.url("/api/v2/statements"))).await;
    assert_eq!((status, &body["code"]), (401, &json!("390303")));
    world.fake.revoke("token");
    assert_eq!(answer(submit()).await.0, 401);
}

#[tokio::test]
async fn an_information_schema_of_no_database_needs_a_current_one() {
    let world = world().await;
    let sql = "select query_id from table(information_schema.query_history_by_user())";
    let (status, body) = world.api_submit("", json!({ "statement": sql })).await;
    assert_eq!((status, &body["code"]), (422, &json!("090105")), "{body}");
    let (status, body) = world.api_submit("", json!({ "statement": sql, "database": "DB" })).await;
    assert_eq!(status, 200, "{body}");
}
