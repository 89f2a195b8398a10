//! Faults that earlier query registries had, each driven through the product: O1 to O15 of one that forgot what it
//! had started, L2 to L5 of one that let any writer set the status. `docs/seed-tests.md` tells what each was.

use std::time::Duration;

use registry_core::error::{ErrorKind, RegistryError};
use registry_core::id::InstanceId;
use registry_core::journal::{Journal, Updated};
use registry_core::options::{QueryOptions, QueryRequest};
use registry_core::record::{Lease, QueryRecord, RemotePhase};
use registry_core::registry::CancelReason;
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Logged, Script, ScriptedBackend};
use support::world::{PATIENCE, World, drivers_gone, end_of, running, submit, until};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

fn with_limit(seconds: u64) -> QueryRequest {
    let options =
        QueryOptions { query_timeout: Some(Duration::from_secs(seconds)), ..QueryOptions::default() };
    QueryRequest { options, ..QueryRequest::new("select 1") }
}

/// O1: the time-out marked the record and left the statement running and the session open.
#[tokio::test(start_paused = true)]
async fn a_timeout_stops_the_statement_and_closes_the_session() {
    let engine = ScriptedBackend::remote().by_default(Script::never_ends()).without_time_limits();
    let world = World::around(engine);
    let registry = world.open().await;
    let id = registry.execute_query(with_limit(10)).await.unwrap().snapshot.query_id;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.error.unwrap().kind), (QueryStatus::Timeout, ErrorKind::Timeout));
    drivers_gone(&registry).await;
    assert_eq!(
        (world.engine.calls(Call::Cancel), world.engine.running(), world.engine.open_sessions()),
        (1, 0, 0)
    );
    world.close(registry).await;
}

/// O1, the other side: what ended before its end was looked at has not timed out.
#[tokio::test(start_paused = true)]
async fn a_completion_seen_together_with_the_deadline_wins() {
    let script = Script::runs_for(Duration::from_secs(15));
    let world = World::around(ScriptedBackend::remote().by_default(script).without_time_limits());
    let registry = world.open().await;
    let id = registry.execute_query(with_limit(10)).await.unwrap().snapshot.query_id;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.deadline_exceeded), (QueryStatus::Succeeded, true));
    assert_eq!(world.engine.calls(Call::Cancel), 0);
    world.close(registry).await;
}

/// O2: one failed status call made the query fail while it ran on.
#[tokio::test(start_paused = true)]
async fn a_failed_status_call_is_not_a_failed_query() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.times(5, Fault::CheckUnclear);
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    world.close(registry).await;
}

/// O3: a cancel that failed left a running query that nobody watched.
#[tokio::test(start_paused = true)]
async fn a_failed_cancel_leaves_the_query_watched_and_is_repeated() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.times(2, Fault::CancelLost);
    let answer = registry.cancel(id, PATIENCE).await.unwrap();
    assert_eq!((answer.reason, world.engine.calls(Call::Cancel)), (CancelReason::Canceled, 3));
    let sent: Vec<Duration> = world
        .engine
        .log()
        .iter()
        .filter(|entry| entry.what.call() == Some(Call::Cancel))
        .map(|entry| entry.at)
        .collect();
    assert!(
        sent[1] - sent[0] >= Duration::from_secs(2) && sent[2] - sent[1] >= Duration::from_secs(4),
        "{sent:?}"
    );
    world.close(registry).await;
}

/// O4: the engine's answer to a cancel was not read, and a finished query was reported as canceled.
#[tokio::test(start_paused = true)]
async fn a_cancel_that_found_nothing_running_is_not_reported_as_canceled() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    sleep(Duration::from_secs(50)).await;
    world.engine.once(Fault::CancelNotRunning);
    let answer = registry.cancel(id, PATIENCE).await.unwrap();
    assert_eq!(
        (answer.reason, answer.snapshot.status),
        (CancelReason::AlreadyCompleted, QueryStatus::Succeeded)
    );
    world.close(registry).await;
}

/// O5: a query whose handle had not come yet could not be canceled.
#[tokio::test(start_paused = true)]
async fn a_query_without_a_handle_can_be_canceled_and_is_not_sent_again() {
    for fault in
        [Fault::SubmitAnswerLost, Fault::SubmitLost, Fault::SubmitArrivesLate(Duration::from_secs(20))]
    {
        let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
        world.engine.always(fault.clone());
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        while world.engine.submissions().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        let answer = registry.cancel(id, Duration::ZERO).await.unwrap();
        assert_eq!(
            (answer.reason, answer.snapshot.status),
            (CancelReason::Requested, QueryStatus::Pending),
            "{fault:?}"
        );
        assert_eq!(end_of(&registry, id).await.status, QueryStatus::Canceled, "{fault:?}");
        assert_eq!(world.engine.submissions().len(), 1, "{fault:?}");
        while !world.record(id).owes.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(world.engine.running(), 0, "{fault:?}");
        world.close(registry).await;
    }
}

