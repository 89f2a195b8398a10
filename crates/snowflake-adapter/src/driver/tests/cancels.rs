use registry_core::backend::CancelReply;
use registry_core::error::ErrorKind;

use super::*;

/// The reply to a cancel where the first way is answered so, the state is `word`, and the second way is answered so.
async fn cancel(abort: fn() -> Reply, word: &'static str, second: fn() -> Reply) -> (CancelReply, usize) {
    let server = Server::start(move |seen| match seen.path.as_str() {
        path if path.ends_with("/abort-request") => abort(),
        path if path.starts_with("/monitoring") => Reply::json(state(word)),
        _ if seen.sql().contains("SYSTEM$CANCEL_QUERY") => second(),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    let reply = backend.cancel(&RemoteHandle::new(ID)).await.unwrap();
    let statements = server.submissions();
    assert!(statements.iter().all(|seen| seen.sql() == format!("SELECT SYSTEM$CANCEL_QUERY('{ID}')")));
    if !statements.is_empty() {
        assert_eq!(server.count("/session/v1/login-request"), 2, "over a new session");
    }
    (reply, statements.len())
}

fn never() -> Reply {
    Reply::status(500, "")
}

#[tokio::test]
async fn an_accepted_abort_is_accepted() {
    let (reply, second) = cancel(|| Reply::json(r#"{"data":null,"success":true}"#), "RUNNING", never).await;
    assert_eq!((reply, second), (CancelReply::Accepted, 0));
}

#[tokio::test]
async fn a_refused_abort_of_an_ended_statement_is_not_running() {
    for word in ["SUCCESS", "FAILED_WITH_ERROR", "ABORTED", "NO_DATA"] {
        let (reply, second) = cancel(|| Reply::json(r#"{"data":null,"success":false}"#), word, never).await;
        assert_eq!((reply, second), (CancelReply::NotRunning, 0), "{word}");
    }
}

#[tokio::test]
async fn a_refused_abort_of_a_running_statement_goes_the_second_way() {
    let second = || Reply::json(result(&format!(r#"[["query [{ID}] terminated."]]"#)));
    let (reply, count) = cancel(|| Reply::json(refusal("003001")), "RUNNING", second).await;
    assert_eq!((reply, count), (CancelReply::Accepted, 1));
}

#[tokio::test]
async fn an_unknown_endpoint_goes_the_second_way() {
    let second = || Reply::json(result(r#"[["Identified SQL statement is not currently executing."]]"#));
    let (reply, count) = cancel(|| Reply::status(404, ""), "RUNNING", second).await;
    assert_eq!((reply, count), (CancelReply::NotRunning, 1));
}

#[tokio::test]
async fn a_missing_right_is_refused_in_snowflakes_words() {
    let second = || {
        Reply::json(
            r#"{"data":{"sqlState":"42501"},"code":"003001","message":"Insufficient privileges","success":false}"#,
        )
    };
    let (reply, _) = cancel(|| Reply::json(refusal("003001")), "RUNNING", second).await;
    let CancelReply::Refused(error) = reply else { panic!("{reply:?}") };
    assert_eq!(error.kind, ErrorKind::Permission);
    assert!(error.message.contains("Insufficient privileges"));
}

#[tokio::test]
async fn a_handle_of_another_form_is_not_running_and_reaches_no_statement() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    let reply = backend.cancel(&RemoteHandle::new("x') union select ('y")).await.unwrap();
    assert_eq!(reply, CancelReply::NotRunning);
    assert_eq!(server.count("/session/v1/login-request"), 0);
}

#[tokio::test]
async fn an_unreachable_service_is_an_error_and_no_answer() {
    let server =
        Server::start(|seen| if seen.path.ends_with("/abort-request") { Reply::lost() } else { usual(seen) })
            .await;
    let backend = backend(&server);
    assert_eq!(backend.cancel(&RemoteHandle::new(ID)).await.unwrap_err().0.kind, ErrorKind::Unavailable);
}
