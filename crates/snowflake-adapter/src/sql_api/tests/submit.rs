//! Submissions.

use super::*;

#[tokio::test]
async fn a_submission_carries_all_that_the_statement_needs() {
    let mut bench = Bench::new([running()]).await;
    assert_eq!(bench.submit().await, Ok(handle()));
    let seen = &bench.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/api/v2/statements"));
    assert_eq!(seen.query("async"), Some("true"));
    assert_eq!(seen.query("nullable"), Some("true"));
    assert_eq!(seen.query("requestId"), Some(bench.request_id.to_string().as_str()));
    assert_eq!(seen.query("retry"), None);
    assert_eq!(seen.header("authorization"), Some("Bearer token"));
    assert_eq!(seen.header("x-snowflake-authorization-token-type"), Some("OAUTH"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.body["statement"], "select 1");
    assert_eq!(seen.body["timeout"], 3600);
    assert_eq!(
        (&seen.body["role"], &seen.body["warehouse"], &seen.body["database"]),
        (&json!("R"), &json!("W"), &json!("D"))
    );
    assert_eq!(seen.body.get("schema"), None);
    assert_eq!(seen.body["parameters"]["multi_statement_count"], "1");
    let tag: Value = serde_json::from_str(seen.body["parameters"]["query_tag"].as_str().unwrap()).unwrap();
    assert_eq!(tag, json!({"app": "async-query-mcp", "request_id": bench.request_id.to_string()}));
}

#[tokio::test]
async fn submit_202_is_taken() {
    let mut bench = Bench::new([running(), running()]).await;
    assert_eq!(bench.submit().await, Ok(handle()));
    assert_eq!(bench.check().await, Ok(Progress::Running(RemotePhase::Running)));
}

#[tokio::test]
async fn submit_202_without_a_handle_is_unclear() {
    for body in [r#"{"code":"333334"}"#, r#"{"code":"333334","statementHandle":"../../etc"}"#, "", "<"] {
        let mut bench = Bench::new([Step::json(202, body)]).await;
        assert_eq!(unclear(bench.submit().await).kind, ErrorKind::Protocol, "{body}");
    }
}

#[tokio::test]
async fn submit_200_with_a_result_is_not_asked_for_again() {
    let mut bench = Bench::new([result(&[2])]).await;
    assert_eq!(bench.submit().await, Ok(handle()));
    assert_eq!(bench.check().await, Ok(Progress::Succeeded(Rows::AtEngine)));
    let stored = bench.fetch().await.unwrap();
    assert_eq!((stored.rows, stored.total_rows), (2, Some(2)));
    assert_eq!(bench.rows(), [[json!(1)], [json!(2)]]);
    assert_eq!(bench.seen().len(), 1, "everything came with the submission");
}

#[tokio::test]
async fn submit_200_with_the_code_of_running_is_taken_as_running() {
    let mut bench = Bench::new([coded(200, "333334"), running()]).await;
    assert_eq!(bench.submit().await, Ok(handle()));
    assert_eq!(bench.check().await, Ok(Progress::Running(RemotePhase::Running)));
}

#[tokio::test]
async fn submit_400_is_rejected() {
    let error = rejected(Bench::new([coded(400, "390142")]).await.submit().await);
    assert_eq!(
        (error.kind, error.code, error.code_text.as_deref()),
        (ErrorKind::Protocol, Some(390_142), Some("390142"))
    );
}

#[tokio::test]
async fn submit_401_is_rejected_when_there_is_no_newer_credential() {
    let mut bench = Bench::new([coded(401, "390303")]).await;
    assert_eq!(rejected(bench.submit().await).kind, ErrorKind::Authentication);
    assert_eq!(bench.seen().len(), 1, "the same credential is not sent twice");
}

#[tokio::test]
async fn submit_401_is_sent_again_with_a_newer_credential() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "old").unwrap();
    let source = SecretSource::File(file.path().to_owned());
    let credentials = Credentials::OAuth(source);
    let change = |config: &mut SnowflakeConfig| config.credentials = credentials;
    let mut bench = Bench::with([coded(401, "390318"), running()], ResultLimits::default(), change).await;
    std::fs::write(&file, "new").unwrap();
    assert_eq!(bench.submit().await, Ok(handle()));
    let tokens: Vec<_> =
        bench.seen().iter().map(|seen| seen.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["Bearer old", "Bearer new"]);
}

#[tokio::test]
async fn submit_403_is_rejected() {
    let error = rejected(Bench::new([coded(403, "390422")]).await.submit().await);
    assert_eq!(error.kind, ErrorKind::Configuration);
}

#[tokio::test]
async fn submit_404_is_rejected_as_a_wrong_address() {
    for step in [Step::html(404), Step::status(404)] {
        assert_eq!(rejected(Bench::new([step]).await.submit().await).kind, ErrorKind::Configuration);
    }
}

#[tokio::test]
async fn submit_405_and_415_are_rejected() {
    for status in [405, 415] {
        assert_eq!(
            rejected(Bench::new([Step::status(status)]).await.submit().await).kind,
            ErrorKind::Protocol
        );
    }
}

#[tokio::test]
async fn submit_408_with_a_handle_is_a_statement_that_ran_out_of_time() {
    let mut bench = Bench::new([coded(408, "000630")]).await;
    assert_eq!(bench.submit().await, Ok(handle()));
    assert_eq!(bench.check().await, Ok(Progress::TimedOut));
}