/// O6, L3: any writer could overwrite a final status, and two cancels were both sent.
#[tokio::test(start_paused = true)]
async fn two_cancels_at_once_are_one_request_and_the_first_status_stays() {
    let world = World::around(
        ScriptedBackend::remote().by_default(Script::never_ends()).cancel_takes(Duration::from_secs(1)),
    );
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let (first, second) = tokio::join!(registry.cancel(id, PATIENCE), registry.cancel(id, PATIENCE));
    assert_eq!(
        (first.unwrap().reason, second.unwrap().reason),
        (CancelReason::Canceled, CancelReason::Canceled)
    );
    assert_eq!(world.engine.calls(Call::Cancel), 1);
    let ended = world.record(id);
    let late = QueryRecord { status: QueryStatus::Succeeded, version: ended.version + 1, ..ended.clone() };
    let stale = QueryRecord { status: QueryStatus::Running, ..ended.clone() };
    assert_eq!(world.journal.update(&stale, &late), Ok(Updated::Conflict(Some(Box::new(ended.clone())))));
    assert_eq!(world.record(id), ended);
    world.close(registry).await;
}

/// O7: a session was closed under a call that was still running.
#[tokio::test(start_paused = true)]
async fn a_session_is_never_closed_under_a_call() {
    let engine =
        ScriptedBackend::remote().by_default(Script::never_ends()).calls_take(Duration::from_secs(3));
    let world = World::around(engine);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    registry.cancel(id, PATIENCE).await.unwrap();
    drivers_gone(&registry).await;
    let session = world.engine.log().iter().find(|entry| entry.what == Logged::Opened).unwrap().session;
    let last = world.engine.log().into_iter().rfind(|entry| entry.session == session).unwrap();
    assert_eq!(last.what, Logged::Closed);
    world.close(registry).await;
}

/// O8: signing in held up everybody else.
#[tokio::test(start_paused = true)]
async fn a_slow_sign_in_holds_up_nobody() {
    let world = World::around(ScriptedBackend::remote());
    world.engine.once(Fault::OpenStalls);
    let registry = world.open().await;
    let slow = submit(&registry, "slow").await;
    // Time passes only when nothing else is to be done: by then the slow one is at the door.
    sleep(Duration::from_millis(1)).await;
    let start = tokio::time::Instant::now();
    let quick = submit(&registry, "quick").await;
    assert_eq!(end_of(&registry, quick).await.status, QueryStatus::Succeeded);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(registry.get_snapshot(slow).await.unwrap().unwrap().status, QueryStatus::Pending);
    world.close(registry).await;
}

/// O9: a submission that came back without a handle, or after its record was gone, leaked its session and its
/// statement.
#[tokio::test(start_paused = true)]
async fn a_submission_that_outlives_its_record_is_stopped() {
    let engine =
        ScriptedBackend::remote().by_default(Script::never_ends()).calls_take(Duration::from_secs(20));
    let world = World::around(engine).with(|config| config.ttl = Duration::from_secs(30));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    sleep(Duration::from_secs(31)).await;
    registry.prune_expired().await.unwrap();
    while world.journal.get(id).unwrap().is_some() {
        sleep(Duration::from_secs(1)).await;
    }
    drivers_gone(&registry).await;
    assert_eq!((world.engine.running(), world.engine.open_sessions()), (0, 0));
    world.close(registry).await;
}

/// O10: a caller that gave up during the submission left an orphan.
#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_during_the_submission_leaves_a_query_that_is_known() {
    let world = World::around(ScriptedBackend::remote().calls_take(Duration::from_secs(5)));
    let registry = world.open().await;
    let gave_up =
        tokio::time::timeout(Duration::ZERO, registry.execute_query(QueryRequest::new("select 1"))).await;
    assert!(gave_up.is_err());
    let mut listed = vec![];
    while listed.is_empty() {
        sleep(Duration::from_millis(1)).await;
        listed = registry.list_queries(registry_core::journal::ListFilter::default()).await.unwrap();
    }
    assert_eq!(end_of(&registry, listed[0].query_id).await.status, QueryStatus::Succeeded);
    drivers_gone(&registry).await;
    world.close(registry).await;
}

/// O11: prune and close never stopped a statement. The close of a registry is covered in `restart`.
#[tokio::test(start_paused = true)]
async fn a_pruned_query_is_stopped_at_the_engine() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()))
        .with(|config| config.ttl = MINUTE);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    sleep(3 * MINUTE).await;
    assert_eq!((world.engine.calls(Call::Cancel), world.engine.running()), (1, 0));
    assert_eq!(registry.cancel(id, MINUTE).await.unwrap_err(), RegistryError::NotFound(id));
    world.close(registry).await;
}

