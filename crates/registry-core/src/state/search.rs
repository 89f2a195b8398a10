//! Every history of one query, tried: [`super::step`] in a small world of one record, one engine and a network that
//! drops, delays and loses answers, with crashes, a lease that is lost and a former owner that still writes.
//!
//! `world` holds the moves, `machine` the records, `invariants` what must hold, `mutants` the known ways to get this
//! wrong, each of which must be caught.

mod invariants;
mod machine;
mod mutants;
mod world;

use std::collections::{BTreeMap, HashMap};

use invariants::{broken_by, is_cancelable, is_settled, must_stop};
use machine::Machine;
use mutants::Mutant;
use world::{By, Driver, Engine, World};

/// What one search is about.
#[derive(Debug, Clone, Copy)]
struct Setting {
    engine: Engine,
    /// Cancel requests before the driver only waits.
    max_cancel_attempts: u32,
    /// Crashes and lost leases.
    max_crashes: u8,
    /// Lost messages and other faults.
    max_losses: u8,
    mutant: Option<Mutant>,
}

impl Setting {
    const fn remote() -> Self {
        Self { engine: Engine::Remote, max_cancel_attempts: 2, max_crashes: 2, max_losses: 2, mutant: None }
    }

    /// A smaller world is large enough for every mistake.
    const fn of(mutant: Mutant) -> Self {
        Self { max_crashes: 1, max_losses: 1, mutant: Some(mutant), ..Self::remote() }
    }

    const fn embedded(engine: Engine) -> Self {
        Self { engine, ..Self::remote() }
    }
}

/// All that can happen, and what of it must not.
struct Search {
    states: usize,
    edges: usize,
    /// The shortest history that breaks each invariant.
    broken: BTreeMap<&'static str, String>,
}

/// The states found so far, each with the move that first led to it.
#[derive(Default)]
struct Found {
    states: Vec<World>,
    numbers: HashMap<World, usize>,
    came_from: Vec<(usize, &'static str)>,
    /// Moves as (from, to, the engine ended the statement by itself).
    edges: Vec<(usize, usize, bool)>,
}

impl Found {
    fn number(&mut self, world: World, from: usize, name: &'static str) -> usize {
        let next = self.states.len();
        let number = *self.numbers.entry(world).or_insert(next);
        if number == next {
            self.states.push(world);
            self.came_from.push((from, name));
        }
        number
    }

    fn history(&self, mut number: usize) -> String {
        let mut names = vec![];
        while number != 0 {
            let (from, name) = self.came_from[number];
            names.push(name);
            number = from;
        }
        names.reverse();
        names.join(" > ")
    }

    /// The states from which a settled one can be reached; without the engine's help if `endless`.
    fn can_settle(&self, machine: &Machine, endless: bool) -> Vec<bool> {
        let mut into = vec![vec![]; self.states.len()];
        for &(from, to, by_itself) in &self.edges {
            if !(endless && by_itself) {
                into[to].push(from);
            }
        }
        let mut can: Vec<bool> = self.states.iter().map(|world| is_settled(machine, world)).collect();
        let mut open: Vec<usize> = (0..can.len()).filter(|&number| can[number]).collect();
        while let Some(number) = open.pop() {
            for &from in &into[number] {
                if !std::mem::replace(&mut can[from], true) {
                    open.push(from);
                }
            }
        }
        can
    }
}

fn search(setting: Setting) -> Search {
    let mut machine = Machine::new(setting);
    let mut found = Found::default();
    let mut broken: BTreeMap<&'static str, String> = BTreeMap::new();
    found.number(World::start(setting), 0, "");
    let mut at = 0;
    while at < found.states.len() {
        let before = found.states[at];
        let moves = before.moves(&mut machine);
        if !is_cancelable(&machine, &before, &moves) {
            broken.entry("I11").or_insert_with(|| found.history(at));
        }
        for done in moves {
            for invariant in broken_by(&machine, &before, &done) {
                broken.entry(invariant).or_insert_with(|| format!("{} > {}", found.history(at), done.name));
            }
            let to = found.number(done.after, at, done.name);
            found.edges.push((at, to, done.by == By::Itself));
        }
        at += 1;
        assert!(at < 2_000_000, "the state space is not finite");
    }
    let (ends, stops) = (found.can_settle(&machine, false), found.can_settle(&machine, true));
    for (number, world) in found.states.iter().enumerate() {
        if !ends[number] {
            broken.entry("L1").or_insert_with(|| found.history(number));
        }
        if must_stop(&machine, world) && !stops[number] {
            broken.entry("L2").or_insert_with(|| found.history(number));
        }
    }
    Search { states: found.states.len(), edges: found.edges.len(), broken }
}

fn assert_nothing_is_broken(name: &str, setting: Setting) -> Search {
    let result = search(setting);
    println!("{name}: {} states, {} moves", result.states, result.edges);
    assert!(result.broken.is_empty(), "{name}: {:#?}", result.broken);
    result
}

#[test]
fn no_history_at_a_remote_engine_breaks_an_invariant() {
    let result = assert_nothing_is_broken("remote", Setting::remote());
    assert!(result.states > 10_000, "the world has shrunk to {} states", result.states);
}

#[test]
fn a_single_cancel_request_is_enough_to_stop_whatever_was_looked_up() {
    assert_nothing_is_broken("one cancel request", Setting { max_cancel_attempts: 1, ..Setting::remote() });
}

#[test]
fn no_history_at_an_embedded_engine_breaks_an_invariant() {
    assert_nothing_is_broken(
        "embedded, rows stored while it runs",
        Setting::embedded(Engine::EmbeddedStoring),
    );
    assert_nothing_is_broken("embedded, rows to be fetched", Setting::embedded(Engine::EmbeddedKeeping));
}

#[test]
fn every_known_mistake_breaks_just_the_invariants_that_it_should() {
    let results: Vec<_> = std::thread::scope(|scope| {
        let run = |(mutant, expected): (Mutant, &'static [&'static str])| {
            (mutant, expected, scope.spawn(move || search(Setting::of(mutant))))
        };
        let running: Vec<_> = mutants::TABLE.into_iter().map(run).collect();
        running
            .into_iter()
            .map(|(mutant, expected, thread)| (mutant, expected, thread.join().unwrap()))
            .collect()
    });
    let mut wrong = vec![];
    for (mutant, expected, result) in results {
        let broken: Vec<&str> = result.broken.keys().copied().collect();
        println!("{mutant:?}: {} states, breaks {broken:?}", result.states);
        if broken != expected {
            wrong.push(format!("{mutant:?} should break {expected:?}: {:#?}", result.broken));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_place_of_the_world_is_visited() {
    let mut machine = Machine::new(Setting::remote());
    let (mut seen, mut open) = (HashMap::new(), vec![World::start(Setting::remote())]);
    while let Some(world) = open.pop() {
        if seen.insert(world, ()).is_none() {
            open.extend(world.moves(&mut machine).into_iter().map(|step| step.after));
        }
    }
    for driver in Driver::ALL {
        assert!(seen.keys().any(|world| world.driver == driver), "no history reaches {driver:?}");
    }
}
