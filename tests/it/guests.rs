//! A short-lived process on the state of others: it sees and stops their queries and takes none of them over.

use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::error::ErrorKind;
use registry_core::inspection::{Forgotten, Inspection};
use registry_core::instance::Holder;
use registry_core::journal::ListFilter;
use registry_core::registry::CancelReason;
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Script, ScriptedBackend};
use support::world::{World, end_of, running, submit, until};
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_secs(60);

/// The process dies, and a guest opens what it left.
async fn left_to_a_guest(world: &mut World, registry: QueryRegistry) -> QueryRegistry {
    world.config.takes_over = false;
    world.restart(registry).await
}

async fn only(registry: &QueryRegistry) -> Inspection {
    registry.inspect(ListFilter::default()).await.unwrap().pop().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_guest_drives_no_query_of_a_process_that_is_gone() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let registry = left_to_a_guest(&mut world, registry).await;
    let before = world.record(id);
    let calls = world.engine.log().len();
    registry.get_snapshot(id).await.unwrap();
    registry.list_queries(ListFilter::default()).await.unwrap();
    registry.wait_for_end(id, 5 * MINUTE).await.unwrap();
    let seen = only(&registry).await;
    assert_eq!((seen.snapshot.status, seen.holder), (QueryStatus::Running, Holder::Gone));
    assert!(seen.is_orphaned());
    assert_eq!((world.record(id), world.engine.log().len()), (before, calls));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_pays_the_debt_of_a_process_that_is_gone_when_it_is_asked_to() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    world.engine.always(Fault::CancelLost);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    registry.cancel(id, Duration::ZERO).await.unwrap();
    end_of(&registry, id).await;
    let registry = left_to_a_guest(&mut world, registry).await;
    let owing = only(&registry).await;
    assert!(owing.is_orphaned() && !owing.owes.is_empty() && !owing.snapshot.stop_confirmed);
    // While the engine does not listen, the patience ends and the debt stays.
    let asked = registry.cancel(id, MINUTE).await.unwrap();
    assert_eq!((asked.reason, world.engine.running()), (CancelReason::Unconfirmed, 1));
    assert!(!only(&registry).await.owes.is_empty());
    world.engine.heal();
    let paid = registry.cancel(id, 5 * MINUTE).await.unwrap();
    assert_eq!((paid.reason, world.engine.running()), (CancelReason::Canceled, 0));
    assert!(only(&registry).await.owes.is_empty());
    let again = registry.cancel(id, Duration::ZERO).await.unwrap();
    assert_eq!((again.reason, registry.metrics().debts_paid), (CancelReason::AlreadyCanceled, 1));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_stops_a_query_that_nobody_else_would_stop() {
    let mut world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let registry = left_to_a_guest(&mut world, registry).await;
    let canceled = registry.cancel(id, MINUTE).await.unwrap();
    assert_eq!((canceled.reason, world.engine.running()), (CancelReason::Canceled, 0));
    assert_eq!(world.engine.submissions().len(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_cancels_what_was_never_sent_sends_nothing() {
    let engine = ScriptedBackend::remote().by_default(Script::never_ends());
    let mut world = World::around(engine).with(|config| config.max_running = 1);
    let registry = world.open().await;
    let first = submit(&registry, "first").await;
    running(&registry, first).await;
    let waiting = submit(&registry, "waiting").await;
    let registry = left_to_a_guest(&mut world, registry).await;
    let canceled = registry.cancel(waiting, MINUTE).await.unwrap();
    assert_eq!(canceled.reason, CancelReason::NeverSent);
    assert_eq!(world.engine.submissions().len(), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_notes_that_an_embedded_engine_died_with_its_process() {
    let mut world = World::around(ScriptedBackend::embedded().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let registry = left_to_a_guest(&mut world, registry).await;
    let seen = only(&registry).await.snapshot;
    assert_eq!((seen.status, seen.error.unwrap().kind), (QueryStatus::Failed, ErrorKind::EngineStopped));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_runs_its_own_query() {
    let engine = ScriptedBackend::remote().by_default(Script::runs_for(MINUTE));
    let world = World::around(engine).with(|config| config.takes_over = false);
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    assert_eq!(only(&registry).await.holder, Holder::Alive);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_or_may_still_run_is_never_forgotten_on_request() {
    let engine =
        ScriptedBackend::remote().on("endless", Script::never_ends()).on("deaf", Script::never_ends());
    let world = World::around(engine);
    let registry = world.open().await;
    let ended = submit(&registry, "select 1").await;
    end_of(&registry, ended).await;
    let endless = submit(&registry, "endless").await;
    running(&registry, endless).await;
    let deaf = submit(&registry, "deaf").await;
    running(&registry, deaf).await;
    world.engine.always(Fault::CancelLost);
    registry.cancel(deaf, Duration::ZERO).await.unwrap();
    let owing = until(&registry, deaf, |snapshot| snapshot.status.is_terminal()).await;
    assert!(!owing.stop_confirmed && !world.record(deaf).owes.is_empty());
    let young = registry.forget_ended(Duration::from_secs(24 * 3600)).await.unwrap();
    assert_eq!(young, Forgotten::default());
    let forgotten = registry.forget_ended(Duration::ZERO).await.unwrap();
    assert_eq!((forgotten.queries, forgotten.kept_for_debts), (1, 1));
    assert!(forgotten.bytes > 0, "{forgotten:?}");
    assert!(registry.get_snapshot(ended).await.unwrap().is_none());
    for kept in [endless, deaf] {
        assert!(registry.get_snapshot(kept).await.unwrap().is_some());
    }
    world.engine.heal();
    while !world.record(deaf).owes.is_empty() {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(registry.forget_ended(Duration::ZERO).await.unwrap().queries, 1);
    assert!(world.engine.calls(Call::Cancel) > 0);
    world.close(registry).await;
}
