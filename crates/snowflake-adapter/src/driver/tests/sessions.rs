use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use registry_core::backend::Progress;
use registry_core::error::ErrorKind;
use registry_core::record::RemotePhase;

use super::*;

const LOGIN: &str = "/session/v1/login-request";
const RENEW: &str = "/session/token-request";
const LOGOUT: &str = "/session";
const RUNNING: Progress = Progress::Running(RemotePhase::Running);

fn handle() -> RemoteHandle {
    RemoteHandle::new(ID)
}

/// Asks after a statement at a service that refuses the first `times` questions so.
async fn after_refusals(
    times: usize,
    reply: fn() -> Reply,
) -> (Server, DriverBackend, Result<Progress, ErrorKind>) {
    let server = Server::start(move |seen| {
        if seen.path.starts_with("/monitoring") && seen.nth <= times { reply() } else { usual(seen) }
    })
    .await;
    let backend = backend(&server);
    let progress = session(&backend).await.check(&handle()).await.map_err(|error| error.0.kind);
    (server, backend, progress)
}

#[tokio::test]
async fn code_390112_renews_the_token_and_repeats_the_same_request() {
    let (server, backend, progress) = after_refusals(1, || Reply::json(refusal("390112"))).await;
    assert_eq!(progress, Ok(RUNNING));
    let renewals = server.seen(RENEW);
    assert_eq!(renewals[0].token(), r#"Snowflake Token="master-1""#);
    assert_eq!(
        renewals[0].body,
        serde_json::json!({ "oldSessionToken": "session-1", "requestType": "RENEW" })
    );
    let asked = server.seen(&format!("/monitoring/queries/{ID}"));
    assert_eq!(asked[0].query["requestId"], asked[1].query["requestId"]);
    assert_ne!(asked[0].query["request_guid"], asked[1].query["request_guid"]);
    assert_eq!(asked[1].token(), r#"Snowflake Token="session-2""#);
    assert_eq!((backend.stats().renewals, backend.stats().logins), (1, 1));
}

#[tokio::test]
async fn many_who_see_the_token_expire_renew_it_once() {
    let server = Server::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/monitoring") && seen.token().contains("session-1") => {
            Reply::json(refusal("390112"))
        }
        _ => usual(seen),
    })
    .await;
    let backend = Arc::new(backend(&server));
    session(&backend).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move { session(&backend).await.check(&handle()).await });
    }
    while let Some(progress) = tasks.join_next().await {
        assert_eq!(progress.unwrap().unwrap(), RUNNING);
    }
    assert_eq!(server.count(RENEW), 1);
}

#[tokio::test]
async fn codes_of_a_lost_session_sign_in_anew() {
    let replies: [fn() -> Reply; 6] = [
        || Reply::json(refusal("390111")),
        || Reply::json(refusal("390113")),
        || Reply::json(refusal("390114")),
        || Reply::json(refusal("390115")),
        || Reply::status(401, &refusal("390104")),
        || Reply::status(401, ""),
    ];
    for (place, reply) in replies.into_iter().enumerate() {
        let (server, backend, progress) = after_refusals(1, reply).await;
        assert_eq!(progress, Ok(RUNNING), "reply {place}");
        let stats = backend.stats();
        assert_eq!((stats.logins, stats.opened, stats.renewals), (2, 2, 0), "reply {place}");
        assert_eq!(server.count(LOGOUT), 0, "a lost session is not logged out");
    }
}

#[tokio::test]
async fn an_expired_master_token_signs_in_anew() {
    let server = Server::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/monitoring") && seen.nth == 1 => Reply::json(refusal("390112")),
        RENEW => Reply::json(refusal("390114")),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    assert_eq!(session(&backend).await.check(&handle()).await.unwrap(), RUNNING);
    assert_eq!((server.count(RENEW), server.count(LOGIN)), (1, 2));
}

#[tokio::test]
async fn sessions_that_end_at_once_are_an_authentication_error_after_two_new_ones() {
    let (server, _, progress) = after_refusals(usize::MAX, || Reply::json(refusal("390111"))).await;
    assert_eq!(progress, Err(ErrorKind::Authentication));
    assert_eq!(server.count(LOGIN), 3);
}