/// O12, O13: a cut result looked complete, and `has_more` was false whenever no limit was named.
#[tokio::test(start_paused = true)]
async fn a_page_without_a_limit_tells_the_true_total_and_that_more_follows() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::at_once().with_count(1001)));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    assert_eq!(end_of(&registry, id).await.row_count, Some(1001));
    let page = registry.fetch_result(id, 0, None, u64::MAX).await.unwrap();
    assert_eq!((page.rows.len(), page.total_rows, page.has_more), (1000, Some(1001), true));
    let rest = registry.fetch_result(id, 1000, None, u64::MAX).await.unwrap();
    assert_eq!((rest.rows.len(), rest.has_more), (1, false));
    world.close(registry).await;
}

/// O13: the result of a query that did not succeed was silence.
#[tokio::test(start_paused = true)]
async fn the_result_of_a_stopped_query_is_an_error_that_names_its_status() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = registry.execute_query(with_limit(1)).await.unwrap().snapshot.query_id;
    let error = end_of(&registry, id).await.error;
    let refused = registry.fetch_result(id, 0, None, 1).await.unwrap_err();
    assert_eq!(refused, RegistryError::NoResult { id, status: QueryStatus::Timeout, error });
    world.close(registry).await;
}

/// O14: nobody called the sweep.
#[tokio::test(start_paused = true)]
async fn expired_records_go_by_themselves() {
    let world = World::around(ScriptedBackend::remote()).with(|config| config.ttl = MINUTE);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    end_of(&registry, id).await;
    sleep(3 * MINUTE).await;
    assert_eq!((world.journal.get(id).unwrap(), world.results.ids().unwrap()), (None, vec![]));
    world.close(registry).await;
}

/// O15: a state that the list of running ones lacked was taken for an end.
#[tokio::test(start_paused = true)]
async fn whatever_the_engine_calls_it_a_query_runs_until_the_engine_names_an_end() {
    let script = Script::runs_for(10 * MINUTE).queued_for(5 * MINUTE);
    let world = World::around(ScriptedBackend::remote().by_default(script));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let queued = until(&registry, id, |snapshot| snapshot.phase == RemotePhase::Queued).await;
    assert_eq!(queued.status, QueryStatus::Running);
    let active = until(&registry, id, |snapshot| snapshot.phase == RemotePhase::Running).await;
    assert!(active.version > queued.version);
    assert_eq!(
        (end_of(&registry, id).await.status, world.engine.calls(Call::Fetch)),
        (QueryStatus::Succeeded, 1)
    );
    world.close(registry).await;
}

/// L2, L3: a process that had lost the query wrote its old news over the new state.
#[tokio::test(start_paused = true)]
async fn a_process_that_lost_the_query_cannot_write_and_stops_asking() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(10 * MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let before = world.record(id);
    let lease = Lease { owner: InstanceId::generate(), epoch: before.lease.epoch + 1 };
    let taken = QueryRecord { lease, version: before.version + 1, ..before.clone() };
    assert_eq!(world.journal.update(&before, &taken), Ok(Updated::Applied));
    sleep(20 * MINUTE).await;
    assert_eq!(world.record(id), taken);
    assert_eq!((registry.metrics().drivers, world.engine.open_sessions()), (0, 0));
    world.close(registry).await;
}

/// L2: one stopped query took the worker with it.
#[tokio::test(start_paused = true)]
async fn after_a_stopped_query_the_next_one_runs() {
    let engine = ScriptedBackend::remote().on("endless", Script::never_ends());
    let world = World::around(engine).with(|config| config.max_running = 1);
    let registry = world.open().await;
    let endless = submit(&registry, "endless").await;
    running(&registry, endless).await;
    let next = submit(&registry, "next").await;
    registry.cancel(endless, PATIENCE).await.unwrap();
    assert_eq!(end_of(&registry, next).await.status, QueryStatus::Succeeded);
    world.close(registry).await;
}

/// L4: waiters were told before the change was stored, and of failures never.
#[tokio::test(start_paused = true)]
async fn who_is_woken_finds_the_change_stored() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let mut version = 1;
    loop {
        let woken = registry.wait(id, Some(version), PATIENCE).await.unwrap().snapshot;
        assert!(woken.version > version && world.record(id).version >= woken.version);
        version = woken.version;
        if woken.status.is_terminal() {
            break;
        }
    }
    world.close(registry).await;
}

/// L5: the first of two waiters took the wake-up of the other.
#[tokio::test(start_paused = true)]
async fn each_of_many_waiters_is_woken() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let version = running(&registry, id).await.version;
    let waits: Vec<_> = (0..100)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move { registry.wait(id, Some(version), 2 * MINUTE).await.unwrap().changed })
        })
        .collect();
    for wait in waits {
        assert!(wait.await.unwrap());
    }
    world.close(registry).await;
}
