//! The drivers' protocol, a test for each row of its tables.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::caller::{Session, World, answer, world, world_with};

async fn with_session() -> (World, Session) {
    let world = world().await;
    let session = world.session(json!({})).await;
    (world, session)
}

#[tokio::test]
async fn a_login_gives_tokens_and_refusals_have_their_codes() {
    let world = world().await;
    let body = world.login(json!({ "CLIENT_APP_ID": "x" })).await;
    assert_eq!(body["data"]["validityInSeconds"], 3600);
    assert_eq!(body["data"]["masterValidityInSeconds"], 14400);
    world.fake.revoke("bad");
    for (data, code) in [
        (json!({ "PASSWORD": "bad" }), "390100"),
        (json!({ "AUTHENTICATOR": "SNOWFLAKE_JWT", "TOKEN": "bad" }), "390144"),
        (json!({ "AUTHENTICATOR": "OAUTH", "TOKEN": "bad" }), "390303"),
        (json!({ "AUTHENTICATOR": "PROGRAMMATIC_ACCESS_TOKEN", "TOKEN": "bad" }), "394304"),
    ] {
        let body = world.login(data).await;
        assert_eq!((&body["code"], &body["success"]), (&json!(code), &json!(false)));
    }
    assert_eq!(
        world.login(json!({ "LOGIN_NAME": "mfa_user" })).await["data"]["nextAction"],
        "EXT_AUTHN_DUO_ALL"
    );
}

#[tokio::test]
async fn tokens_expire_and_are_renewed() {
    let (world, session) = with_session().await;
    let renew = async |token: &str| {
        let body = json!({ "oldSessionToken": session.token, "requestType": "RENEW" });
        world.call(token, "POST", "/session/token-request?requestId=r", body).await.1
    };
    let beat = async |token: &str| world.call(token, "POST", "/session/heartbeat", Value::Null).await;
    world.fake.expire_sessions();
    assert_eq!(beat(&session.token).await.1["code"], "390112");
    assert_eq!(renew(&session.token).await["code"], "390115");
    assert_eq!(renew("unheard of").await["code"], "390113");
    let renewed = renew(&session.master).await;
    let token = renewed["data"]["sessionToken"].as_str().unwrap();
    assert_eq!(beat(token).await.1["success"], true);
    assert_eq!(beat(&session.token).await.1["code"], "390112");
    world.fake.expire_masters();
    assert_eq!(renew(renewed["data"]["masterToken"].as_str().unwrap()).await["code"], "390114");
    let (status, body) = beat("unheard of").await;
    assert_eq!((status, &body["code"]), (401, &json!("390104")));
    world.fake.drop_sessions();
    assert_eq!(beat(token).await.1["code"], "390111");
}

#[tokio::test]
async fn statuses_follow_the_script() {
    let (world, session) = with_session().await;
    let sql = "select 1 /* fake: queued=held queued_reparing_warehouse=held resuming=held blocked=held restarted=held strange=held runs=held */";
    let id = world.start(&session, "r", sql).await;
    for status in [
        "QUEUED",
        "QUEUED_REPARING_WAREHOUSE",
        "RESUMING_WAREHOUSE",
        "BLOCKED",
        "RESTARTED",
        "STATUS_OF_TOMORROW",
        "RUNNING",
        "SUCCESS",
    ] {
        world.until(&session, &id, status).await;
        assert!(world.fake.step(&id));
    }
    for (script, status) in [
        ("fails=100051", "FAILED_WITH_ERROR"),
        ("incident", "FAILED_WITH_INCIDENT"),
        ("disconnected", "DISCONNECTED"),
    ] {
        let id = world.start(&session, script, &format!("select 1 /* fake: {script} */")).await;
        assert!(world.until(&session, &id, status).await["errorCode"].is_string());
    }
}

#[tokio::test]
async fn a_statement_without_data_is_an_empty_list_even_behind_two_slashes() {
    let (world, session) = with_session().await;
    let id = world.start(&session, "r", "select 1 /* fake: no_data=held */").await;
    let path = format!("/monitoring/queries//{id}");
    let (_, body) = world.call(&session.token, "GET", &path, Value::Null).await;
    assert_eq!(body["data"]["queries"], json!([]));
    world.fake.step(&id);
    assert_eq!(world.until(&session, &id, "SUCCESS").await["errorCode"], 0);
}

