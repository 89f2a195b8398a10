//! Sessions and tasks on every way out: each session is closed exactly once, after its last call, and no task is left.

use std::time::Duration;

use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::QueryId;
use registry_core::registry::{QueryRegistry, Shutdown};
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Logged, Script, ScriptedBackend};
use support::world::{PATIENCE, World, drivers_gone, end_of, running, submit};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

async fn with_a_running_query(engine: ScriptedBackend) -> (World, QueryRegistry, QueryId) {
    // Neither the sweep nor a time limit comes before what the test does.
    let world = World::around(engine.without_time_limits()).with(|config| {
        config.sweep_interval = 365 * DAY;
        config.timing.max_timeout = 365 * DAY;
    });
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    (world, registry, id)
}

fn closes(world: &World) -> usize {
    world.engine.log().iter().filter(|entry| entry.what == Logged::Closed).count()
}

#[tokio::test(start_paused = true)]
async fn the_session_is_closed_once_on_completion() {
    let (world, registry, id) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE))).await;
    assert_eq!((world.engine.open_sessions(), closes(&world)), (1, 0));
    end_of(&registry, id).await;
    drivers_gone(&registry).await;
    assert_eq!((world.engine.open_sessions(), closes(&world)), (0, 1));
    world.close(registry).await;
    assert_eq!(closes(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn the_session_is_closed_once_on_cancel() {
    let (world, registry, id) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::never_ends())).await;
    registry.cancel(id, PATIENCE).await.unwrap();
    drivers_gone(&registry).await;
    assert_eq!((world.engine.open_sessions(), closes(&world)), (0, 1));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn the_session_is_closed_once_on_prune() {
    let (world, registry, _) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::never_ends())).await;
    tokio::time::advance(DAY).await;
    registry.prune_expired().await.unwrap();
    drivers_gone(&registry).await;
    assert_eq!((world.engine.open_sessions(), closes(&world), world.engine.running()), (0, 1, 0));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn two_queries_make_exactly_two_closes_when_the_registry_closes() {
    let (world, registry, _) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::never_ends())).await;
    let second = submit(&registry, "select 2").await;
    running(&registry, second).await;
    registry.close(Shutdown::Immediate).await;
    assert_eq!(closes(&world), 2);
    world.check_leaks(&registry);
}