#[tokio::test]
async fn submit_422_is_rejected_with_snowflakes_words_and_code() {
    let error = rejected(Bench::new([coded(422, "000904")]).await.submit().await);
    assert_eq!((error.kind, error.code_text.as_deref()), (ErrorKind::Sql, Some("000904")));
    assert!(error.message.contains("words"));
}

#[tokio::test]
async fn submit_422_of_several_statements_says_to_send_one() {
    let error = rejected(Bench::new([coded(422, "000008")]).await.submit().await);
    assert!(error.message.contains("one statement at a time"), "{}", error.message);
}

#[tokio::test]
async fn submit_422_of_a_repeat_is_the_end_of_the_statement() {
    for (code, end) in
        [("000604", Some(Progress::Aborted)), ("000630", Some(Progress::TimedOut)), ("100132", None)]
    {
        let mut bench = Bench::new([coded(422, code)]).await;
        let repeat = bench.submission(true);
        assert_eq!(bench.session.submit(repeat).await, Ok(handle()));
        assert_eq!(bench.seen()[0].query("retry"), Some("true"));
        let progress = bench.check().await.unwrap();
        match end {
            Some(end) => assert_eq!(progress, end),
            None => assert!(matches!(progress, Progress::Failed(_)), "{progress:?}"),
        }
    }
}

#[tokio::test]
async fn submit_429_is_tried_three_times_and_counts_as_not_sent() {
    let mut bench = Bench::new([429, 429, 429].map(Step::status)).await;
    assert_eq!(not_sent(bench.submit().await).kind, ErrorKind::Throttled);
    let requests: Vec<_> =
        bench.seen().iter().map(|seen| seen.query("requestId").map(str::to_owned)).collect();
    assert_eq!(requests, vec![Some(bench.request_id.to_string()); 3], "every repeat has the same request id");
    let retries: Vec<_> = bench.seen().iter().map(|seen| seen.query("retry").is_some()).collect();
    assert_eq!(retries, [false, true, true]);
}

#[tokio::test]
async fn submit_5xx_is_repeated_with_the_same_request_id_and_then_taken() {
    for status in [500, 502, 503, 504, 522] {
        let mut bench = Bench::new([Step::html(status), running()]).await;
        assert_eq!(bench.submit().await, Ok(handle()), "{status}");
        let seen = bench.seen();
        assert_eq!(seen[0].query("requestId"), seen[1].query("requestId"));
        assert_eq!((seen[0].query("retry"), seen[1].query("retry")), (None, Some("true")));
    }
}

#[tokio::test]
async fn submit_5xx_to_the_last_is_unclear() {
    let mut bench = Bench::new([500, 500, 500].map(Step::status)).await;
    assert_eq!(unclear(bench.submit().await).kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_rejection_after_an_attempt_without_answer_is_unclear() {
    for step in [Step::DropAfter, Step::status(500)] {
        let mut bench = Bench::new([step, coded(403, "390422")]).await;
        assert_eq!(unclear(bench.submit().await).kind, ErrorKind::Configuration, "the first one may run");
    }
    let mut bench = Bench::new([Step::status(429), coded(403, "390422")]).await;
    assert_eq!(
        rejected(bench.submit().await).kind,
        ErrorKind::Configuration,
        "the first one was turned away"
    );
}

#[tokio::test]
async fn a_submission_whose_answer_is_lost_is_repeated() {
    for lost in [Step::DropBefore, Step::DropAfter, Step::gzip(202, &"{} ".repeat(900)).cut(5)] {
        let mut bench = Bench::new([lost, running()]).await;
        assert_eq!(bench.submit().await, Ok(handle()));
        assert_eq!(bench.seen().last().unwrap().query("retry"), Some("true"));
    }
}

#[tokio::test]
async fn a_submission_without_answer_is_unclear_at_its_deadline() {
    let change = |config: &mut SnowflakeConfig| config.deadlines.request = Duration::from_millis(1500);
    let mut bench = Bench::with([Step::Hang], ResultLimits::default(), change).await;
    assert_eq!(unclear(bench.submit().await).kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_submission_to_nobody_counts_as_not_sent() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}").parse().unwrap();
    let change = |config: &mut SnowflakeConfig| config.base_url = url;
    let mut bench = Bench::with([], ResultLimits::default(), change).await;
    assert_eq!(not_sent(bench.submit().await).kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_submission_turned_away_after_one_without_answer_is_unclear() {
    let mut bench = Bench::new([Step::DropAfter, Step::status(429), Step::status(429)]).await;
    assert_eq!(unclear(bench.submit().await).kind, ErrorKind::Throttled);
}

#[tokio::test]
async fn a_submission_that_is_redirected_is_rejected_with_the_host() {
    let step = Step::status(307).with("location", "https://elsewhere.example/");
    let error = rejected(Bench::new([step]).await.submit().await);
    assert!(
        error.kind == ErrorKind::Configuration && error.message.contains("elsewhere.example"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_page_in_answer_to_a_submission_is_unclear() {
    assert_eq!(unclear(Bench::new([Step::html(200)]).await.submit().await).kind, ErrorKind::Protocol);
}