#[tokio::test]
async fn a_result_request_waits_and_says_when_it_is_too_early() {
    let (world, session) = with_session().await;
    world.fake.set("hold", "0.05").unwrap();
    let id = world.start(&session, "r", "select 1 as a /* fake: runs=held */").await;
    let early = world.result(&session, &id).await;
    assert_eq!((&early["code"], &early["success"]), (&json!("333333"), &json!(true)));
    world.fake.step(&id);
    world.fake.set("hold", "20").unwrap();
    let done = world.result(&session, &id).await;
    assert_eq!(done["data"]["rowset"], json!([["1"]]));
    assert_eq!(done["data"]["queryResultFormat"], "json");
    world.fake.set("result_validity", "0").unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(world.result(&session, &id).await["code"], "000612");
}

#[tokio::test]
async fn a_failure_is_an_envelope_with_its_code() {
    let (world, session) = with_session().await;
    let body =
        world.query(&session, "r", json!({ "sqlText": "select * from nowhere", "asyncExec": true })).await;
    assert_eq!((&body["code"], &body["success"]), (&json!("002003"), &json!(false)));
    assert_eq!(body["data"]["sqlState"], "42S02");
    let sql =
        json!({ "sqlText": "select system$wait(30)", "parameters": { "STATEMENT_TIMEOUT_IN_SECONDS": 1 } });
    assert_eq!(world.query(&session, "t", sql).await["code"], "000630");
    let two = json!({ "sqlText": "select 1; select 2" });
    assert_eq!(world.query(&session, "m", two).await["code"], "000008");
}

#[tokio::test]
async fn a_request_id_is_known_within_its_session_only() {
    let (world, session) = with_session().await;
    let id = world.start(&session, "same", "select system$wait(30)").await;
    assert_eq!(world.start(&session, "same", "select system$wait(30)").await, id);
    let other = world.session(json!({})).await;
    assert_ne!(world.start(&other, "same", "select system$wait(30)").await, id);
}

#[tokio::test]
async fn a_statement_is_cancelled_three_ways() {
    let (world, session) = with_session().await;
    let other = world.session(json!({})).await;
    let sql = "select system$wait(30) /* fake: aborting=held */";
    let id = world.start(&session, "r1", sql).await;
    let path = format!("/queries/{id}/abort-request");
    assert_eq!(world.call(&other.token, "POST", &path, json!({})).await.1["success"], true);
    world.until(&session, &id, "ABORTING").await;
    world.fake.step(&id);
    assert_eq!(world.until(&session, &id, "ABORTED").await["errorCode"], "000604");
    assert_eq!(world.call(&session.token, "POST", &path, json!({})).await.1["code"], "000605");

    let id = world.start(&session, "r2", sql).await;
    let (path, body) = ("/queries/v1/abort-request?requestId=r3", json!({ "requestId": "r2" }));
    assert_eq!(world.call(&other.token, "POST", path, body.clone()).await.1["code"], "000605");
    assert_eq!(world.call(&session.token, "POST", path, body).await.1["success"], true);
    world.fake.step(&id);
    world.until(&session, &id, "ABORTED").await;

    let id = world.start(&session, "r4", sql).await;
    let sql = format!("select system$cancel_query('{id}')");
    let body = world.query(&other, "r5", json!({ "sqlText": sql })).await;
    assert_eq!(body["data"]["rowset"], json!([[format!("query [{id}] terminated.")]]));
    world.fake.step(&id);
    world.until(&session, &id, "ABORTED").await;
    assert_eq!(world.result(&session, &id).await["data"]["sqlState"], "57014");
}

#[tokio::test]
async fn a_cancel_can_be_ignored() {
    let (world, session) = with_session().await;
    let id = world.start(&session, "r", "select 1 /* fake: runs=held ignores_cancel */").await;
    let path = format!("/queries/{id}/abort-request");
    assert_eq!(world.call(&session.token, "POST", &path, json!({})).await.1["success"], true);
    world.fake.step(&id);
    world.until(&session, &id, "SUCCESS").await;
}

#[tokio::test]
async fn a_logout_ends_the_statements_of_its_session_after_a_while() {
    let world = world_with(|options| options.set("logout_cancel_delay", "0.1").unwrap()).await;
    let (leaving, staying) = (world.session(json!({})).await, world.session(json!({})).await);
    let gone = world.start(&leaving, "r", "select system$wait(30)").await;
    let kept = world.start(&staying, "r", "select system$wait(30)").await;
    let logout = Instant::now();
    world.call(&leaving.token, "POST", "/session?delete=true", json!({})).await;
    world.until(&staying, &gone, "ABORTED").await;
    assert!(logout.elapsed() >= Duration::from_millis(100), "too early");
    assert_eq!(world.check(&staying, &kept).await["status"], "RUNNING");
    assert_eq!(world.call(&leaving.token, "POST", "/session/heartbeat", json!({})).await.1["code"], "390111");
}

