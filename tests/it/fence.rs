//! What is told of the thing that holds writes back.

use std::time::Duration;

use registry_core::backend::{Fence, FenceKind};
use registry_core::error::RegistryError;
use registry_core::testing::scripted::{Call, Fault, ScriptedBackend};
use support::world::{PATIENCE, World, end_of, submit};
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);

fn guarded() -> Fence {
    Fence::engine("Three forbidden statements were refused.")
}

#[tokio::test(start_paused = true)]
async fn an_engine_is_asked_once_however_many_want_to_know() {
    let world = World::around(ScriptedBackend::remote().with_fence(guarded()).calls_take(SECOND));
    let registry = world.open().await;
    assert_eq!(world.engine.calls(Call::Fence), 0, "nobody has asked yet");
    let (first, second) =
        tokio::join!(registry.fence(None, PATIENCE), registry.fence(Some("main"), PATIENCE));
    assert_eq!((first.unwrap(), second.unwrap()), (guarded(), guarded()));
    advance(3600 * SECOND).await;
    assert_eq!(registry.fence(None, Duration::ZERO).await.unwrap(), guarded());
    assert_eq!(world.engine.calls(Call::Fence), 1);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn without_patience_the_answer_is_what_is_known_so_far() {
    let world = World::around(ScriptedBackend::remote().with_fence(guarded()).calls_take(SECOND));
    let registry = world.open().await;
    let started = Instant::now();
    let early = registry.fence(None, Duration::ZERO).await.unwrap();
    assert_eq!((early.kind, started.elapsed()), (FenceKind::Unknown, Duration::ZERO));
    // Somebody else's impatience does not end the question.
    assert_eq!(registry.fence(None, 2 * SECOND).await.unwrap(), guarded());
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_delays_no_query_and_is_asked_again() {
    let world = World::around(ScriptedBackend::remote().with_fence(guarded()));
    world.engine.once(Fault::FenceStalls);
    let registry = world.open().await;
    assert_eq!(registry.fence(None, Duration::ZERO).await.unwrap().kind, FenceKind::Unknown);
    let started = Instant::now();
    end_of(&registry, submit(&registry, "select 1").await).await;
    assert!(started.elapsed() < SECOND, "{:?}", started.elapsed());
    let late = registry.fence(None, PATIENCE).await.unwrap();
    assert_eq!(late.detail, "The engine gave no answer within 60 s.");
    assert_eq!(registry.fence(None, PATIENCE).await.unwrap(), late, "not at once");
    advance(61 * SECOND).await;
    assert_eq!(registry.fence(None, PATIENCE).await.unwrap(), guarded());
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_open_holds_up_no_shutdown() {
    let world = World::around(ScriptedBackend::remote());
    world.engine.always(Fault::FenceStalls);
    let registry = world.open().await;
    assert_eq!(registry.fence(None, Duration::ZERO).await.unwrap().kind, FenceKind::Unknown);
    let (waiting, started) = (registry.clone(), Instant::now());
    let waiter = tokio::spawn(async move { waiting.fence(None, PATIENCE).await });
    world.close(registry).await;
    let told = waiter.await.unwrap().unwrap();
    assert_eq!(told, Fence::unknown("The server is shutting down."));
    assert!(started.elapsed() < SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_connection_has_no_fence() {
    let world = World::around(ScriptedBackend::remote());
    let registry = world.open().await;
    let error = registry.fence(Some("elsewhere"), PATIENCE).await.unwrap_err();
    assert!(matches!(error, RegistryError::UnknownConnection { .. }), "{error:?}");
    world.close(registry).await;
}
