use std::time::Duration;

use super::scripted::{Server, Step, gzip};
use super::*;
use crate::config::{Credentials, Deadlines, Protocol, SecretSource, StatementContext};

fn config(base_url: Url) -> SnowflakeConfig {
    SnowflakeConfig {
        name: "test".to_owned(),
        account: "ACCT".to_owned(),
        base_url,
        user: None,
        credentials: Credentials::OAuth(SecretSource::Value("token".to_owned().into())),
        protocol: Protocol::SqlApi,
        context: StatementContext::default(),
        session_parameters: vec![],
        deadlines: Deadlines::default(),
    }
}

fn request(ceiling: Ceiling) -> Request {
    let query = vec![("secret", "in-the-query".to_owned())];
    Request { method: Method::GET, path: "/path".to_owned(), query, body: None, ceiling }
}

async fn answer_with(step: Step, ceiling: Ceiling, patience: Duration) -> Result<Answer, Failure> {
    let server = Server::start([step]).await;
    let http = Http::new(&config(server.url.clone())).unwrap();
    let headers = HeaderMap::from_iter([authorization("Bearer hidden").unwrap()]);
    let answer = http.send(&request(ceiling), headers, Instant::now() + patience).await;
    if let Err(failure) = &answer {
        let text = failure.to_string();
        assert!(!text.contains("in-the-query") && !text.contains("hidden"), "{text}");
        assert!(text.contains("127.0.0.1"), "the host is named: {text}");
    }
    answer
}

async fn failure_of(step: Step) -> Failure {
    answer_with(step, Ceiling::CONTROL, Duration::from_secs(20)).await.unwrap_err()
}

