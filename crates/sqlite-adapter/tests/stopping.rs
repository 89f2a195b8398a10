//! Hostile statements that are stopped. Alone in its process, because memory is counted for all of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod common;
#[path = "common/hostile.rs"]
mod hostile;

use std::time::{Duration, Instant};

use common::{BOUND, Fixture, end};
use registry_core::Backend;
use registry_core::backend::{CancelReply, Progress, Session, SubmitError};
use registry_core::error::ErrorKind;
use registry_core::id::RemoteHandle;

/// Every kind of work must end soon after it is asked to; the bound here is wide because the machine may be busy.
#[tokio::test]
async fn whatever_it_does_a_statement_can_be_stopped() {
    let fixture = Fixture::sample();
    let mut stopped = 0;
    for (name, sql) in hostile::statements() {
        let (mut session, handle) = started(&fixture, &sql).await;
        // Early or late in its work; what fails by itself meanwhile was no danger.
        let early = tokio::time::timeout(Duration::from_millis(100), session.changed(&handle)).await;
        let asked = Instant::now();
        let reply = fixture.backend.cancel(&handle).await.unwrap();
        let end = end(&mut session, &handle).await;
        let took = asked.elapsed();
        if early.is_err() && reply == CancelReply::Accepted && end == Progress::Aborted {
            stopped += 1;
            println!("{name}: stopped after {took:?}");
        } else {
            assert!(
                matches!(&end, Progress::Failed(error) if error.kind == ErrorKind::ResourceLimit),
                "{name}: {end:?}"
            );
        }
        assert!(took < Duration::from_secs(10), "{name}: {took:?}");
        session.close().await.unwrap();
    }
    assert!(stopped >= 25, "only {stopped} were stopped");
}

/// Starts a statement as soon as not too many that were given up are still at their last step.
async fn started(fixture: &Fixture, sql: &str) -> (Box<dyn Session>, RemoteHandle) {
    let mut session = fixture.backend.open_session().await.unwrap();
    let asked = Instant::now();
    loop {
        match session.submit(fixture.submission(sql)).await {
            Ok(handle) => return (session, handle),
            Err(SubmitError::Rejected(error)) if error.kind == ErrorKind::Unavailable => {
                assert!(asked.elapsed() < 2 * BOUND, "{error:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{sql}: {error}"),
        }
    }
}
