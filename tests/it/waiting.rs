//! The long poll: whoever waits learns of every change, and nothing else ends a wait early.

use std::sync::Arc;
use std::time::Duration;

use registry_core::registry::QueryRegistry;
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Script, ScriptedBackend};
use support::world::{PATIENCE, World, running, submit};
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_wait_without_news_ends_at_its_limit_and_says_so() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let before = running(&registry, id).await;
    let start = Instant::now();
    let waited = registry.wait(id, None, Duration::from_secs(25)).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(25));
    assert_eq!((waited.changed, waited.snapshot.version), (false, before.version));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_an_older_version_returns_at_once() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let start = Instant::now();
    let waited = registry.wait(id, Some(1), MINUTE).await.unwrap();
    assert!(waited.changed && start.elapsed().is_zero());
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_wait_on_an_ended_query_returns_at_once() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let version = registry.wait_for_end(id, MINUTE).await.unwrap().version;
    let start = Instant::now();
    let waited = registry.wait(id, Some(version), MINUTE).await.unwrap();
    assert!(!waited.changed && start.elapsed().is_zero());
    world.close(registry).await;
}

/// Waits for each kind of change, started before it happens.
async fn wakes(
    registry: &QueryRegistry,
    id: registry_core::id::QueryId,
    cause: impl Future<Output = ()>,
) -> Duration {
    let version = registry.get_snapshot(id).await.unwrap().unwrap().version;
    let waits: Vec<_> = (0..3)
        .map(|_| {
            let registry = registry.clone();
            tokio::spawn(async move {
                let woken = registry.wait(id, Some(version), PATIENCE).await;
                (woken.is_err() || woken.unwrap().changed, Instant::now())
            })
        })
        .collect();
    while registry.metrics().waiters < 3 {
        tokio::task::yield_now().await;
    }
    cause.await;
    let caused = Instant::now();
    let mut slowest = Duration::ZERO;
    for wait in waits {
        let (changed, at) = wait.await.unwrap();
        assert!(changed);
        slowest = slowest.max(at.saturating_duration_since(caused));
    }
    slowest
}