#[tokio::test]
async fn a_request_says_who_it_is_and_what_it_takes() {
    let server = Server::start([Step::status(200)]).await;
    let http = Http::new(&config(server.url.clone())).unwrap();
    let headers = HeaderMap::from_iter([authorization("Bearer hidden").unwrap()]);
    http.send(&request(Ceiling::SMALL), headers, Instant::now() + Duration::from_secs(20)).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.header("user-agent"), Some(USER_AGENT));
    assert_eq!(seen.header("accept"), Some("application/json"));
    assert_eq!(seen.header("authorization"), Some("Bearer hidden"));
    assert_eq!(seen.header("accept-encoding"), Some("gzip"));
    assert_eq!((seen.path.as_str(), seen.query("secret")), ("/path", Some("in-the-query")));
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start([Step::status(200), Step::status(422), Step::status(200)]).await;
    let http = Http::new(&config(server.url.clone())).unwrap();
    for _ in 0..3 {
        let deadline = Instant::now() + Duration::from_secs(20);
        http.send(&request(Ceiling::SMALL), HeaderMap::new(), deadline).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_redirect_is_an_error_that_names_the_host() {
    let failure =
        failure_of(Step::status(302).with("location", "https://portal.example/login?token=x")).await;
    let Failure::Redirected(text) = failure else { panic!("{failure:?}") };
    assert!(text.contains("portal.example") && !text.contains("token=x"), "{text}");
}

#[tokio::test]
async fn a_compressed_answer_is_unpacked() {
    let body = format!("{{\"text\":\"{}\"}}", "x".repeat(100_000));
    let answer =
        answer_with(Step::gzip(200, &body), Ceiling::CONTROL, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.body, body.into_bytes());
}

#[tokio::test]
async fn a_truncated_compressed_answer_is_no_answer() {
    let failure = failure_of(Step::gzip(200, &"{\"a\":1}".repeat(1000)).cut(10)).await;
    assert!(matches!(failure, Failure::NoAnswer(_)), "{failure:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_answer() {
    for raw in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\":",
        "nonsense\r\n\r\n",
    ] {
        let failure = failure_of(Step::Raw(raw.into())).await;
        assert!(matches!(failure, Failure::NoAnswer(_)), "{raw:?}: {failure:?}");
    }
}

#[tokio::test]
async fn a_larger_answer_than_expected_is_refused() {
    let large = Step::json(200, "x".repeat(17 << 20));
    assert!(matches!(failure_of(large).await, Failure::Unusable(_)));
}

#[tokio::test]
async fn a_small_answer_that_unpacks_to_a_large_one_is_refused() {
    let bomb = Step::gzip(200, &" ".repeat(20 << 20));
    let Step::Respond { body, .. } = &bomb else { panic!() };
    assert!(body.len() < 1 << 20);
    assert!(matches!(failure_of(bomb).await, Failure::Unusable(_)));
}

#[tokio::test]
async fn an_error_may_be_only_a_few_words_whatever_was_asked_for() {
    let answer =
        answer_with(Step::json(503, " ".repeat(2 << 20)), Ceiling::Announced, Duration::from_secs(20)).await;
    assert!(matches!(answer, Err(Failure::Unusable(_))));
}

#[tokio::test]
async fn a_first_part_may_be_as_large_as_its_head_announces() {
    let body = |size: u64| {
        let head =
            format!(r#"{{"resultSetMetaData":{{"partitionInfo":[{{"uncompressedSize":{size}}}]}},"data":""#);
        format!("{head}{}\"}}", "x".repeat(20 << 20))
    };
    let honest = Step::json(200, body(20 << 20));
    assert!(answer_with(honest, Ceiling::Announced, Duration::from_secs(20)).await.is_ok());
    let lying = Step::json(200, body(1000));
    let answer = answer_with(lying, Ceiling::Announced, Duration::from_secs(20)).await;
    assert!(matches!(answer, Err(Failure::Unusable(_))));
}

#[tokio::test]
async fn a_page_instead_of_json_is_named_and_not_read() {
    let answer = answer_with(Step::html(200), Ceiling::CONTROL, Duration::from_secs(20)).await.unwrap();
    assert_eq!((answer.foreign_type.as_deref(), answer.body.len()), (Some("text/html"), 0));
}

#[tokio::test]
async fn a_service_that_says_nothing_meets_the_deadline() {
    let answer = answer_with(Step::Hang, Ceiling::CONTROL, Duration::from_millis(100)).await;
    assert!(matches!(answer, Err(Failure::NoAnswer(_))), "{answer:?}");
    let slow = Step::RespondAfter(std::sync::Arc::default(), Box::new(Step::status(200)));
    let answer = answer_with(slow, Ceiling::CONTROL, Duration::from_millis(100)).await;
    assert!(matches!(answer, Err(Failure::NoAnswer(_))), "{answer:?}");
}

#[tokio::test]
async fn nothing_is_sent_where_nobody_listens() {
    // No test and no service of today uses this port, and nobody is given it by chance.
    let url = Url::parse("http://127.0.0.1:1/").unwrap();
    let http = Http::new(&config(url)).unwrap();
    for attempt in 0..6 {
        let deadline = Instant::now() + Duration::from_secs(20);
        let failure = http.send(&request(Ceiling::SMALL), HeaderMap::new(), deadline).await.unwrap_err();
        match attempt {
            5 => assert!(matches!(failure, Failure::Paused(_)), "after five failures: {failure:?}"),
            _ => assert!(matches!(failure, Failure::NotSent(_)), "{failure:?}"),
        }
    }
}

#[tokio::test]
async fn refused_credentials_start_no_pause() {
    let server = Server::start((0..10).map(|_| Step::status(401))).await;
    let http = Http::new(&config(server.url.clone())).unwrap();
    for _ in 0..10 {
        let deadline = Instant::now() + Duration::from_secs(20);
        assert_eq!(
            http.send(&request(Ceiling::SMALL), HeaderMap::new(), deadline).await.unwrap().status,
            401
        );
    }
    assert_eq!(http.account().breaker.pause(), None);
}

#[tokio::test]
async fn a_clock_that_is_off_is_noticed() {
    let old = Step::status(401).with("date", "Sat, 01 Jan 2000 00:00:00 GMT");
    let answer = answer_with(old, Ceiling::CONTROL, Duration::from_secs(20)).await.unwrap();
    assert!(answer.clock_ahead.unwrap() > 20 * 365 * 86_400);
}

#[tokio::test]
async fn retry_after_is_read_in_seconds() {
    let step = Step::status(429).with("retry-after", "7");
    let answer = answer_with(step, Ceiling::CONTROL, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn a_credential_that_no_header_can_carry_is_told_without_showing_it() {
    let error = authorization("Bearer line\nbreak").unwrap_err();
    assert_eq!(error.0.kind, ErrorKind::Configuration);
    assert!(!error.0.message.contains("break"));
    let (_, value) = authorization("Bearer hidden").unwrap();
    assert!(!format!("{value:?}").contains("hidden"));
}

#[test]
fn the_script_compresses_what_can_be_unpacked() {
    assert_eq!(&gzip(b"x")[..2], &[0x1f, 0x8b]);
}
