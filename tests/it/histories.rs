//! Random histories: calls of callers, faults of the engine, crashes and the passage of time in any order. Whatever
//! happens, what was accepted reaches a truthful end, an end stays, and nothing runs twice or for ever.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use registry_core::QueryRegistry;
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::QueryId;
use registry_core::journal::ListFilter;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use registry_core::testing::scripted::{Fault, Script, ScriptedBackend};
use support::world::{World, drivers_gone, submit};
use tokio::time::sleep;

#[derive(Debug, Clone)]
enum Action {
    Submit(&'static str),
    Cancel(prop::sample::Index),
    Wait(prop::sample::Index, u64),
    Pass(u64),
    Fault(Fault),
    Heal,
    StopFromOutside,
    Crash,
}

fn actions(late_arrivals: bool) -> impl Strategy<Value = Vec<Action>> {
    let index = any::<prop::sample::Index>;
    let statement = prop::sample::select(vec!["quick", "slow", "failing", "rejected", "endless"]);
    let mut faults = vec![
        Fault::OpenFails,
        Fault::SubmitLost,
        Fault::SubmitAnswerLost,
        Fault::SubmitAnswerStalls,
        Fault::LookupMisses,
        Fault::LookupUnclear,
        Fault::CheckUnclear,
        Fault::CheckNoData,
        Fault::FetchFails,
        Fault::CancelLost,
        Fault::CancelAnswerLost,
        Fault::CancelIgnored,
        Fault::CloseFails,
    ];
    if late_arrivals {
        faults.push(Fault::SubmitArrivesLate(Duration::from_secs(7)));
    }
    let fault = prop::sample::select(faults);
    let action = prop_oneof![
        4 => statement.prop_map(Action::Submit),
        3 => index().prop_map(Action::Cancel),
        2 => (index(), 1..60_000u64).prop_map(|(query, millis)| Action::Wait(query, millis)),
        4 => (1..100_000u64).prop_map(Action::Pass),
        4 => fault.prop_map(Action::Fault),
        1 => Just(Action::Heal),
        1 => Just(Action::StopFromOutside),
        2 => Just(Action::Crash),
    ];
    prop::collection::vec(action, 1..40)
}

fn engine(engine: ScriptedBackend) -> ScriptedBackend {
    let error = ErrorInfo::new(ErrorKind::Sql, "wrong");
    engine
        .on("quick", Script::at_once().with_count(3))
        .on("slow", Script::runs_for(Duration::from_secs(90)).queued_for(Duration::from_secs(30)))
        .on("failing", Script::runs_for(Duration::from_secs(5)).then_fails(error.clone()))
        .on("rejected", Script::rejected(error))
        .on("endless", Script::never_ends())
}

/// What the outside has seen so far.
#[derive(Default)]
struct Witness {
    ids: Vec<QueryId>,
    latest: HashMap<QueryId, QuerySnapshot>,
}

impl Witness {
    fn pick(&self, index: prop::sample::Index) -> Option<QueryId> {
        (!self.ids.is_empty()).then(|| *index.get(&self.ids))
    }

    fn see(&mut self, now: QuerySnapshot) {
        check_consistency(&now);
        if let Some(before) = self.latest.get(&now.query_id) {
            assert!(now.version >= before.version, "{before:#?} {now:#?}");
            assert!(now.updated_at >= before.updated_at, "{before:#?} {now:#?}");
            if before.status.is_terminal() {
                assert_eq!(now.status, before.status);
                assert_eq!(now.finished_at, before.finished_at);
            }
            if now.version == before.version {
                assert_eq!(now.status, before.status);
            }
        }
        self.latest.insert(now.query_id, now);
    }

    async fn look_at_all(&mut self, registry: &QueryRegistry) {
        let listed = registry.list_queries(ListFilter::default()).await.unwrap();
        assert_eq!(listed.len(), self.ids.len(), "an accepted query is not listed");
        listed.into_iter().for_each(|snapshot| self.see(snapshot));
    }
}

/// A snapshot tells one story.
fn check_consistency(snapshot: &QuerySnapshot) {
    let ended = snapshot.status.is_terminal();
    assert_eq!(snapshot.finished_at.is_some(), ended, "{snapshot:#?}");
    if let (Some(start), Some(finish)) = (snapshot.started_at, snapshot.finished_at) {
        assert!(start <= finish, "{snapshot:#?}");
    }
    let succeeded = snapshot.status == QueryStatus::Succeeded;
    assert_eq!(
        (snapshot.columns.is_some(), snapshot.row_count.is_some()),
        (succeeded, succeeded),
        "{snapshot:#?}"
    );
    match snapshot.status {
        QueryStatus::Failed | QueryStatus::Timeout => assert!(snapshot.error.is_some(), "{snapshot:#?}"),
        QueryStatus::Canceled => {}
        _ => assert!(snapshot.error.is_none(), "{snapshot:#?}"),
    }
}

async fn live_through(engine: ScriptedBackend, actions: Vec<Action>) {
    let mut world = World::around(engine).with(|config| {
        config.max_running = 3;
        config.ttl = Duration::from_secs(365 * 24 * 3600);
    });
    let mut registry = world.open().await;
    let mut witness = Witness::default();
    for action in actions {
        match action {
            Action::Submit(sql) => witness.ids.push(submit(&registry, sql).await),
            Action::Cancel(query) => {
                if let Some(id) = witness.pick(query) {
                    witness.see(registry.cancel(id, Duration::ZERO).await.unwrap().snapshot);
                }
            }
            Action::Wait(query, millis) => {
                if let Some(id) = witness.pick(query) {
                    let waited = registry.wait(id, None, Duration::from_millis(millis)).await.unwrap();
                    witness.see(waited.snapshot);
                }
            }
            Action::Pass(millis) => sleep(Duration::from_millis(millis)).await,
            Action::Fault(fault) => world.engine.once(fault),
            Action::Heal => world.engine.heal(),
            Action::StopFromOutside => world.engine.stop_from_outside(),
            Action::Crash => registry = world.restart(registry).await,
        }
        witness.look_at_all(&registry).await;
    }
    settle(&world, &registry, &mut witness).await;
    world.close(registry).await;
}

/// Once the faults are over, every query ends, what was stopped stops, and every debt is paid.
async fn settle(world: &World, registry: &QueryRegistry, witness: &mut Witness) {
    world.engine.heal();
    for id in witness.ids.clone() {
        registry.cancel(id, Duration::ZERO).await.unwrap();
        let end = registry.wait_for_end(id, Duration::from_secs(7 * 24 * 3600)).await.unwrap();
        assert!(end.status.is_terminal(), "{end:#?}");
        while !world.record(id).owes.is_empty() {
            sleep(Duration::from_secs(10)).await;
        }
    }
    witness.look_at_all(registry).await;
    drivers_gone(registry).await;
    assert_eq!(world.engine.running(), 0);
}

/// A scripted engine follows the clock of the runtime that it is made in.
fn run(lifetime: fn() -> ScriptedBackend, actions: Vec<Action>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async move { live_through(engine(lifetime()), actions).await });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_history_over_a_remote_engine_ends_well(actions in actions(true)) {
        run(ScriptedBackend::remote, actions);
    }

    /// Between us and an engine in our own process nothing travels.
    #[test]
    fn every_history_over_an_embedded_engine_ends_well(actions in actions(false)) {
        run(ScriptedBackend::embedded, actions);
    }
}
