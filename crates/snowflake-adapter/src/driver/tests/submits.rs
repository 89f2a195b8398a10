use registry_core::backend::{Lookup, Progress, Rows};
use registry_core::error::ErrorKind;

use super::*;

fn is_statement(seen: &Seen) -> bool {
    seen.path == "/queries/v1/query-request" && seen.sql() == "select 1"
}

fn is_search(seen: &Seen) -> bool {
    seen.sql().contains("query_history_by_user")
}

#[tokio::test]
async fn a_submission_is_asynchronous_and_carries_id_tag_and_limits() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    let (bench, id) = (Bench::new(), RequestId::generate());
    let handle = session(&backend).await.submit(bench.submission(id, false)).await.unwrap();
    assert_eq!(handle.as_str(), ID);
    let seen = &server.submissions()[0];
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.query["requestId"], id.to_string());
    assert!(seen.query["clientStartTime"].len() >= 13, "milliseconds");
    assert!(!seen.query.contains_key("retryCount"));
    assert_eq!((&seen.body["sqlText"], &seen.body["asyncExec"]), (&"select 1".into(), &true.into()));
    let parameters = &seen.body["parameters"];
    assert_eq!(parameters["STATEMENT_TIMEOUT_IN_SECONDS"], 600);
    assert_eq!(parameters["MULTI_STATEMENT_COUNT"], 1);
    assert!(parameters["QUERY_TAG"].as_str().unwrap().contains(&id.to_string()));
    assert_eq!(seen.token(), r#"Snowflake Token="session-1""#);
}

