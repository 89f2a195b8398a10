//! The process dies at any moment; the next one finds every query and runs none of them twice.

use std::time::Duration;

use registry_core::error::ErrorKind;
use registry_core::options::QueryRequest;
use registry_core::record::{Obligation, StopReason};
use registry_core::registry::{CancelReason, OnExit, Shutdown};
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Script, ScriptedBackend};
use support::world::{PATIENCE, World, drivers_gone, end_of, running, submit, until};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_running_remote_query_is_taken_up_by_its_handle_and_not_sent_again() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(10 * MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let before = running(&registry, id).await;
    let registry = world.restart(registry).await;
    let after = registry.get_snapshot(id).await.unwrap().unwrap();
    assert_eq!((after.status, &after.snowflake), (QueryStatus::Running, &before.snowflake));
    assert_eq!(world.record(id).lease.epoch, 2);
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    assert_eq!((world.engine.submissions().len(), world.engine.all_executions()), (1, 1));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_the_submission_is_on_its_way_sends_it_again_under_the_same_request() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    world.engine.once(Fault::SubmitAnswerStalls);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    while world.engine.submissions().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    let registry = world.restart(registry).await;
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    let sent = world.engine.submissions();
    assert_eq!(sent.iter().map(|one| one.retry).collect::<Vec<_>>(), [false, true]);
    assert_eq!((sent[0].request_id, world.engine.all_executions()), (sent[1].request_id, 1));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_submission_of_long_ago_is_looked_up_and_not_sent_again() {
    for arrived in [true, false] {
        let mut world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(10 * MINUTE)));
        world.engine.once(if arrived { Fault::SubmitAnswerStalls } else { Fault::SubmitStalls });
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        while world.engine.submissions().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        registry.crash().await;
        sleep(3 * MINUTE).await;
        let registry = world.open().await;
        let snapshot = end_of(&registry, id).await;
        let expected = if arrived { QueryStatus::Succeeded } else { QueryStatus::Failed };
        assert_eq!(snapshot.status, expected, "{snapshot:#?}");
        assert_eq!(world.engine.submissions().len(), 1);
        if !arrived {
            assert_eq!(snapshot.error.unwrap().kind, ErrorKind::SubmitLost);
        }
        world.close(registry).await;
        world.engine = world.engine.restarted();
    }
}

