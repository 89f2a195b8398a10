//! From acceptance to each of the ends.

use std::time::Duration;

use registry_core::clock::seconds;
use registry_core::error::{ErrorInfo, ErrorKind, RegistryError};
use registry_core::id::QueryId;
use registry_core::journal::ListFilter;
use registry_core::options::{Priority, QueryOptions, QueryRequest};
use registry_core::record::StopReason;
use registry_core::registry::{CancelReason, Joined, Shutdown};
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Script, ScriptedBackend};
use serde_json::json;
use support::world::{PATIENCE, World, drivers_gone, end_of, running, submit, until};

const MINUTE: Duration = Duration::from_secs(60);

fn sql_error() -> ErrorInfo {
    ErrorInfo::new(ErrorKind::Sql, "no such table: ordes").with_code(2003, "002003")
}

#[tokio::test(start_paused = true)]
async fn a_query_runs_and_its_rows_can_be_read() {
    let count = Script::runs_for(MINUTE).with_rows(&[("count", "INTEGER")], vec![vec![json!(1000)]]);
    let world = World::around(ScriptedBackend::remote().on("select count(*) from t", count));
    let registry = world.open().await;
    let id = submit(&registry, "select count(*) from t").await;
    let snapshot = running(&registry, id).await;
    assert!(snapshot.snowflake.sfqid.is_some());
    assert_eq!((snapshot.finished_at, snapshot.row_count), (None, None));
    let snapshot = end_of(&registry, id).await;
    assert_eq!(snapshot.status, QueryStatus::Succeeded);
    assert_eq!((snapshot.row_count, snapshot.stored_rows, snapshot.error), (Some(1), 1, None));
    let page = registry.fetch_result(id, 0, None, u64::MAX).await.unwrap();
    assert_eq!(page.rows, [[json!(1000)]]);
    assert_eq!((page.total_rows, page.has_more, page.columns[0].name.as_str()), (Some(1), false, "count"));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn the_record_is_stored_before_the_statement_is_sent_and_the_steps_keep_their_order() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let accepted = registry.execute_query(QueryRequest::new("select 1")).await.unwrap().snapshot;
    assert_eq!((accepted.status, accepted.version), (QueryStatus::Pending, 1));
    let mut seen = vec![accepted.status];
    let mut version = accepted.version;
    while !seen.last().unwrap().is_terminal() {
        let waited = registry.wait(accepted.query_id, Some(version), PATIENCE).await.unwrap();
        assert!(waited.changed && waited.snapshot.version > version);
        assert!(waited.snapshot.updated_at >= accepted.updated_at);
        version = waited.snapshot.version;
        if seen.last() != Some(&waited.snapshot.status) {
            seen.push(waited.snapshot.status);
        }
    }
    assert_eq!(seen, [QueryStatus::Pending, QueryStatus::Running, QueryStatus::Succeeded]);
    // What the engine would refuse is asked beside it.
    let log = world.engine.log();
    let calls: Vec<Call> =
        log.iter().filter_map(|entry| entry.what.call()).filter(|call| *call != Call::Fence).collect();
    assert_eq!(calls[..3], [Call::Open, Call::Submit, Call::Check]);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn times_and_durations_follow_the_clock() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let snapshot = running(&registry, id).await;
    let start = snapshot.started_at.unwrap();
    assert!(start >= snapshot.created_at);
    let snapshot = end_of(&registry, id).await;
    let finish = snapshot.finished_at.unwrap();
    assert_eq!(snapshot.execution_time_seconds, Some(seconds(finish.since(start))));
    assert!(finish.since(start) >= MINUTE && finish.since(start) <= MINUTE + Duration::from_secs(10));
    assert_eq!(snapshot.ttl_expires_at.since(snapshot.created_at), Duration::from_secs(24 * 3600));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_canceled_query_is_stopped_at_the_engine_once_and_over_its_own_session() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let answer = registry.cancel(id, PATIENCE).await.unwrap();
    assert_eq!((answer.reason, answer.snapshot.status), (CancelReason::Canceled, QueryStatus::Canceled));
    assert!(answer.snapshot.stop_confirmed);
    assert_eq!((world.engine.calls(Call::Cancel), world.engine.running()), (1, 0));
    assert_eq!(registry.cancel(id, PATIENCE).await.unwrap().reason, CancelReason::AlreadyCanceled);
    assert_eq!(world.engine.calls(Call::Cancel), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_an_unknown_query_says_so() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let id = QueryId::generate();
    assert_eq!(registry.cancel(id, MINUTE).await.unwrap_err(), RegistryError::NotFound(id));
    assert!(registry.get_snapshot(id).await.unwrap().is_none());
    assert_eq!(registry.wait(id, None, MINUTE).await.unwrap_err(), RegistryError::NotFound(id));
    assert_eq!(registry.fetch_result(id, 0, None, 1).await.unwrap_err(), RegistryError::NotFound(id));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_of_an_ended_query_changes_nothing() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let before = end_of(&registry, id).await;
    let answer = registry.cancel(id, MINUTE).await.unwrap();
    assert_eq!(answer.reason, CancelReason::AlreadyCompleted);
    assert_eq!(answer.snapshot, before);
    assert_eq!(world.engine.calls(Call::Cancel), 0);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_cancel_says_so_and_the_query_goes_on_to_its_end() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(10 * MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let refusal = ErrorInfo::new(ErrorKind::Permission, "not the owner");
    world.engine.once(Fault::CancelRefused(refusal.clone()));
    let answer = registry.cancel(id, PATIENCE).await.unwrap();
    assert_eq!((answer.reason, answer.snapshot.cancel_refused), (CancelReason::Refused, Some(refusal)));
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_was_refused_once_may_be_asked_for_again() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.once(Fault::CancelRefused(ErrorInfo::new(ErrorKind::Permission, "not the owner")));
    assert_eq!(registry.cancel(id, PATIENCE).await.unwrap().reason, CancelReason::Refused);
    assert_eq!(registry.cancel(id, PATIENCE).await.unwrap().reason, CancelReason::Canceled);
    assert_eq!(world.engine.running(), 0);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_sign_in_comes_before_the_statement() {
    let engine =
        ScriptedBackend::remote().by_default(Script::never_ends()).calls_take(Duration::from_secs(10));
    let world = World::around(engine);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    while world.engine.log().is_empty() && world.record(id).is_unsent() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    registry.cancel(id, Duration::ZERO).await.unwrap();
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.never_sent), (QueryStatus::Canceled, true));
    assert_eq!(world.engine.submissions(), []);
    drivers_gone(&registry).await;
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_that_the_engine_does_not_confirm_ends_unconfirmed_and_is_tried_on() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.always(Fault::CancelLost);
    assert_eq!(registry.cancel(id, Duration::from_secs(5)).await.unwrap().reason, CancelReason::Requested);
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.stop_confirmed), (QueryStatus::Canceled, false));
    assert_eq!(registry.cancel(id, MINUTE).await.unwrap().reason, CancelReason::Unconfirmed);
    assert!(!world.record(id).owes.is_empty() && world.engine.running() == 1);
    world.engine.heal();
    while !world.record(id).owes.is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.engine.running(), 0);
    assert_eq!(registry.get_snapshot(id).await.unwrap().unwrap().status, QueryStatus::Canceled);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn the_success_that_meets_a_cancel_stays_a_success() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.always(Fault::CancelIgnored);
    tokio::time::sleep(Duration::from_secs(55)).await;
    let answer = registry.cancel(id, PATIENCE).await.unwrap();
    assert_eq!(
        (answer.reason, answer.snapshot.status),
        (CancelReason::AlreadyCompleted, QueryStatus::Succeeded)
    );
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn the_engine_enforces_the_time_limit() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let options = QueryOptions { query_timeout: Some(MINUTE), ..QueryOptions::default() };
    let request = QueryRequest { options, ..QueryRequest::new("select 1") };
    let id = registry.execute_query(request).await.unwrap().snapshot.query_id;
    let snapshot = end_of(&registry, id).await;
    assert_eq!(snapshot.status, QueryStatus::Timeout);
    assert_eq!(snapshot.error.unwrap().kind, ErrorKind::Timeout);
    assert_eq!((world.engine.submissions()[0].time_limit, world.engine.running()), (MINUTE, 0));
    assert!(snapshot.deadline_exceeded && snapshot.stop_confirmed);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_query_without_a_time_limit_gets_the_ceiling() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    end_of(&registry, id).await;
    assert_eq!(world.engine.submissions()[0].time_limit, Duration::from_secs(24 * 3600));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_statement_fails_with_the_words_of_the_engine() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::rejected(sql_error())));
    let registry = world.open().await;
    let id = submit(&registry, "select * from ordes").await;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.error.clone()), (QueryStatus::Failed, Some(sql_error())));
    assert_eq!((snapshot.started_at, world.engine.calls(Call::Submit)), (None, 1));
    let refused = registry.fetch_result(id, 0, None, 1).await.unwrap_err();
    assert_eq!(refused, RegistryError::NoResult { id, status: QueryStatus::Failed, error: snapshot.error });
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_fails_while_it_runs_is_run_once() {
    let script = Script::runs_for(MINUTE).then_fails(sql_error());
    let world = World::around(ScriptedBackend::remote().by_default(script));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.error), (QueryStatus::Failed, Some(sql_error())));
    assert_eq!(world.engine.all_executions(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn somebody_elses_cancel_ends_the_query_as_canceled_and_says_by_whom() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.stop_from_outside();
    let snapshot = end_of(&registry, id).await;
    assert_eq!(snapshot.status, QueryStatus::Canceled);
    assert_eq!((snapshot.error.unwrap().kind, snapshot.stop_reason), (ErrorKind::CanceledExternally, None));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stays_out_of_reach_fails_the_query_in_the_end_and_nothing_was_sent() {
    let world = World::around(ScriptedBackend::remote());
    world.engine.always(Fault::OpenFails);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let waiting = until(&registry, id, |snapshot| snapshot.unreachable.is_some()).await;
    assert_eq!(waiting.status, QueryStatus::Pending);
    let snapshot = end_of(&registry, id).await;
    assert_eq!(
        (snapshot.status, snapshot.error.unwrap().kind),
        (QueryStatus::Failed, ErrorKind::Unavailable)
    );
    assert!(snapshot.finished_at.unwrap().since(snapshot.created_at) >= world.config.timing.resubmit_window);
    assert_eq!((world.engine.calls(Call::Submit), world.record(id).owes.len()), (0, 0));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_holds_to_the_second_while_the_engine_is_out_of_reach_and_the_end_says_so() {
    for seconds in [1, 3, 5, 7, 60] {
        let world = World::around(ScriptedBackend::remote());
        world.engine.always(Fault::OpenFails);
        let registry = world.open().await;
        let limit = Duration::from_secs(seconds);
        let options = QueryOptions { query_timeout: Some(limit), ..QueryOptions::default() };
        let request = QueryRequest { options, ..QueryRequest::new("select 1") };
        let id = registry.execute_query(request).await.unwrap().snapshot.query_id;
        let snapshot = end_of(&registry, id).await;
        let took = snapshot.finished_at.unwrap().since(snapshot.created_at);
        assert!(took >= limit && took < limit + Duration::from_secs(1), "{limit:?} took {took:?}");
        assert_eq!((snapshot.status, snapshot.deadline_exceeded), (QueryStatus::Timeout, false));
        assert_eq!(snapshot.error.unwrap().kind, ErrorKind::Unavailable);
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_comes_back_in_time_runs_the_query() {
    let world = World::around(ScriptedBackend::remote());
    world.engine.times(3, Fault::OpenFails);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    assert_eq!(world.engine.submissions().iter().map(|sent| sent.retry).collect::<Vec<_>>(), [false]);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_again_under_the_same_request_and_runs_once() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    world.engine.times(2, Fault::SubmitAnswerLost);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    let sent = world.engine.submissions();
    assert_eq!(sent.iter().map(|sent| sent.retry).collect::<Vec<_>>(), [false, true, true]);
    assert!(sent.iter().all(|one| one.request_id == sent[0].request_id));
    assert_eq!(world.engine.all_executions(), 1);
    let times: Vec<u64> = world
        .engine
        .log()
        .iter()
        .filter(|entry| entry.what.call() == Some(Call::Submit))
        .map(|entry| entry.at.as_secs())
        .collect();
    assert_eq!(times, [0, 2, 6]);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn every_status_can_be_listed_by_name_newest_first() {
    let world = World::around(
        ScriptedBackend::remote()
            .on("good", Script::at_once())
            .on("bad", Script::rejected(sql_error()))
            .on("endless", Script::never_ends()),
    );
    let registry = world.open().await;
    let mut ids = vec![];
    for sql in ["good", "bad", "endless", "endless"] {
        ids.push(submit(&registry, sql).await);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    registry.cancel(ids[3], PATIENCE).await.unwrap();
    let listed = async |status| {
        let filter = ListFilter { status, limit: None };
        let found = registry.list_queries(filter).await.unwrap();
        found.into_iter().map(|snapshot| snapshot.query_id).collect::<Vec<_>>()
    };
    assert_eq!(listed(None).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(listed(Some(QueryStatus::Succeeded)).await, [ids[0]]);
    assert_eq!(listed(Some(QueryStatus::Failed)).await, [ids[1]]);
    assert_eq!(listed(Some(QueryStatus::Running)).await, [ids[2]]);
    assert_eq!(listed(Some(QueryStatus::Canceled)).await, [ids[3]]);
    assert_eq!(listed(Some(QueryStatus::Timeout)).await, []);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn five_queries_at_once_all_succeed_with_their_own_rows() {
    let mut engine = ScriptedBackend::remote();
    for n in 0..5 {
        let script = Script::runs_for(Duration::from_secs(60 - n))
            .with_rows(&[("n", "INTEGER")], vec![vec![json!(n)]]);
        engine = engine.on(format!("select {n}"), script);
    }
    let world = World::around(engine);
    let registry = world.open().await;
    let mut ids = vec![];
    for n in 0..5 {
        ids.push(submit(&registry, &format!("select {n}")).await);
    }
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
        assert_eq!(registry.fetch_result(id, 0, None, 1).await.unwrap().rows, [[json!(n)]]);
    }
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_run_and_the_others_wait_by_priority() {
    let engine = ScriptedBackend::remote().by_default(Script::runs_for(MINUTE));
    let world = World::around(engine).with(|config| {
        config.max_running = 2;
        config.max_queued = 3;
    });
    let registry = world.open().await;
    let mut ids = vec![];
    for (n, priority) in [Priority::Medium, Priority::Medium, Priority::Low, Priority::Medium, Priority::High]
        .into_iter()
        .enumerate()
    {
        let options = QueryOptions { priority, ..QueryOptions::default() };
        let request = QueryRequest { options, ..QueryRequest::new(format!("select {n}")) };
        ids.push(registry.execute_query(request).await.unwrap().snapshot.query_id);
    }
    running(&registry, ids[1]).await;
    let mut positions = vec![];
    for id in &ids {
        positions.push(registry.get_snapshot(*id).await.unwrap().unwrap().queue_position);
    }
    assert_eq!(positions, [None, None, Some(3), Some(2), Some(1)]);
    let full = registry.execute_query(QueryRequest::new("one too many")).await.unwrap_err();
    assert_eq!(full, RegistryError::QueueFull { running: 2, queued: 3 });
    let listed = registry.list_queries(ListFilter::default()).await.unwrap();
    assert_eq!(listed.len(), 5, "what was turned away leaves no record");
    for id in &ids {
        end_of(&registry, *id).await;
    }
    let order: Vec<String> = world.engine.submissions().into_iter().map(|sent| sent.sql).collect();
    // The first two start side by side.
    assert_eq!(order[2..], ["select 4", "select 3", "select 2"]);
    assert_eq!(world.engine.most_open_sessions(), 2);
    assert!(registry.execute_query(QueryRequest::new("now there is room")).await.is_ok());
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_waiting_query_is_canceled_at_once_and_never_sent() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let world = world.with(|config| config.max_running = 1);
    let registry = world.open().await;
    let first = submit(&registry, "first").await;
    let second = submit(&registry, "second").await;
    running(&registry, first).await;
    let answer = registry.cancel(second, Duration::ZERO).await.unwrap();
    assert_eq!((answer.reason, answer.snapshot.stop_confirmed), (CancelReason::NeverSent, true));
    assert_eq!(world.engine.submissions().len(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_idempotency_key_stands_for_the_same_query_also_when_the_queue_is_full() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let world = world.with(|config| (config.max_running, config.max_queued) = (1, 0));
    let registry = world.open().await;
    let keyed = |sql: &str| QueryRequest { idempotency_key: Some("k".to_owned()), ..QueryRequest::new(sql) };
    let first = registry.execute_query(keyed("insert")).await.unwrap();
    let again = registry.execute_query(keyed("insert")).await.unwrap();
    assert_eq!((again.snapshot.query_id, again.joined), (first.snapshot.query_id, Some(Joined::SameKey)));
    let other = registry.execute_query(keyed("another")).await.unwrap_err();
    assert_eq!(other, RegistryError::KeyReused { key: "k".to_owned(), id: first.snapshot.query_id });
    assert!(matches!(
        submit_error(&registry, "third").await,
        RegistryError::QueueFull { running: 1, queued: 0 }
    ));
    running(&registry, first.snapshot.query_id).await;
    assert_eq!(world.engine.all_executions(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn looking_for_an_earlier_query_finds_what_a_submission_would_and_accepts_nothing() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let keyed = |sql: &str| QueryRequest { idempotency_key: Some("k".to_owned()), ..QueryRequest::new(sql) };
    assert!(registry.find_earlier(keyed("insert")).await.unwrap().is_none());
    assert!(registry.list_queries(ListFilter::default()).await.unwrap().is_empty());
    let first = registry.execute_query(keyed("insert")).await.unwrap().snapshot.query_id;
    let ended = end_of(&registry, first).await;
    let found = registry.find_earlier(keyed("insert")).await.unwrap().unwrap();
    assert_eq!((found.snapshot, found.joined), (ended, Some(Joined::SameKey)));
    let other = registry.find_earlier(keyed("another")).await.unwrap_err();
    assert_eq!(other, RegistryError::KeyReused { key: "k".to_owned(), id: first });
    assert!(registry.find_earlier(QueryRequest::new("insert")).await.unwrap().is_none());
    assert_eq!(world.engine.all_executions(), 1);
    world.close(registry).await;
}

async fn submit_error(registry: &registry_core::QueryRegistry, sql: &str) -> RegistryError {
    registry.execute_query(QueryRequest::new(sql)).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn an_identical_running_statement_is_joined_only_on_request() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let joining = || QueryRequest { deduplicate: true, ..QueryRequest::new("select 1") };
    let first = registry.execute_query(joining()).await.unwrap();
    let joined = registry.execute_query(joining()).await.unwrap();
    assert_eq!((joined.snapshot.query_id, joined.joined), (first.snapshot.query_id, Some(Joined::Identical)));
    let apart = registry.execute_query(QueryRequest::new("select 1")).await.unwrap();
    assert!(apart.joined.is_none() && apart.snapshot.query_id != first.snapshot.query_id);
    end_of(&registry, first.snapshot.query_id).await;
    end_of(&registry, apart.snapshot.query_id).await;
    assert!(registry.execute_query(joining()).await.unwrap().joined.is_none());
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn bad_requests_are_refused_before_anything_is_stored() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let options = |options| QueryRequest { options, ..QueryRequest::new("select 1") };
    for bad in [
        QueryRequest::new(""),
        QueryRequest::new(" \n "),
        QueryRequest::new("select '\0'"),
        QueryRequest::new("x".repeat(64 * 1024 + 1)),
        QueryRequest { label: Some(String::new()), ..QueryRequest::new("select 1") },
        options(QueryOptions { query_timeout: Some(Duration::ZERO), ..QueryOptions::default() }),
        options(QueryOptions { max_inline_rows: 0, ..QueryOptions::default() }),
        options(QueryOptions { poll_interval: Duration::MAX, ..QueryOptions::default() }),
    ] {
        let error = registry.execute_query(bad).await.unwrap_err();
        assert!(matches!(error, RegistryError::InvalidRequest(_)), "{error:?}");
    }
    let elsewhere =
        QueryRequest { connection: Some("elsewhere".to_owned()), ..QueryRequest::new("select 1") };
    let error = registry.execute_query(elsewhere).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection is named \"elsewhere\"; configured: main");
    assert_eq!(registry.list_queries(ListFilter::default()).await.unwrap(), []);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_registry_takes_no_query_and_may_be_closed_again() {
    let world = World::around(ScriptedBackend::embedded().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let report = registry.close(Shutdown::Immediate).await;
    assert_eq!((report.stopped, report.unconfirmed, report.detached), (vec![id], vec![], vec![]));
    assert_eq!(
        registry.execute_query(QueryRequest::new("select 2")).await.unwrap_err(),
        RegistryError::Closed
    );
    let snapshot = registry.get_snapshot(id).await.unwrap().unwrap();
    assert_eq!((snapshot.status, snapshot.stop_reason), (QueryStatus::Canceled, Some(StopReason::Shutdown)));
    assert_eq!(registry.close(Shutdown::Immediate).await.stopped, vec![]);
    world.check_leaks(&registry);
}
