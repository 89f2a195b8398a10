//! Known ways to get a query's life wrong. Each replaces one decision of [`crate::state::step`], or one habit of the
//! shell (in `world`), and nothing in the product knows of them.

use crate::backend::{CancelReply, Lookup};
use crate::clock::Timestamp;
use crate::error::{ErrorInfo, ErrorKind};
use crate::record::{CancelWork, Posts, QueryRecord, StopReason};
use crate::snapshot::QueryStatus;
use crate::state::{Effect, Event, Step, Timing};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mutant {
    /// Whoever writes last is right.
    NoCas,
    /// Two paths close one session.
    DoubleClose,
    /// The deadline ends the record and leaves the statement alone.
    TimeoutNoCancel,
    /// A check without an answer is a failure, and the session is forgotten.
    PollErrorLeaks,
    /// What has no handle yet cannot be canceled.
    CancelNeedsHandle,
    /// A cancel request stops the driver first, and then fails.
    CancelStopsTaskThenFails,
    /// The engine took the cancel request, so the query is canceled.
    AckIsCanceled,
    /// The session is closed before the end is awaited.
    CloseBeforeWait,
    /// An end without the engine's word leaves no debt.
    NoOwe,
    /// Nobody pays.
    NoReaper,
    /// Not found, so it never ran.
    MissMeansDone,
    /// The handle is learnt by sending the statement again, also after a stop.
    RepostToResolve,
    /// A rejection is final whatever else was sent.
    RejectIsFinal,
    /// Each submission is another request to the engine.
    FreshRequestId,
    /// No answer to a submission is a failure.
    AmbiguousIsFailed,
    /// A submission is counted when its answer is there.
    PersistAfter,
    /// A restart fails whatever was under way.
    RestartFailsAll,
    /// Records live in memory.
    ForgetOnRestart,
    /// A cancel request is counted when its answer is there.
    AttemptAfter,
    /// A try that sent nothing takes back those before it too.
    TakesBackAll,
}

/// What each breaks, and no more. Some of it is not plain to see:
///
/// - A zombie's write is fenced by version and epoch here, so it never ends a query behind the back of a live driver.
///   What only such an end would break (I1 by `AckIsCanceled`, I7 by `FreshRequestId`) is out of reach. `NoCas` takes
///   the fence away for every write of a former owner, also for one that gave a query up (I5, L1, L2).
/// - A submission given up as lost fails with a debt: without debts (`NoOwe`) that is I5.
/// - A submission that is not counted (`PersistAfter`, `RepostToResolve`) makes a stop look free of doubt, and a
///   rejection look final.
/// - A second execution (`FreshRequestId`) outlives the record whatever became of the first one.
pub(super) const TABLE: [(Mutant, &[&str]); 20] = [
    (Mutant::NoCas, &["I1", "I5", "L1", "L2"]),
    (Mutant::DoubleClose, &["I8", "I9", "L1", "L2"]),
    (Mutant::TimeoutNoCancel, &["I3", "I4", "I9", "L1", "L2"]),
    (Mutant::PollErrorLeaks, &["I5", "I9", "L1", "L2"]),
    (Mutant::CancelNeedsHandle, &["I11"]),
    (Mutant::CancelStopsTaskThenFails, &["L1", "L2"]),
    (Mutant::AckIsCanceled, &["I4", "I7", "L2"]),
    (Mutant::CloseBeforeWait, &["I10"]),
    (Mutant::NoOwe, &["I4", "I5", "L2"]),
    (Mutant::NoReaper, &["L2"]),
    (Mutant::MissMeansDone, &["I3", "I4", "L2"]),
    (Mutant::RepostToResolve, &["I16", "I4", "I5", "L2"]),
    (Mutant::RejectIsFinal, &["I5", "L2"]),
    (Mutant::FreshRequestId, &["I2", "I3", "I4", "I5", "I6", "L2"]),
    (Mutant::AmbiguousIsFailed, &["I5", "L2"]),
    (Mutant::PersistAfter, &["I3", "I4", "I5", "L2"]),
    (Mutant::RestartFailsAll, &["I5", "L2"]),
    (Mutant::ForgetOnRestart, &["I3", "I4", "L2"]),
    // Equivalent: the count is for the reader, and the debt does not depend on it.
    (Mutant::AttemptAfter, &[]),
    (Mutant::TakesBackAll, &["I3", "I4", "I5", "L2"]),
];

