//! What must hold, by the names that `docs/states.md` lists.

use super::machine::Machine;
use super::mutants::Mutant;
use super::world::{By, Driver, Move, Remote, World};
use crate::record::StopReason;
use crate::snapshot::QueryStatus;

/// The invariants that a move breaks.
pub(super) fn broken_by(machine: &Machine, before: &World, done: &Move) -> Vec<&'static str> {
    let after = &done.after;
    let (old, new) = (machine.record(before.record), machine.record(after.record));
    let running = after.remote == Remote::Running;
    let stopped = matches!(new.status, QueryStatus::Canceled | QueryStatus::Timeout);
    let nobody_owes = new.owes.is_empty() || after.removed;
    let succeeded = matches!(after.remote, Remote::Succeeded | Remote::Forgotten(true) | Remote::Gone);
    let rules = [
        // An end is final.
        ("I1", old.is_terminal() && new.status != old.status),
        // One record never runs its statement twice.
        ("I2", after.executions > 1),
        // A stop that may be untrue was at least tried.
        ("I3", stopped && running && new.cancel.attempts == 0),
        // Whoever reports a stop while the statement runs still owes it.
        ("I4", stopped && running && nobody_owes),
        // Nobody reports a failure while the statement runs, unless its submission was given up and is owed.
        ("I5", new.status == QueryStatus::Failed && running && nobody_owes),
        // A success is the engine's, and comes with its rows.
        ("I6", new.status == QueryStatus::Succeeded && !(succeeded && new.result.is_some())),
        // Neither a cancel's answer nor the driver's own time makes a stop of the engine's success.
        ("I7", overrules_success(before, done) && !old.is_terminal() && stopped),
        // No session is closed twice.
        ("I8", after.open < 0),
        // No session stays without its driver.
        ("I9", after.driver == Driver::Off && after.session),
        // Nothing is asked over a closed session.
        ("I10", after.used_after_close),
        // After a stop is durable nothing is sent that could start the statement.
        ("I16", after.late_submission),
    ];
    rules.into_iter().filter(|(_, broken)| *broken).map(|(invariant, _)| invariant).collect()
}

fn overrules_success(before: &World, done: &Move) -> bool {
    let no_check = matches!(before.driver, Driver::SendCancel | Driver::Between);
    before.remote == Remote::Succeeded && no_check && done.by == By::Driver
}

/// I11: a query that has not ended takes a stop request.
pub(super) fn is_cancelable(machine: &Machine, world: &World, moves: &[Move]) -> bool {
    let record = machine.record(world.record);
    let wanted = world.removed || record.is_terminal() || record.intent.is_some();
    let takes = |step: &Move| {
        let after = machine.record(step.after.record);
        step.name == "cancel request" && after.intent.is_some_and(|intent| intent.reason == StopReason::User)
    };
    wanted || moves.iter().any(takes)
}

/// The end of everything: reported, stopped, paid, closed. A record whose reaper a mutant took away never pays.
pub(super) fn is_settled(machine: &Machine, world: &World) -> bool {
    let record = machine.record(world.record);
    let paid = record.owes.is_empty() || machine.setting.mutant == Some(Mutant::NoReaper);
    let quiet = world.remote != Remote::Running && world.travelling == 0;
    record.is_terminal() && paid && quiet && !world.session && world.driver == Driver::Off
}

/// L2 is about stops that were asked for, unless the engine refused the caller's; then its own limit is what is left.
pub(super) fn must_stop(machine: &Machine, world: &World) -> bool {
    let record = machine.record(world.record);
    let refused = |reason| reason == StopReason::User && record.cancel.refused.is_some();
    record.intent.is_some_and(|intent| !refused(intent.reason))
}