#[tokio::test(start_paused = true)]
async fn after_a_cancel_nothing_is_asked_of_the_engine_any_more() {
    let (world, registry, id) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::never_ends())).await;
    registry.cancel(id, PATIENCE).await.unwrap();
    drivers_gone(&registry).await;
    let calls = world.engine.log().len();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.engine.log().len(), calls);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_prune_the_driver_of_the_query_is_gone() {
    let (world, registry, id) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::never_ends())).await;
    tokio::time::advance(DAY).await;
    assert_eq!(registry.prune_expired().await.unwrap(), 1);
    drivers_gone(&registry).await;
    assert!(registry.get_snapshot(id).await.unwrap().is_none());
    assert_eq!(world.engine.calls(Call::Cancel), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_close_every_driver_is_gone_and_nothing_is_asked_of_the_engine() {
    let (world, registry, id) =
        with_a_running_query(ScriptedBackend::remote().by_default(Script::never_ends())).await;
    let report = registry.close(Shutdown::Immediate).await;
    assert_eq!((report.detached, registry.metrics().drivers), (vec![id], 0));
    let calls = world.engine.log().len();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(world.engine.log().len(), calls);
    assert_eq!((world.engine.calls(Call::Cancel), world.engine.running()), (0, 1));
    world.check_leaks(&registry);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_opened_leaves_none_open() {
    let world = World::around(ScriptedBackend::remote());
    world.engine.always(Fault::OpenFails);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Failed);
    drivers_gone(&registry).await;
    assert_eq!((registry.metrics().sessions_opened, closes(&world)), (0, 0));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_fails_leaves_its_session_closed() {
    let error = ErrorInfo::new(ErrorKind::Sql, "division by zero");
    for script in [Script::rejected(error.clone()), Script::runs_for(MINUTE).then_fails(error)] {
        let world = World::around(ScriptedBackend::remote().by_default(script));
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        assert_eq!(end_of(&registry, id).await.status, QueryStatus::Failed);
        drivers_gone(&registry).await;
        assert_eq!((world.engine.open_sessions(), closes(&world)), (0, 1));
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_cannot_be_closed_changes_nothing_and_is_counted() {
    for fault in [Fault::CloseFails, Fault::CloseStalls] {
        let world = World::around(ScriptedBackend::remote());
        world.engine.once(fault);
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
        drivers_gone(&registry).await;
        assert_eq!((registry.metrics().session_close_errors, registry.metrics().sessions_open), (1, 0));
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_every_call_leaves_nothing_open() {
    let error = ErrorInfo::new(ErrorKind::Permission, "no");
    for fault in [
        Fault::OpenFails,
        Fault::OpenStalls,
        Fault::SubmitLost,
        Fault::SubmitAnswerLost,
        Fault::SubmitArrivesLate(Duration::from_secs(10)),
        Fault::SubmitRejected(error.clone()),
        Fault::SubmitStalls,
        Fault::SubmitAnswerStalls,
        Fault::CheckUnclear,
        Fault::CheckNoData,
        Fault::CheckStalls,
        Fault::FetchFails,
        Fault::FetchFailsForGood(error),
        Fault::CancelLost,
        Fault::CancelAnswerLost,
        Fault::CancelStalls,
    ] {
        let script =
            if fault.call() == Call::Cancel { Script::never_ends() } else { Script::runs_for(MINUTE) };
        let world = World::around(ScriptedBackend::remote().by_default(script));
        world.engine.once(fault.clone());
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        if fault.call() == Call::Cancel {
            running(&registry, id).await;
            registry.cancel(id, PATIENCE).await.unwrap();
        }
        let snapshot = end_of(&registry, id).await;
        drivers_gone(&registry).await;
        let expected = match fault {
            Fault::SubmitRejected(_) | Fault::FetchFailsForGood(_) => QueryStatus::Failed,
            _ if fault.call() == Call::Cancel => QueryStatus::Canceled,
            _ => QueryStatus::Succeeded,
        };
        assert_eq!(snapshot.status, expected, "{fault:?}: {snapshot:#?}");
        assert!(world.engine.all_executions() <= 1, "{fault:?}");
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_never_answers_does_not_hold_up_the_end() {
    for fault in
        [Fault::OpenStalls, Fault::SubmitStalls, Fault::CheckStalls, Fault::CancelStalls, Fault::FetchStalls]
    {
        let script = if fault == Fault::FetchStalls { Script::at_once() } else { Script::never_ends() };
        let world = World::around(ScriptedBackend::remote().by_default(script));
        world.engine.always(fault.clone());
        let registry = world.open().await;
        let id = submit(&registry, "select 1").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if fault.call() == Call::Cancel {
            registry.cancel(id, Duration::ZERO).await.unwrap();
        }
        let start = tokio::time::Instant::now();
        registry.close(Shutdown::Immediate).await;
        assert!(start.elapsed() < Duration::from_secs(1), "{fault:?} took {:?}", start.elapsed());
        world.check_leaks(&registry);
    }
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_queries_with_mixed_ends_leave_nothing_behind() {
    let error = ErrorInfo::new(ErrorKind::Sql, "no");
    let engine = ScriptedBackend::remote()
        .on("quick", Script::at_once())
        .on("slow", Script::runs_for(MINUTE))
        .on("bad", Script::rejected(error))
        .on("endless", Script::never_ends());
    let world = World::around(engine).with(|config| {
        config.max_queued = 10_000;
        config.sweep_interval = 365 * DAY;
    });
    let registry = world.open().await;
    let mut ids = vec![];
    for n in 0..400 {
        ids.push((n, submit(&registry, ["quick", "slow", "bad", "endless"][n % 4]).await));
    }
    for (n, id) in ids {
        let expected = match n % 4 {
            0 | 1 => QueryStatus::Succeeded,
            2 => QueryStatus::Failed,
            _ => {
                registry.cancel(id, PATIENCE).await.unwrap();
                QueryStatus::Canceled
            }
        };
        assert_eq!(end_of(&registry, id).await.status, expected);
    }
    tokio::time::advance(DAY).await;
    assert_eq!(registry.prune_expired().await.unwrap(), 400);
    assert_eq!(registry.list_queries(registry_core::journal::ListFilter::default()).await.unwrap(), []);
    assert_eq!(world.results.ids().unwrap(), []);
    drivers_gone(&registry).await;
    world.close(registry).await;
}