#[tokio::test]
async fn a_silent_session_loses_its_statements_only_if_it_asked_for_that() {
    let world = world_with(|options| options.set("detach_grace", "0.3").unwrap()).await;
    let detached = world.session(json!({ "SESSION_PARAMETERS": { "ABORT_DETACHED_QUERY": true } })).await;
    let (attached, watching) = (world.session(json!({})).await, world.session(json!({})).await);
    let gone = world.start(&detached, "r", "select system$wait(30)").await;
    let kept = world.start(&attached, "r", "select 1 /* fake: runs=0.8 */").await;
    world.until(&watching, &gone, "ABORTED").await;
    world.until(&watching, &kept, "SUCCESS").await;
}

#[tokio::test]
async fn a_sync_statement_ends_with_its_connection() {
    let (world, session) = with_session().await;
    let request = world
        .client
        .post(world.url("/queries/v1/query-request?requestId=r"))
        .header("Authorization", format!("Snowflake Token=\"{}\"", session.token))
        .json(&json!({ "sqlText": "select system$wait(30)" }));
    let hanging = tokio::spawn(request.send());
    let query = loop {
        match world.fake.queries().pop() {
            Some(query) => break query,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    hanging.abort();
    world.until(&session, query["handle"].as_str().unwrap(), "ABORTED").await;
}

#[tokio::test]
async fn chunks_need_their_key_and_no_token() {
    let world = world_with(|options| {
        for (name, value) in [("inline_rows", "10"), ("chunk_rows", "40"), ("chunk_keys", "qrmk")] {
            options.set(name, value).unwrap();
        }
    })
    .await;
    let session = world.session(json!({})).await;
    let body = world.query(&session, "r", json!({ "sqlText": "select 1 /* fake: rows=100 */" })).await;
    let data = &body["data"];
    assert_eq!(data["rowset"].as_array().unwrap().len(), 10);
    let counts: Vec<_> = data["chunks"].as_array().unwrap().iter().map(|chunk| &chunk["rowCount"]).collect();
    assert_eq!(counts, [40, 40, 10]);
    let get = || world.client.get(data["chunks"][0]["url"].as_str().unwrap());
    let with_key = || {
        get()
            .header("x-amz-server-side-encryption-customer-algorithm", "AES256")
            .header("x-amz-server-side-encryption-customer-key", data["qrmk"].as_str().unwrap())
    };
    assert_eq!(answer(get()).await.0, 403);
    assert_eq!(answer(with_key().header("Authorization", "Snowflake Token=\"x\"")).await.0, 400);
    let text = with_key().send().await.unwrap().text().await.unwrap();
    let rows: Value = serde_json::from_str(&format!("[{text}]")).unwrap();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0][0]), (40, &json!("10")));

    world.fake.set("chunk_encoding_header", "false").unwrap();
    let bytes = with_key().send().await.unwrap().bytes().await.unwrap();
    let mut plain = String::new();
    flate2::read::GzDecoder::new(bytes.as_ref()).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, text);

    world.fake.set("url_validity", "0").unwrap();
    let id = data["queryId"].as_str().unwrap();
    let again = world.result(&session, id).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(answer(world.client.get(again["data"]["chunks"][0]["url"].as_str().unwrap())).await.0, 403);
}

#[tokio::test]
async fn the_program_and_its_session_choose_the_format() {
    let world = world().await;
    let json_wanted = json!({ "GO_QUERY_RESULT_FORMAT": "JSON" });
    for (data, format) in [
        (json!({}), "json"),
        (json!({ "CLIENT_APP_ID": "SomethingNew" }), "json"),
        (json!({ "CLIENT_APP_ID": "Go" }), "arrow"),
        (json!({ "CLIENT_APP_ID": "PythonConnector" }), "arrow"),
        (json!({ "CLIENT_APP_ID": "Go", "SESSION_PARAMETERS": json_wanted }), "json"),
    ] {
        let session = world.session(data).await;
        let body = world.query(&session, "r", json!({ "sqlText": "select 1" })).await;
        assert_eq!(body["data"]["queryResultFormat"], format);
        assert_eq!(body["data"]["rowsetBase64"].is_string(), format == "arrow");
        let body = world.query(&session, "s", json!({ "sqlText": "alter session set A = 1" })).await;
        assert_eq!(body["data"]["queryResultFormat"], "json");
    }
}

#[tokio::test]
async fn a_compressed_request_is_read() {
    let (world, session) = with_session().await;
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, br#"{"sqlText":"select 5"}"#).unwrap();
    let request = world
        .client
        .post(world.url("/queries/v1/query-request?requestId=r"))
        .header("Authorization", format!("Snowflake Token=\"{}\"", session.token))
        .header("Content-Encoding", "gzip")
        .body(encoder.finish().unwrap());
    assert_eq!(answer(request).await.1["data"]["rowset"], json!([["5"]]));
}