#[tokio::test(start_paused = true)]
async fn completion_failure_cancel_external_stop_and_prune_each_wake_every_waiter_at_once() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    for cause in 0..3 {
        let id = submit(&registry, &format!("select {cause}")).await;
        running(&registry, id).await;
        let slowest = wakes(&registry, id, async {
            match cause {
                0 => drop(registry.cancel(id, Duration::ZERO).await),
                1 => world.engine.stop_from_outside(),
                _ => {
                    tokio::time::advance(Duration::from_secs(24 * 3600)).await;
                    registry.prune_expired().await.unwrap();
                }
            }
        })
        .await;
        // Without a call of ours to tell, the engine's news is a check away.
        let bound = if cause == 1 { Duration::from_secs(10) } else { Duration::ZERO };
        assert!(slowest <= bound, "cause {cause}: {slowest:?}");
    }
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_waiter_is_not_robbed_by_the_first() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let version = running(&registry, id).await.version;
    let wait = |registry: QueryRegistry| {
        tokio::spawn(async move { registry.wait(id, Some(version), 2 * MINUTE).await.unwrap() })
    };
    let (first, second) = (wait(registry.clone()), wait(registry.clone()));
    assert_eq!(first.await.unwrap().snapshot.status, QueryStatus::Succeeded);
    let again = registry.wait(id, Some(version), MINUTE).await.unwrap();
    assert!(again.changed);
    assert_eq!(second.await.unwrap().snapshot.status, QueryStatus::Succeeded);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_wait_leaves_the_query_alone() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let wait = tokio::spawn({
        let registry = registry.clone();
        async move { registry.wait_for_end(id, PATIENCE).await }
    });
    while registry.metrics().waiters == 0 {
        tokio::task::yield_now().await;
    }
    wait.abort();
    assert!(wait.await.unwrap_err().is_cancelled());
    assert_eq!(registry.metrics().waiters, 0);
    assert_eq!(registry.wait_for_end(id, PATIENCE).await.unwrap().status, QueryStatus::Succeeded);
    assert_eq!(world.engine.calls(Call::Cancel), 0);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_submission_is_carried_through() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let submission = tokio::spawn({
        let registry = registry.clone();
        async move { submit(&registry, "select 1").await }
    });
    tokio::task::yield_now().await;
    submission.abort();
    submission.await.ok();
    let mut listed = vec![];
    while !listed.first().is_some_and(|one: &registry_core::snapshot::QuerySnapshot| one.status.is_terminal())
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
        listed = registry.list_queries(registry_core::journal::ListFilter::default()).await.unwrap();
        assert!(listed.len() <= 1);
    }
    assert_eq!(listed[0].status, QueryStatus::Succeeded);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_registry_ends_every_wait() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let wait = tokio::spawn({
        let registry = registry.clone();
        async move { registry.wait(id, None, PATIENCE).await }
    });
    while registry.metrics().waiters == 0 {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    world.close(registry).await;
    assert!(!wait.await.unwrap().unwrap().changed);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn waiting_reads_nothing_from_the_journal() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    let snapshot = running(&registry, id).await;
    // Paused time moves on only when every call of the journal is over.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let before = registry.metrics().journal_seconds.count;
    registry.wait(id, Some(snapshot.version), Duration::from_secs(25)).await.unwrap();
    assert_eq!(registry.metrics().journal_seconds.count, before);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_cancel_holds_up_nobody() {
    let engine = ScriptedBackend::remote().by_default(Script::never_ends()).cancel_takes(MINUTE);
    let world = World::around(engine);
    let registry = Arc::new(world.open().await);
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let cancel = tokio::spawn({
        let registry = Arc::clone(&registry);
        async move { registry.cancel(id, PATIENCE).await }
    });
    while registry.get_snapshot(id).await.unwrap().unwrap().stop_reason.is_none() {
        tokio::task::yield_now().await;
    }
    let start = Instant::now();
    registry.get_snapshot(id).await.unwrap();
    assert_eq!(registry.list_queries(registry_core::journal::ListFilter::default()).await.unwrap().len(), 1);
    assert!(start.elapsed() < Duration::from_millis(100));
    cancel.await.unwrap().unwrap();
    world.close(QueryRegistry::clone(&registry)).await;
}

#[tokio::test(start_paused = true)]
async fn the_engine_is_asked_less_and_less_often() {
    let world =
        World::around(ScriptedBackend::remote().by_default(Script::runs_for(Duration::from_secs(3600))));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    registry.wait_for_end(id, PATIENCE).await.unwrap();
    let checks = world.engine.calls(Call::Check);
    assert!((300..=750).contains(&checks), "{checks} checks for an hour");
    let times: Vec<u128> = world
        .engine
        .log()
        .iter()
        .filter(|entry| entry.what.call() == Some(Call::Check))
        .map(|entry| entry.at.as_millis())
        .take(8)
        .collect();
    assert_eq!(times, [250, 500, 1000, 2000, 3500, 5500, 9500, 14_500]);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_announces_the_end_is_asked_half_as_often() {
    let script = Script::runs_for(Duration::from_secs(3600));
    let world = World::around(ScriptedBackend::embedded().by_default(script));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    registry.wait_for_end(id, PATIENCE).await.unwrap();
    let checks = world.engine.calls(Call::Check);
    assert!((300..=400).contains(&checks), "{checks} checks for an hour");
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn with_nobody_waiting_the_engine_is_asked_half_as_often() {
    let script = Script::runs_for(Duration::from_secs(3600));
    let world = World::around(ScriptedBackend::remote().by_default(script));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    tokio::time::sleep(Duration::from_secs(3700)).await;
    let snapshot = registry.get_snapshot(id).await.unwrap().unwrap();
    assert_eq!(snapshot.status, QueryStatus::Succeeded);
    let checks = world.engine.calls(Call::Check);
    assert!((300..=400).contains(&checks), "{checks} checks for an hour");
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_quick_statement_is_seen_to_end_within_300_ms_at_three_calls() {
    for millis in [1, 50, 100, 200, 250] {
        let script = Script::runs_for(Duration::from_millis(millis));
        let world = World::around(ScriptedBackend::remote().by_default(script));
        let registry = world.open().await;
        let start = Instant::now();
        let id = submit(&registry, "select 1").await;
        registry.wait_for_end(id, PATIENCE).await.unwrap();
        let late = start.elapsed().saturating_sub(Duration::from_millis(millis));
        assert!(late <= Duration::from_millis(300), "{millis} ms: {late:?} late");
        let calls = [Call::Submit, Call::Check, Call::Fetch, Call::Lookup];
        assert_eq!(calls.map(|call| world.engine.calls(call)), [1, 1, 1, 0], "{millis} ms");
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_of_a_minute_costs_at_most_twenty_calls() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::runs_for(MINUTE)));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    registry.wait_for_end(id, PATIENCE).await.unwrap();
    let calls = [Call::Submit, Call::Check, Call::Fetch, Call::Lookup].map(|call| world.engine.calls(call));
    assert!(calls.iter().sum::<usize>() <= 20, "{calls:?}");
    world.close(registry).await;
}
