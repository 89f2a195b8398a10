//! Checks and cancels.

use super::*;

#[tokio::test]
async fn check_200_is_success_and_its_rows_are_not_asked_for_again() {
    let mut bench = Bench::new([result(&[3])]).await;
    assert_eq!(bench.check().await, Ok(Progress::Succeeded(Rows::AtEngine)));
    assert_eq!(bench.check().await, Ok(Progress::Succeeded(Rows::AtEngine)));
    assert_eq!(bench.fetch().await.unwrap().rows, 3);
    assert_eq!(bench.seen().len(), 1);
    let seen = &bench.seen()[0];
    assert_eq!(seen.header("content-type"), Some("application/json"), "asked for with every request");
    assert_eq!(
        (seen.method.as_str(), seen.path.as_str()),
        ("GET", format!("/api/v2/statements/{HANDLE}").as_str())
    );
}

#[tokio::test]
async fn check_202_is_running() {
    let mut bench = Bench::new([running()]).await;
    assert_eq!(bench.check().await, Ok(Progress::Running(RemotePhase::Running)));
}

#[tokio::test]
async fn check_408_is_timed_out_only_when_snowflake_says_it() {
    assert_eq!(Bench::new([coded(408, "000630")]).await.check().await, Ok(Progress::TimedOut));
    let error = Bench::new([Step::html(408)]).await.check().await.unwrap_err();
    assert_eq!(error.0.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn check_422_is_failed_canceled_timed_out_or_unknown_by_its_code() {
    let progress = |code| async move { Bench::new([coded(422, code)]).await.check().await.unwrap() };
    assert!(matches!(progress("100132").await, Progress::Failed(error) if error.kind == ErrorKind::Sql));
    assert_eq!(progress("000604").await, Progress::Aborted);
    assert_eq!(progress("000630").await, Progress::TimedOut);
    assert_eq!(progress("000709").await, Progress::NoData);
}

#[tokio::test]
async fn check_404_is_no_data() {
    assert_eq!(Bench::new([coded(404, "000709")]).await.check().await, Ok(Progress::NoData));
}

#[tokio::test]
async fn check_429_with_a_status_is_running_and_without_one_an_error() {
    assert_eq!(
        Bench::new([coded(429, "333334")]).await.check().await,
        Ok(Progress::Running(RemotePhase::Running))
    );
    let mut bench =
        Bench::new([Step::json(429, r#"{"code":"390505","message":"Too many requests."}"#)]).await;
    assert_eq!(bench.check().await.unwrap_err().0.kind, ErrorKind::Throttled);
    assert_eq!(bench.seen().len(), 1, "the next check comes by itself");
}

#[tokio::test]
async fn check_errors_say_nothing_about_the_statement() {
    let table = [
        (coded(400, "390142"), ErrorKind::Protocol),
        (coded(401, "390303"), ErrorKind::Authentication),
        (coded(403, "390422"), ErrorKind::Configuration),
        (Step::status(405), ErrorKind::Protocol),
        (Step::status(500), ErrorKind::Unavailable),
        (Step::html(503), ErrorKind::Unavailable),
        (Step::html(200), ErrorKind::Protocol),
        (Step::json(200, "{\"code\":\"0900"), ErrorKind::Protocol),
        (Step::json(418, "{}"), ErrorKind::Protocol),
        (Step::DropAfter, ErrorKind::Unavailable),
        (Step::gzip(200, &"{} ".repeat(900)).cut(5), ErrorKind::Unavailable),
        (Step::json(202, " ".repeat(100 << 20)), ErrorKind::Protocol),
    ];
    for (step, kind) in table {
        let text = format!("{step:?}").chars().take(80).collect::<String>();
        assert_eq!(Bench::new([step]).await.check().await.unwrap_err().0.kind, kind, "{text}");
    }
}

#[tokio::test]
async fn an_answer_about_another_statement_is_refused() {
    let body =
        json!({"code": "333334", "statementHandle": OTHER, "statementStatusUrl": "https://evil.example/"});
    let mut bench = Bench::new([Step::json(202, body.to_string())]).await;
    assert_eq!(bench.check().await.unwrap_err().0.kind, ErrorKind::Protocol);
}

#[tokio::test]
async fn a_handle_that_is_none_is_never_sent() {
    let mut bench = Bench::new([]).await;
    let odd = RemoteHandle::new("../../session?delete=true");
    assert_eq!(bench.session.check(&odd).await, Ok(Progress::NoData));
    assert_eq!(bench.backend.cancel(&odd).await, Ok(CancelReply::NotRunning));
    let writer = bench.store.writer(bench.query_id);
    assert_eq!(lost(bench.session.fetch(&odd, writer).await).kind, ErrorKind::ResultFetch);
    assert_eq!(bench.seen().len(), 0);
}

#[tokio::test]
async fn cancel_200_is_accepted() {
    let bench = Bench::new([coded(200, "000604")]).await;
    assert_eq!(bench.cancel().await, Ok(CancelReply::Accepted));
    let seen = &bench.seen()[0];
    let path = format!("/api/v2/statements/{HANDLE}/cancel");
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", path.as_str()));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("content-length"), Some("0"), "there are proxies that want to know");
}

#[tokio::test]
async fn cancel_422_of_what_is_unknown_or_not_executing_is_not_running() {
    for code in ["000709", "000605"] {
        assert_eq!(
            Bench::new([coded(422, code)]).await.cancel().await,
            Ok(CancelReply::NotRunning),
            "{code}"
        );
    }
}

#[tokio::test]
async fn cancel_403_is_refused_in_snowflakes_words() {
    let Ok(CancelReply::Refused(error)) = Bench::new([coded(403, "003001")]).await.cancel().await else {
        panic!()
    };
    assert!(error.message.contains("words"));
}

#[tokio::test]
async fn cancel_is_repeated_when_no_answer_comes() {
    let bench = Bench::new([Step::DropAfter, Step::status(503), coded(200, "000604")]).await;
    assert_eq!(bench.cancel().await, Ok(CancelReply::Accepted));
}

#[tokio::test]
async fn cancel_with_an_odd_answer_is_an_error() {
    for (step, kind) in [
        (coded(401, "390303"), ErrorKind::Authentication),
        (coded(202, "333334"), ErrorKind::Protocol),
        (Step::html(200), ErrorKind::Protocol),
        (Step::html(404), ErrorKind::Configuration),
    ] {
        assert_eq!(Bench::new([step]).await.cancel().await.unwrap_err().0.kind, kind);
    }
}

#[tokio::test]
async fn a_cancel_goes_through_while_a_check_hangs() {
    let release = Arc::new(Notify::new());
    let slow = Step::RespondAfter(Arc::clone(&release), Box::new(running()));
    let mut bench = Bench::new([slow, coded(200, "000604")]).await;
    let arrived = Arc::clone(&bench.server.arrived);
    let target = handle();
    let checking = bench.session.check(&target);
    let canceling = async {
        arrived.notified().await;
        let reply = bench.backend.cancel(&target).await;
        release.notify_one();
        reply
    };
    let (progress, reply) = tokio::join!(checking, canceling);
    assert_eq!(reply, Ok(CancelReply::Accepted));
    assert_eq!(progress, Ok(Progress::Running(RemotePhase::Running)));
    assert_eq!(bench.server.connections(), 2);
}
