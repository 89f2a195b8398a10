//! How long records and rows are kept, and what it takes to forget them.

use std::time::Duration;

use registry_core::error::RegistryError;
use registry_core::journal::{Journal, ListFilter};
use registry_core::record::StopReason;
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Script, ScriptedBackend};
use support::world::{World, end_of, running, submit};
use tokio::time::{advance, sleep};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(start_paused = true)]
async fn a_record_and_its_rows_are_kept_for_exactly_a_day() {
    let world = World::around(ScriptedBackend::remote()).with(|config| config.sweep_interval = 365 * DAY);
    let registry = world.open().await;
    let accepted = tokio::time::Instant::now();
    let id = submit(&registry, "select 1").await;
    end_of(&registry, id).await;
    advance((DAY - Duration::from_secs(1)).saturating_sub(accepted.elapsed())).await;
    assert_eq!(registry.prune_expired().await.unwrap(), 0);
    assert!(registry.get_snapshot(id).await.unwrap().is_some());
    advance(Duration::from_secs(1)).await;
    assert_eq!(registry.prune_expired().await.unwrap(), 1);
    assert!(registry.get_snapshot(id).await.unwrap().is_none());
    assert_eq!(registry.fetch_result(id, 0, None, 1).await.unwrap_err(), RegistryError::NotFound(id));
    assert_eq!(world.results.ids().unwrap(), []);
    assert_eq!(registry.prune_expired().await.unwrap(), 0);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_needs_to_ask_for_the_sweep() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    end_of(&registry, id).await;
    sleep(DAY + Duration::from_secs(120)).await;
    assert_eq!(world.journal.get(id).unwrap(), None);
    assert_eq!(registry.metrics().queries_pruned, 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn more_records_than_one_batch_go_in_one_prune() {
    let world = World::around(ScriptedBackend::remote()).with(|config| config.sweep_interval = 365 * DAY);
    let registry = world.open().await;
    for n in 0..250 {
        let id = submit(&registry, &format!("select {n}")).await;
        end_of(&registry, id).await;
    }
    advance(DAY).await;
    assert_eq!(registry.prune_expired().await.unwrap(), 250);
    assert_eq!(registry.list_queries(ListFilter::default()).await.unwrap(), []);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_query_that_still_runs_is_stopped_first_and_then_forgotten() {
    let world =
        World::around(ScriptedBackend::remote().by_default(Script::never_ends()).without_time_limits());
    let world = world.with(|config| {
        config.timing.max_timeout = 30 * DAY;
        config.sweep_interval = 365 * DAY;
    });
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    advance(DAY).await;
    assert_eq!(registry.prune_expired().await.unwrap(), 1);
    assert!(registry.get_snapshot(id).await.unwrap().is_none());
    while world.journal.get(id).unwrap().is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((world.engine.calls(Call::Cancel), world.engine.running()), (1, 0));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_query_that_owes_a_cancel_stays_out_of_sight_until_it_has_paid() {
    let world =
        World::around(ScriptedBackend::remote().by_default(Script::never_ends()).without_time_limits());
    let world = world.with(|config| {
        config.timing.max_timeout = 30 * DAY;
        config.sweep_interval = 365 * DAY;
    });
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    world.engine.always(Fault::CancelLost);
    advance(DAY).await;
    registry.prune_expired().await.unwrap();
    while world.record(id).status == QueryStatus::Running {
        sleep(Duration::from_secs(1)).await;
    }
    let record = world.record(id);
    assert_eq!((record.status, record.intent.unwrap().reason), (QueryStatus::Canceled, StopReason::Ttl));
    assert!(record.forgotten && !record.owes.is_empty() && world.engine.running() == 1);
    assert_eq!(registry.list_queries(ListFilter::default()).await.unwrap(), []);
    world.engine.heal();
    while world.journal.get(id).unwrap().is_some() {
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.engine.running(), 0);
    world.close(registry).await;
}