/// The step of the machine, or a mutant's.
pub(super) fn step(
    mutant: Option<Mutant>,
    record: &QueryRecord,
    event: &Event,
    now: Timestamp,
    timing: &Timing,
) -> Step {
    let right = |event: &Event| crate::state::step(record, event, now, timing);
    let Some(mutant) = mutant else { return right(event) };
    let live = !record.is_terminal();
    match (mutant, event) {
        (Mutant::TimeoutNoCancel, Event::StopRequested(StopReason::Timeout)) if record.handle.is_some() => {
            ended(record, QueryStatus::Timeout)
        }
        (Mutant::PollErrorLeaks, Event::CheckUnclear(error)) => right(&Event::RemoteFailed(error.clone())),
        (Mutant::AckIsCanceled, Event::CancelAnswered(CancelReply::Accepted | CancelReply::NotRunning)) => {
            right(&Event::RemoteAborted)
        }
        (Mutant::NoOwe, _) => without_debt(right(event)),
        (Mutant::MissMeansDone, Event::LookedUp(Lookup::Missing)) if record.intent.is_some() => {
            right(&Event::LookedUp(Lookup::NeverArrived))
        }
        (Mutant::RepostToResolve, _) if live && record.intent.is_some() => submitting(right(event)),
        (Mutant::RejectIsFinal, Event::SubmitRejected(error))
        | (Mutant::AmbiguousIsFailed, Event::SubmitUnclear(error)) => {
            right(&Event::RemoteFailed(error.clone()))
        }
        (Mutant::PersistAfter, _) => counted_late(record, event, now, timing),
        (Mutant::RestartFailsAll, Event::LeaseTaken { .. }) if live => {
            right(&Event::RemoteFailed(ErrorInfo::new(ErrorKind::Internal, "restarted")))
        }
        (Mutant::ForgetOnRestart, Event::LeaseTaken { .. }) if live => ended(record, QueryStatus::Canceled),
        (Mutant::TakesBackAll, Event::NotSent(_)) => {
            let forgetful = QueryRecord { posts: Posts { sent: 1, ..Posts::default() }, ..record.clone() };
            crate::state::step(&forgetful, event, now, timing)
        }
        (Mutant::AttemptAfter, _) => attempt_counted_late(record, event, now, timing),
        _ => right(event),
    }
}

fn ended(record: &QueryRecord, status: QueryStatus) -> Step {
    Step { record: QueryRecord { status, version: record.version + 1, ..record.clone() }, effects: vec![] }
}

fn without_debt(mut step: Step) -> Step {
    step.record.owes.clear();
    step.effects.retain(|effect| *effect != Effect::Reap);
    step
}

fn submitting(mut step: Step) -> Step {
    for effect in &mut step.effects {
        if *effect == Effect::Lookup {
            *effect = Effect::Submit { retry: true };
        }
    }
    step
}

fn counted_late(record: &QueryRecord, event: &Event, now: Timestamp, timing: &Timing) -> Step {
    if let Event::Submitted(_) | Event::SubmitRejected(_) | Event::SubmitUnclear(_) = event {
        let mut counted = record.clone();
        counted.posts.sent += 1;
        counted.posts.first_at.get_or_insert(now);
        counted.posts.last_at = Some(now);
        return crate::state::step(&counted, event, now, timing);
    }
    let step = crate::state::step(record, event, now, timing);
    match step.effects[..] {
        [Effect::Submit { .. }] => Step { record: record.clone(), ..step },
        _ => step,
    }
}

fn attempt_counted_late(record: &QueryRecord, event: &Event, now: Timestamp, timing: &Timing) -> Step {
    if let Event::CancelAnswered(_) | Event::CancelUnclear = event {
        let mut counted = record.clone();
        counted.cancel.attempts += 1;
        counted.cancel.first_at.get_or_insert(now);
        counted.cancel.next_at = Some(now + timing.backoff_after(1));
        return crate::state::step(&counted, event, now, timing);
    }
    let mut step = crate::state::step(record, event, now, timing);
    if step.effects == [Effect::SendCancel] {
        step.record.cancel = CancelWork::clone(&record.cancel);
    }
    step
}