#[tokio::test]
async fn a_heartbeat_beats_while_the_session_lives_and_no_longer() {
    let server = Server::start(usual).await;
    let options = DriverOptions { heartbeat: Some(Duration::from_millis(10)), ..options() };
    let backend = DriverBackend::new(&config(&server), options).unwrap();
    session(&backend).await;
    server.asked("/session/heartbeat", 3).await;
    assert!(server.seen("/session/heartbeat")[0].token().contains("session-1"));
    backend.shut_down().await;
    let beats = server.count("/session/heartbeat");
    server.asked(LOGOUT, 1).await;
    assert!(server.count("/session/heartbeat") <= beats + 1);
    assert!(backend.stats().heartbeats >= 2);
}

#[tokio::test]
async fn an_idle_session_is_logged_out_once_at_the_end() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    session(&backend).await.close().await.unwrap();
    backend.shut_down().await;
    backend.shut_down().await;
    assert_eq!(server.count(LOGOUT), 1);
    assert_eq!(server.seen(LOGOUT)[0].query["delete"], "true");
    let stats = backend.stats();
    assert_eq!((stats.opened, stats.closed, stats.logouts, stats.in_use), (1, 1, 1, 0));
}

#[tokio::test]
async fn a_session_with_a_running_statement_is_dropped_and_never_logged_out() {
    let server = Server::start(usual).await;
    let backend = backend(&server);
    Bench::new().submit(&mut session(&backend).await).await.unwrap();
    backend.shut_down().await;
    assert_eq!(server.count(LOGOUT), 0);
    assert_eq!((backend.stats().opened, backend.stats().closed), (1, 1));
}

#[tokio::test]
async fn a_session_whose_submission_was_not_answered_is_never_logged_out() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/queries/v1/query-request" if !seen.sql().starts_with("USE ") => Reply::lost(),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    let answer = Bench::new().submit(&mut session(&backend).await).await;
    assert!(matches!(answer, Err(SubmitError::Unclear(_))), "{answer:?}");
    backend.shut_down().await;
    assert_eq!(server.count(LOGOUT), 0);
}

#[tokio::test]
async fn a_session_is_logged_out_after_its_statement_has_ended() {
    let server = Server::start(|seen| match seen.path.as_str() {
        path if path.starts_with("/monitoring") => Reply::json(state("SUCCESS")),
        _ => usual(seen),
    })
    .await;
    let backend = backend(&server);
    let mut session = session(&backend).await;
    let handle = Bench::new().submit(&mut session).await.unwrap();
    session.check(&handle).await.unwrap();
    backend.shut_down().await;
    assert_eq!(server.count(LOGOUT), 1);
}

#[tokio::test]
async fn an_overdue_session_is_put_away_while_the_backend_goes_on() {
    let server = Server::start(usual).await;
    let options = DriverOptions { idle: Duration::from_millis(20), ..options() };
    let backend = DriverBackend::new(&config(&server), options).unwrap();
    session(&backend).await;
    server.asked(LOGOUT, 1).await;
    assert_eq!(session(&backend).await.check(&handle()).await.unwrap(), RUNNING);
    assert_eq!(server.count(LOGIN), 2);
}

#[tokio::test]
async fn no_more_sessions_are_opened_than_allowed() {
    let held = Arc::new(tokio::sync::Notify::new());
    let (hold, most) = (Arc::clone(&held), Arc::new(AtomicUsize::new(0)));
    let arrived = Arc::clone(&most);
    let server = Server::start(move |seen| match seen.path.as_str() {
        "/queries/v1/query-request" if !seen.sql().starts_with("USE ") => {
            arrived.fetch_add(1, Ordering::SeqCst);
            usual(seen).held(&hold)
        }
        _ => usual(seen),
    })
    .await;
    let options = DriverOptions { max_sessions: 3, ..options() };
    let backend = Arc::new(DriverBackend::new(&config(&server), options).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move { Bench::new().submit(&mut session(&backend).await).await });
    }
    while most.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // One place is kept for cancels, which come through although all others are taken.
    assert!(backend.cancel(&handle()).await.is_ok());
    assert!(backend.stats().opened <= 3);
    while !tasks.is_empty() {
        held.notify_one();
        if let Ok(Some(done)) = tokio::time::timeout(Duration::from_millis(5), tasks.join_next()).await {
            done.unwrap().unwrap();
        }
    }
    assert!(backend.stats().opened <= 3, "{:?}", backend.stats());
}