#[tokio::test(start_paused = true)]
async fn an_embedded_query_that_died_with_its_process_fails_and_says_what_to_do() {
    let mut world = World::around(ScriptedBackend::embedded().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let registry = world.restart(registry).await;
    let snapshot = end_of(&registry, id).await;
    let error = snapshot.error.unwrap();
    assert_eq!((snapshot.status, error.kind), (QueryStatus::Failed, ErrorKind::EngineStopped));
    assert!(error.message.contains("submit the statement again"), "{}", error.message);
    assert_eq!(world.engine.submissions().len(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_embedded_query_that_was_being_stopped_when_its_process_died_is_stopped() {
    let mut world = World::around(ScriptedBackend::embedded().by_default(Script::never_ends()));
    world.engine.always(Fault::CancelLost);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    registry.cancel(id, Duration::ZERO).await.unwrap();
    let registry = world.restart(registry).await;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.stop_confirmed), (QueryStatus::Canceled, true));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_query_that_waited_in_the_line_runs_after_the_restart() {
    let engine = ScriptedBackend::embedded().on("endless", Script::never_ends());
    let mut world = World::around(engine).with(|config| config.max_running = 1);
    let registry = world.open().await;
    let endless = submit(&registry, "endless").await;
    running(&registry, endless).await;
    let waiting = submit(&registry, "select 1").await;
    let registry = world.restart(registry).await;
    assert_eq!(end_of(&registry, waiting).await.status, QueryStatus::Succeeded);
    assert_eq!(end_of(&registry, endless).await.status, QueryStatus::Failed);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_wish_to_stop_survives_the_crash() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    world.engine.always(Fault::CancelLost);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    assert_eq!(registry.cancel(id, Duration::ZERO).await.unwrap().reason, CancelReason::Requested);
    registry.crash().await;
    world.engine = world.engine.restarted();
    world.engine.heal();
    let registry = world.open().await;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.status, snapshot.stop_confirmed), (QueryStatus::Canceled, true));
    assert_eq!(world.engine.running(), 0);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_debt_survives_the_crash_and_is_paid() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    world.engine.always(Fault::CancelLost);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    registry.cancel(id, Duration::ZERO).await.unwrap();
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Canceled);
    assert!(world.record(id).owes.contains(&Obligation::CancelRemote));
    registry.crash().await;
    world.engine = world.engine.restarted();
    world.engine.heal();
    let registry = world.open().await;
    while !world.record(id).owes.is_empty() {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((world.engine.running(), registry.metrics().debts_paid), (0, 1));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_during_the_fetch_fetches_again() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::at_once().with_count(10)));
    world.engine.once(Fault::FetchStalls);
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    while world.engine.calls(Call::Fetch) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let registry = world.restart(registry).await;
    assert_eq!(end_of(&registry, id).await.stored_rows, 10);
    assert_eq!(world.engine.all_executions(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_result_can_be_read_after_the_restart() {
    let mut world = World::around(ScriptedBackend::embedded().by_default(Script::at_once().with_count(10)));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    let before = end_of(&registry, id).await;
    let registry = world.restart(registry).await;
    assert_eq!(registry.get_snapshot(id).await.unwrap().unwrap(), before);
    assert_eq!(registry.fetch_result(id, 8, None, u64::MAX).await.unwrap().rows.len(), 2);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_idempotency_key_survives_the_restart() {
    let mut world = World::around(ScriptedBackend::remote());
    let keyed = || QueryRequest { idempotency_key: Some("k".to_owned()), ..QueryRequest::new("insert") };
    let registry = world.open().await;
    let first = registry.execute_query(keyed()).await.unwrap().snapshot.query_id;
    end_of(&registry, first).await;
    let registry = world.restart(registry).await;
    assert_eq!(registry.execute_query(keyed()).await.unwrap().snapshot.query_id, first);
    assert_eq!(world.engine.all_executions(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_leaves_remote_queries_running_unless_told_otherwise() {
    for on_exit in [OnExit::Detach, OnExit::Cancel] {
        let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
        let world = world.with(|config| config.on_exit = on_exit);
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        running(&registry, id).await;
        let report = registry.close(Shutdown::Immediate).await;
        let record = world.record(id);
        match on_exit {
            OnExit::Detach => {
                assert_eq!((report.detached, record.status), (vec![id], QueryStatus::Running));
                assert_eq!((world.engine.running(), record.intent), (1, None));
            }
            OnExit::Cancel => {
                assert_eq!((report.stopped, record.status), (vec![id], QueryStatus::Canceled));
                assert_eq!(record.intent.unwrap().reason, StopReason::Shutdown);
                assert_eq!(world.engine.running(), 0);
            }
        }
        world.check_leaks(&registry);
    }
}

#[tokio::test(start_paused = true)]
async fn a_graceful_end_lets_running_queries_finish_within_its_patience() {
    let engine =
        ScriptedBackend::remote().on("short", Script::runs_for(MINUTE)).on("long", Script::never_ends());
    let world = World::around(engine);
    let registry = world.open().await;
    let short = submit(&registry, "short").await;
    let long = submit(&registry, "long").await;
    running(&registry, short).await;
    running(&registry, long).await;
    let report = registry.close(Shutdown::Graceful(5 * MINUTE)).await;
    assert_eq!(report.detached, [long]);
    assert_eq!(world.record(short).status, QueryStatus::Succeeded);
    world.check_leaks(&registry);
}

#[tokio::test(start_paused = true)]
async fn a_query_of_another_engine_under_the_same_name_is_left_alone() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    registry.crash().await;
    let mut other = World::around(ScriptedBackend::embedded());
    other.journal = std::sync::Arc::clone(&world.journal);
    let registry = other.open().await;
    sleep(MINUTE).await;
    let record = world.record(id);
    assert_eq!((record.status, record.lease.epoch), (QueryStatus::Running, 1));
    assert_eq!((other.engine.log().len(), world.engine.running()), (0, 1));
    other.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn crashes_at_every_step_of_a_life_lose_nothing_and_run_nothing_twice() {
    for (cancel, step) in (0..60).flat_map(|step| [(false, step), (true, step)]) {
        let engine =
            ScriptedBackend::remote().by_default(Script::runs_for(Duration::from_secs(10)).with_count(3));
        let mut world = World::around(engine.calls_take(Duration::from_millis(300)));
        let mut registry = world.open().await;
        let id = submit(&registry, "select n").await;
        if cancel {
            sleep(Duration::from_millis(step * 37)).await;
            registry.cancel(id, Duration::ZERO).await.unwrap();
        }
        sleep(Duration::from_millis(step * 211)).await;
        registry = world.restart(registry).await;
        sleep(Duration::from_millis(step * 97)).await;
        registry = world.restart(registry).await;
        let snapshot = end_of(&registry, id).await;
        let allowed: &[QueryStatus] =
            if cancel { &[QueryStatus::Canceled, QueryStatus::Succeeded] } else { &[QueryStatus::Succeeded] };
        assert!(allowed.contains(&snapshot.status), "step {step}, cancel {cancel}: {snapshot:#?}");
        assert!(world.engine.all_executions() <= 1, "step {step}, cancel {cancel}");
        while world.engine.running() > 0 {
            assert!(!world.record(id).owes.is_empty(), "step {step}: runs on, and nobody owes its end");
            sleep(Duration::from_secs(1)).await;
        }
        drivers_gone(&registry).await;
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_forgot_the_statement_is_believed_only_after_many_checks() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(10 * MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.times(23, Fault::CheckNoData);
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    let lost = submit(&registry, "select 2").await;
    running(&registry, lost).await;
    world.engine.forget_statements();
    let snapshot = end_of(&registry, lost).await;
    assert_eq!((snapshot.status, snapshot.error.unwrap().kind), (QueryStatus::Failed, ErrorKind::RemoteLost));
    registry.close(Shutdown::Immediate).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_while_the_query_runs_is_told_and_survived() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.always(Fault::CheckUnclear);
    let told = until(&registry, id, |snapshot| snapshot.unreachable.is_some()).await;
    assert_eq!(told.status, QueryStatus::Running);
    sleep(10 * MINUTE).await;
    assert_eq!(registry.get_snapshot(id).await.unwrap().unwrap().status, QueryStatus::Running);
    world.engine.heal();
    let snapshot = registry.wait_for_end(id, PATIENCE).await.unwrap();
    assert_eq!((snapshot.status, snapshot.unreachable), (QueryStatus::Succeeded, None));
    world.close(registry).await;
}