#[tokio::test]
async fn code_333333_is_in_progress_too() {
    let server = Server::start(|seen| match seen {
        seen if is_statement(seen) => Reply::json(in_progress().replace("\"333334\"", "333333")),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    assert_eq!(Bench::new().submit(&mut session(&backend).await).await.unwrap().as_str(), ID);
}

#[tokio::test]
async fn a_result_at_once_is_kept_and_not_asked_for_again() {
    let server =
        Server::start(
            |seen| if is_statement(seen) { Reply::json(result(r#"[["7"]]"#)) } else { usual(seen) },
        )
        .await;
    let backend = backend(&server);
    let (bench, mut session) = (Bench::new(), session(&backend).await);
    let handle = bench.submit(&mut session).await.unwrap();
    session.changed(&handle).await;
    assert_eq!(session.check(&handle).await.unwrap(), Progress::Succeeded(Rows::AtEngine));
    let stored = session.fetch(&handle, bench.store.writer(QueryId::generate())).await.unwrap();
    assert_eq!(stored.rows, 1);
    assert_eq!(server.count(&format!("/queries/{ID}/result")), 0);
    assert_eq!(server.count(&format!("/monitoring/queries/{ID}")), 0);
}

#[tokio::test]
async fn an_error_at_once_rejects_the_statement_in_snowflakes_words() {
    let body = r#"{"data":{"errorCode":"001003","sqlState":"42000"},"code":"001003","message":"SQL compilation error: syntax","success":false}"#;
    let server =
        Server::start(move |seen| if is_statement(seen) { Reply::json(body) } else { usual(seen) }).await;
    let backend = backend(&server);
    let Err(SubmitError::Rejected(error)) = Bench::new().submit(&mut session(&backend).await).await else {
        panic!()
    };
    assert_eq!((error.kind, error.code_text.as_deref()), (ErrorKind::Sql, Some("001003")));
    assert!(error.message.contains("syntax"));
    backend.shut_down().await;
    assert_eq!(server.count("/session"), 1, "nothing runs, so the session is logged out");
}

#[tokio::test]
async fn json_that_is_no_answer_of_snowflakes_leaves_the_submission_in_doubt() {
    for body in ["{}", r#"{"error":"no upstream"}"#, r#"{"message":"blocked by policy"}"#] {
        let server =
            Server::start(move |seen| if is_statement(seen) { Reply::json(body) } else { usual(seen) }).await;
        let backend = backend(&server);
        let answer = Bench::new().submit(&mut session(&backend).await).await;
        assert!(matches!(answer, Err(SubmitError::Unclear(_))), "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn a_redirected_submission_was_not_sent_and_names_the_host_it_was_sent_to() {
    let server = Server::start(|seen| {
        let there = "https://elsewhere.invalid/secret";
        if is_statement(seen) { Reply::status(307, "").header("Location", there) } else { usual(seen) }
    })
    .await;
    let backend = backend(&server);
    let answer = Bench::new().submit(&mut session(&backend).await).await;
    let Err(SubmitError::NotSent(error)) = answer else { panic!("{answer:?}") };
    assert_eq!(error.0.kind, ErrorKind::Configuration);
    assert!(error.0.message.contains("elsewhere.invalid") && !error.0.message.contains("secret"), "{error}");
}

#[tokio::test]
async fn a_busy_service_gets_the_same_request_again_with_its_reason() {
    let server = Server::start(|seen| {
        let first = is_statement(seen) && !seen.query.contains_key("retryCount");
        if first { Reply::status(503, "{}") } else { usual(seen) }
    })
    .await;
    let backend = backend(&server);
    Bench::new().submit(&mut session(&backend).await).await.unwrap();
    let seen = server.submissions();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].query["requestId"], seen[1].query["requestId"]);
    assert_eq!((seen[1].query["retryCount"].as_str(), seen[1].query["retryReason"].as_str()), ("1", "503"));
}

#[tokio::test]
async fn an_expired_token_repeats_the_submission_with_the_same_id() {
    let server = Server::start(|seen| {
        let old = is_statement(seen) && seen.token().contains("session-1");
        if old { Reply::json(refusal("390112")) } else { usual(seen) }
    })
    .await;
    let backend = backend(&server);
    Bench::new().submit(&mut session(&backend).await).await.unwrap();
    let seen = server.submissions();
    assert_eq!((seen.len(), &seen[0].query["requestId"]), (2, &seen[1].query["requestId"]));
}

#[tokio::test]
async fn a_submission_refused_for_a_lost_session_goes_out_over_a_new_one() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/session/v1/login-request" => Reply::json(login(&format!("session-{}", seen.nth), "master")),
        _ if is_statement(seen) && seen.token().contains("session-1") => Reply::json(refusal("390111")),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    assert!(Bench::new().submit(&mut session(&backend).await).await.is_ok());
}

#[tokio::test]
async fn a_repeat_after_a_lost_answer_goes_over_the_same_session_with_the_same_id() {
    let server = Server::start(|seen| {
        // One call makes three tries; all their answers get lost.
        let lost =
            is_statement(seen) && seen.query.get("retryReason").is_none_or(|r| r == "0") && seen.nth <= 4;
        if lost { Reply::lost() } else { usual(seen) }
    })
    .await;
    let backend = backend(&server);
    let (bench, id) = (Bench::new(), RequestId::generate());
    let first = session(&backend).await.submit(bench.submission(id, false)).await;
    assert!(matches!(first, Err(SubmitError::Unclear(_))), "{first:?}");
    let mut other = session(&backend).await;
    assert_eq!(other.submit(bench.submission(id, true)).await.unwrap().as_str(), ID);
    let seen = server.submissions();
    assert!(seen.iter().all(|seen| seen.query["requestId"] == id.to_string() && !is_search(seen)));
    let first_tries = seen.iter().filter(|seen| !seen.query.contains_key("retryCount")).count();
    assert_eq!(first_tries, 1, "a repeat says that it is one");
    assert_eq!(server.count("/session/v1/login-request"), 1);
}

#[tokio::test]
async fn a_repeat_whose_session_is_gone_searches_instead_of_running_twice() {
    let found = result(&format!(r#"[["{ID}"]]"#));
    let server = Server::start(move |seen| match seen {
        seen if is_search(seen) => Reply::json(found.clone()),
        seen if is_statement(seen) && seen.nth <= 4 => Reply::lost(),
        seen if is_statement(seen) => Reply::json(refusal("390111")),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    let (bench, id) = (Bench::new(), RequestId::generate());
    let mut session = session(&backend).await;
    assert!(session.submit(bench.submission(id, false)).await.is_err());
    assert_eq!(session.submit(bench.submission(id, true)).await.unwrap().as_str(), ID);
    let after_loss = server.submissions().iter().filter(|seen| is_statement(seen)).count();
    assert_eq!(
        after_loss, 4,
        "three lost tries and one that the ended session refused; none over the new one"
    );
}

#[tokio::test]
async fn a_repeat_by_another_process_searches_and_sends_nothing() {
    let server =
        Server::start(|seen| if is_search(seen) { Reply::json(result("[]")) } else { usual(seen) }).await;
    let backend = backend(&server);
    let answer = session(&backend).await.submit(Bench::new().submission(RequestId::generate(), true)).await;
    assert!(matches!(answer, Err(SubmitError::NotSent(_))), "{answer:?}");
    assert!(!server.submissions().iter().any(is_statement));
}

#[tokio::test]
async fn a_repeat_that_is_turned_away_counts_as_not_sent_and_leaves_the_first_one_in_doubt() {
    let server = Server::start(|seen| match seen {
        seen if is_search(seen) => Reply::json(result("[]")),
        seen if is_statement(seen) && seen.nth <= 4 => Reply::lost(),
        seen if is_statement(seen) => Reply::status(429, "{}"),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    let (bench, id) = (Bench::new(), RequestId::generate());
    let mut session = session(&backend).await;
    assert!(matches!(session.submit(bench.submission(id, false)).await, Err(SubmitError::Unclear(_))));
    assert!(matches!(session.submit(bench.submission(id, true)).await, Err(SubmitError::NotSent(_))));
    assert_eq!(session.lookup(id).await.unwrap(), Lookup::Missing, "the first one may still arrive");
    backend.shut_down().await;
    assert_eq!(server.count("/session"), 0, "a logout would stop what arrived");
}

#[tokio::test]
async fn a_first_submission_that_is_turned_away_never_arrived() {
    let server =
        Server::start(|seen| if is_statement(seen) { Reply::status(429, "{}") } else { usual(seen) }).await;
    let backend = backend(&server);
    let (bench, id) = (Bench::new(), RequestId::generate());
    let mut session = session(&backend).await;
    assert!(matches!(session.submit(bench.submission(id, false)).await, Err(SubmitError::NotSent(_))));
    assert_eq!(session.lookup(id).await.unwrap(), Lookup::NeverArrived);
}

#[tokio::test]
async fn a_lookup_finds_a_statement_by_the_request_id_in_its_tag() {
    let found = result(&format!(r#"[["{ID}"]]"#));
    let server =
        Server::start(move |seen| if is_search(seen) { Reply::json(found.clone()) } else { usual(seen) })
            .await;
    let backend = backend(&server);
    let id = RequestId::generate();
    let lookup = session(&backend).await.lookup(id).await.unwrap();
    assert_eq!(lookup, Lookup::Found(RemoteHandle::new(ID)));
    let search = &server.submissions()[0];
    assert!(search.sql().contains(&id.to_string()) && search.body["asyncExec"] == false);
    assert!(!search.body["parameters"].to_string().contains(&id.to_string()), "it must not find itself");
}

#[tokio::test]
async fn a_lookup_needs_no_current_database() {
    let server =
        Server::start(|seen| if is_search(seen) { Reply::json(result("[]")) } else { usual(seen) }).await;
    let without = session(&backend(&server)).await.lookup(RequestId::generate()).await;
    let context = StatementContext { database: Some("DB".to_owned()), ..StatementContext::default() };
    let config = SnowflakeConfig { context, ..config(&server) };
    let other = DriverBackend::new(&config, options()).unwrap();
    let with = session(&other).await.lookup(RequestId::generate()).await;
    assert_eq!((without, with), (Ok(Lookup::Missing), Ok(Lookup::Missing)));
    let searches: Vec<String> = server.submissions().iter().map(|seen| seen.sql().to_owned()).collect();
    assert!(searches[0].contains("table(SNOWFLAKE.information_schema."), "{searches:?}");
    assert!(searches[1].contains("table(information_schema."), "{searches:?}");
}

#[tokio::test]
async fn a_lookup_of_what_nobody_knows_is_missing() {
    let server =
        Server::start(|seen| if is_search(seen) { Reply::json(result("[]")) } else { usual(seen) }).await;
    let backend = backend(&server);
    assert_eq!(session(&backend).await.lookup(RequestId::generate()).await.unwrap(), Lookup::Missing);
}

#[tokio::test]
async fn a_handle_of_another_form_is_no_data_and_reaches_no_address() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    let strange = RemoteHandle::new("../../session?delete=true");
    assert_eq!(session(&backend).await.check(&strange).await.unwrap(), Progress::NoData);
    assert!(server.seen("/session").is_empty());
}

#[tokio::test]
async fn the_long_poll_announces_the_end_and_brings_the_result() {
    let ended = std::sync::Arc::new(tokio::sync::Notify::new());
    let hold = std::sync::Arc::clone(&ended);
    let path = format!("/queries/{ID}/result");
    let server = Server::start(move |seen| match seen.path.as_str() {
        path if path.ends_with("/result") => Reply::json(result(r#"[["7"]]"#)).held(&hold),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    let (bench, mut session) = (Bench::new(), session(&backend).await);
    let handle = bench.submit(&mut session).await.unwrap();
    for _ in 0..3 {
        // A driver drops it at every timer; the question at Snowflake stays open.
        assert!(tokio::time::timeout(Duration::from_millis(5), session.changed(&handle)).await.is_err());
    }
    server.asked(&path, 1).await;
    ended.notify_one();
    tokio::time::timeout(Duration::from_secs(5), session.changed(&handle)).await.unwrap();
    assert_eq!(session.check(&handle).await.unwrap(), Progress::Succeeded(Rows::AtEngine));
    session.fetch(&handle, bench.store.writer(QueryId::generate())).await.unwrap();
    assert_eq!((server.count(&path), server.count(&format!("/monitoring/queries/{ID}"))), (1, 0));
}

#[tokio::test]
async fn a_service_that_does_not_hold_the_long_poll_is_asked_only_once() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    let (bench, mut session) = (Bench::new(), session(&backend).await);
    let handle = bench.submit(&mut session).await.unwrap();
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(50), session.changed(&handle)).await.is_err());
    }
    assert_eq!(server.count(&format!("/queries/{ID}/result")), 1);
}
