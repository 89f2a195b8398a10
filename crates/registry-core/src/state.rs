//! The life of a query as one pure function: `(record, event, now) -> (record, effects)`.
//!
//! Nothing here waits, reads a clock or talks to anybody. The shell makes the returned record durable first, and only
//! then carries out the effects; so whatever an effect does, the record already says that it may have been done. The
//! transitions T1.. are listed in `docs/states.md`; each is named where it happens.

mod event;
mod timing;

use std::time::Duration;

use crate::backend::{CancelReply, Lookup};
use crate::clock::{Timestamp, seconds};
use crate::error::{ErrorInfo, ErrorKind};
use crate::id::{InstanceId, RemoteHandle};
use crate::record::{CancelWork, Intent, Obligation, QueryRecord, RemotePhase, StopReason};
use crate::results::StoredRows;
use crate::snapshot::QueryStatus;

pub use event::{Effect, Event};
pub use timing::Timing;

/// A record after an event, and what is to be done.
#[must_use = "the record is to be stored and the effects are to be carried out"]
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The record; the same version as before when nothing durable changed.
    pub record: QueryRecord,
    /// In this order, once the record is durable.
    pub effects: Vec<Effect>,
}

/// The one function that changes a query's state.
pub fn step(record: &QueryRecord, event: &Event, now: Timestamp, timing: &Timing) -> Step {
    let mut draft = Draft { record: record.clone(), now, timing };
    let effects = draft.apply(event);
    let mut after = draft.record;
    if after != *record {
        after.version = record.version + 1;
        after.updated_at = record.updated_at.max(now);
    }
    Step { record: after, effects }
}

/// A record being changed by one event.
struct Draft<'a> {
    record: QueryRecord,
    now: Timestamp,
    timing: &'a Timing,
}

type Effects = Vec<Effect>;

impl Draft<'_> {
    fn apply(&mut self, event: &Event) -> Effects {
        match event {
            Event::LeaseTaken { owner, engine_gone } => self.lease_taken(*owner, *engine_gone),
            Event::Expired => self.expired(),
            Event::DebtPaid => self.debt_paid(),
            Event::DebtGivenUp => self.debt_settled(),
            Event::RowsGone => self.rows_gone(),
            Event::RowsEvicted { limit } => self.rows_evicted(*limit),
            // T21: whatever a driver still says of an ended query is dropped.
            _ if self.record.is_terminal() => vec![Effect::StopDriver],
            Event::StopRequested(reason) => self.stop_requested(*reason),
            Event::Resumed => self.next_call(),
            Event::Submitted(handle) | Event::LookedUp(Lookup::Found(handle)) => self.taken_by_engine(handle),
            Event::NotSent(error) => self.not_sent(error),
            Event::SubmitRejected(error) => self.submit_rejected(error),
            Event::SubmitUnclear(error) => self.submit_unclear(error),
            Event::LookedUp(Lookup::Missing) => self.not_found_yet(),
            Event::LookedUp(Lookup::NeverArrived) => self.never_arrived(),
            Event::LookupUnclear(error) => self.lookup_unclear(error),
            Event::StillRunning(phase) => self.still_running(*phase),
            Event::NoData(checks) => self.no_data(*checks),
            Event::EngineGone => self.engine_gone(),
            Event::RowsReady => vec![Effect::Fetch],
            Event::RowsStored(rows) => self.succeeded(rows),
            Event::RowsLost(error) | Event::RemoteFailed(error) => self.failed(error.clone()),
            Event::RemoteAborted => self.remote_aborted(),
            Event::RemoteTimedOut => self.timed_out_at_engine(),
            Event::CheckUnclear(error) => self.check_unclear(error),
            Event::CancelAnswered(reply) => self.cancel_answered(reply),
            Event::CancelUnclear => vec![Effect::Check],
        }
    }

    // ---- wishes and ownership

    /// T13, T14: the first reason stays. T6: what was never sent can be ended at once, because sending needs a
    /// durable count that this write excludes.
    fn stop_requested(&mut self, reason: StopReason) -> Effects {
        if self.record.intent.is_some() {
            self.ask_again_after_a_refusal(reason);
            return vec![Effect::WakeDriver];
        }
        self.record.intent = Some(Intent { reason, at: self.now });
        match self.record.is_unsent() {
            true => self.stopped(reason, Confirmation::Confirmed),
            false => vec![Effect::WakeDriver],
        }
    }

    /// The caller may have been allowed in the meantime what was refused before.
    fn ask_again_after_a_refusal(&mut self, reason: StopReason) {
        if reason == StopReason::User && self.record.cancel.refused.is_some() {
            let attempts = self.record.cancel.attempts;
            self.record.cancel = CancelWork { attempts, ..CancelWork::default() };
        }
    }

    /// T24: an ended record goes, unless it owes something; then it stays out of sight until the debt is paid.
    /// T25: a live one is stopped first.
    fn expired(&mut self) -> Effects {
        self.record.forgotten = true;
        match (self.record.is_terminal(), self.record.owes.is_empty()) {
            (true, true) => vec![Effect::Forget],
            (true, false) => vec![Effect::Reap],
            (false, _) => self.stop_requested(StopReason::Ttl),
        }
    }

    /// T20: nothing is run again; a query whose engine died with its process is told so. A new owner asks anew for
    /// a stop: an old window says nothing of now, and it may be allowed what the former owner was not.
    fn lease_taken(&mut self, owner: InstanceId, engine_gone: bool) -> Effects {
        self.record.lease.owner = owner;
        self.record.lease.epoch += 1;
        if self.record.is_terminal() {
            return if self.record.owes.is_empty() { vec![] } else { vec![Effect::Reap] };
        }
        self.record.cancel = CancelWork { attempts: self.record.cancel.attempts, ..CancelWork::default() };
        if engine_gone && !self.record.is_unsent() { self.engine_gone() } else { vec![] }
    }

    /// T22: of a statement that it knew, the engine has said that it runs no more.
    fn debt_paid(&mut self) -> Effects {
        if self.record.is_terminal() && self.record.handle.is_some() {
            self.record.stop_confirmed = true;
        }
        self.debt_settled()
    }

    /// T22: only an ended query has debts.
    fn debt_settled(&mut self) -> Effects {
        if !self.record.is_terminal() {
            return vec![];
        }
        self.record.owes.clear();
        if self.record.forgotten { vec![Effect::Forget] } else { vec![] }
    }

    /// T23: the status of a success does not change when its rows go.
    fn rows_gone(&mut self) -> Effects {
        self.record.rows_gone = self.record.status == QueryStatus::Succeeded;
        vec![]
    }

    /// T29: only what has ended well has rows to give up.
    fn rows_evicted(&mut self, limit: u64) -> Effects {
        if self.record.status == QueryStatus::Succeeded && !self.record.rows_gone {
            self.record.rows_gone = true;
            self.record.evicted_under = Some(limit);
        }
        vec![]
    }

    // ---- what comes next

    fn next_call(&mut self) -> Effects {
        match (&self.record.handle, self.record.intent) {
            (None, None) => self.submit_or_look_up(),
            (None, Some(_)) => self.look_up_to_stop(),
            (Some(_), None) => vec![Effect::Check],
            (Some(_), Some(intent)) => self.stop_at_engine(intent.reason),
        }
    }

    /// T2, T5: the submission is counted before it leaves. Past the window it is only looked up.
    fn submit_or_look_up(&mut self) -> Effects {
        let now = self.now;
        let first = *self.record.posts.first_at.get_or_insert(now);
        if self.record.posts.sent > 0 && now.since(first) >= self.timing.resubmit_window {
            return vec![Effect::Lookup];
        }
        let retry = self.record.posts.sent > 0;
        self.record.posts.count(now);
        self.record.deadline_at.get_or_insert(now + self.timing.time_limit(&self.record));
        vec![Effect::Submit { retry }]
    }

    /// T7: once the query is to be stopped it is never sent again; each look counts as an attempt to stop it.
    fn look_up_to_stop(&mut self) -> Effects {
        self.record.cancel.attempts = self.record.cancel.attempts.max(1);
        vec![Effect::Lookup]
    }

    /// T15: counted, then sent; once at least, whatever a lookup counted before. T17: a refusal holds up a caller's
    /// wish only; what the record itself wants ends with the confirm window.
    fn stop_at_engine(&mut self, reason: StopReason) -> Effects {
        let (now, timing, refused) = (self.now, self.timing, self.stop_refused(reason));
        let cancel = &mut self.record.cancel;
        let due = cancel.next_at.is_none_or(|next| now >= next);
        let spent = cancel.first_at.is_some() && cancel.attempts >= timing.max_cancel_attempts;
        if refused || cancel.acknowledged || !due || spent {
            return vec![Effect::Check];
        }
        cancel.attempts += 1;
        cancel.first_at.get_or_insert(now);
        cancel.next_at = Some(now + timing.backoff_after(cancel.attempts));
        vec![Effect::SendCancel]
    }

    /// T16: without the engine's word the query ends all the same, and the debt stays. Only a check that did not show
    /// its end leads here, so an end that the engine would have told is never passed over.
    fn go_on_or_give_up(&mut self) -> Effects {
        match self.record.intent {
            Some(intent) if self.confirm_window_over(intent.reason) => {
                self.stopped(intent.reason, Confirmation::Missing)
            }
            _ => self.next_call(),
        }
    }

    fn confirm_window_over(&self, reason: StopReason) -> bool {
        let first = self.record.cancel.first_at;
        let over = first.is_some_and(|first| self.now.since(first) >= self.timing.confirm_window);
        over && !self.stop_refused(reason)
    }

    fn stop_refused(&self, reason: StopReason) -> bool {
        self.record.cancel.refused.is_some() && reason == StopReason::User
    }

    // ---- submission

    /// T3.
    fn taken_by_engine(&mut self, handle: &RemoteHandle) -> Effects {
        self.record.handle = Some(handle.clone());
        self.record.posts.answered = self.record.posts.sent;
        self.record.status = QueryStatus::Running;
        self.record.started_at.get_or_insert(self.now);
        self.record.unreachable = None;
        self.next_call()
    }

    /// The count is taken back, and with it the moment until which something may arrive. What no repeat can mend ends the query, and so does an engine that stays out of
    /// reach for the whole window; nothing runs there in either case.
    fn not_sent(&mut self, error: &ErrorInfo) -> Effects {
        self.record.posts.take_back();
        let waited = self.record.posts.first_at.map_or(Duration::ZERO, |first| self.now.since(first));
        let hopeless = !error.kind.is_retryable() || waited >= self.timing.resubmit_window;
        match self.record.intent {
            Some(intent) if self.record.is_unsent() => self.stopped(intent.reason, Confirmation::Confirmed),
            None if hopeless && self.record.posts.unanswered() == 0 => self.failed(error.clone()),
            _ => {
                self.record.unreachable = Some(error.clone());
                self.wait_or_look_up()
            }
        }
    }

    /// T4: final only when no other submission of this record is on its way. T4b: otherwise the earlier one may
    /// still arrive.
    fn submit_rejected(&mut self, error: &ErrorInfo) -> Effects {
        self.record.posts.answered += 1;
        if self.record.posts.unanswered() == 0 {
            return self.failed(error.clone());
        }
        self.record.unreachable = Some(error.clone());
        self.wait_or_look_up()
    }

    /// T5.
    fn submit_unclear(&mut self, error: &ErrorInfo) -> Effects {
        if self.record.posts.sent as usize >= self.timing.backoff.len() {
            self.record.unreachable.get_or_insert_with(|| error.clone());
        }
        self.wait_or_look_up()
    }

    fn wait_or_look_up(&mut self) -> Effects {
        match self.record.intent {
            Some(_) => self.look_up_to_stop(),
            None => vec![Effect::Wait(self.timing.backoff_after(self.record.posts.tries()))],
        }
    }

    /// T7b: nothing found. While a submission may still arrive, look again.
    fn not_found_yet(&mut self) -> Effects {
        if self.may_still_arrive() {
            return vec![Effect::Wait(self.timing.backoff_after(self.record.posts.tries()))];
        }
        match self.record.intent {
            Some(intent) => self.stopped_unseen(intent.reason),
            None => {
                self.record.owes.insert(Obligation::CancelRemote);
                let error = self.submit_lost();
                self.failed(error)
            }
        }
    }

    fn never_arrived(&mut self) -> Effects {
        self.record.posts.take_all_back();
        match self.record.intent {
            Some(intent) => self.stopped(intent.reason, Confirmation::Confirmed),
            None => {
                let error = self.submit_lost();
                self.failed(error)
            }
        }
    }

    /// A stop is not held up by an engine that cannot be reached; a query that may run is.
    fn lookup_unclear(&mut self, error: &ErrorInfo) -> Effects {
        match self.record.intent {
            Some(intent) if !self.may_still_arrive() => self.stopped_unseen(intent.reason),
            _ => {
                self.record.unreachable.get_or_insert_with(|| error.clone());
                vec![Effect::Wait(self.timing.backoff_after(u32::MAX))]
            }
        }
    }

    /// A look that began before the wish to stop is no attempt at it: then there is one more.
    fn stopped_unseen(&mut self, reason: StopReason) -> Effects {
        match self.record.cancel.attempts {
            0 => self.look_up_to_stop(),
            _ => self.stopped(reason, Confirmation::Missing),
        }
    }

    fn may_still_arrive(&self) -> bool {
        let posts = self.record.posts;
        posts.last_at.is_some_and(|last| self.now.since(last) < self.timing.resubmit_window)
    }

    /// Never an error that invites to try again: the statement may have run.
    fn submit_lost(&self) -> ErrorInfo {
        let cause = self.record.unreachable.as_ref();
        let cause = cause.map_or_else(String::new, |error| format!(" (last try: {})", error.message));
        ErrorInfo::new(
            ErrorKind::SubmitLost,
            format!(
                "the engine never confirmed that it received the statement and does not know it{cause}; if it writes, \
                 look whether it took effect before submitting it again"
            ),
        )
    }

    // ---- running

    /// T8: a new version only when something to see has changed.
    fn still_running(&mut self, phase: RemotePhase) -> Effects {
        self.record.phase = phase;
        self.record.unreachable = None;
        self.go_on_or_give_up()
    }

    /// T18.
    fn no_data(&mut self, checks: u32) -> Effects {
        if checks < self.timing.no_data_tolerance {
            return self.go_on_or_give_up();
        }
        match self.record.intent {
            Some(intent) => self.stopped(intent.reason, Confirmation::Missing),
            None => self.failed(ErrorInfo::new(
                ErrorKind::RemoteLost,
                "the engine no longer knows this statement, so its outcome is not known; look at the engine's own \
                 query history before submitting it again",
            )),
        }
    }

    fn engine_gone(&mut self) -> Effects {
        match self.record.intent {
            Some(intent) => self.stopped(intent.reason, Confirmation::Confirmed),
            None => self.failed(ErrorInfo::new(
                ErrorKind::EngineStopped,
                "the embedded engine stopped with the server process that ran this query; submit the statement again",
            )),
        }
    }

    /// The state stays as it is: what a lost answer would have said is not known.
    fn check_unclear(&mut self, error: &ErrorInfo) -> Effects {
        self.record.unreachable.get_or_insert_with(|| error.clone());
        self.go_on_or_give_up()
    }

    /// T17 keeps the wish and says that it was refused.
    fn cancel_answered(&mut self, reply: &CancelReply) -> Effects {
        match reply {
            CancelReply::Accepted | CancelReply::NotRunning => self.record.cancel.acknowledged = true,
            CancelReply::Refused(error) => self.record.cancel.refused = Some(error.clone()),
        }
        vec![Effect::Check]
    }

    // ---- ends

    /// T9: also when a stop was requested; the engine's success came first.
    fn succeeded(&mut self, rows: &StoredRows) -> Effects {
        self.record.result = Some(rows.clone());
        self.end(QueryStatus::Succeeded)
    }

    /// T4, T10.
    fn failed(&mut self, error: ErrorInfo) -> Effects {
        self.record.error = Some(error);
        self.end(QueryStatus::Failed)
    }

    /// T11.
    fn remote_aborted(&mut self) -> Effects {
        if let Some(intent) = self.record.intent {
            return self.stopped(intent.reason, Confirmation::Confirmed);
        }
        self.record.error = Some(ErrorInfo::new(
            ErrorKind::CanceledExternally,
            "somebody else canceled the statement at the engine",
        ));
        self.record.stop_confirmed = true;
        self.end(QueryStatus::Canceled)
    }

    /// T12.
    fn timed_out_at_engine(&mut self) -> Effects {
        self.stopped(StopReason::Timeout, Confirmation::Confirmed)
    }

    /// T6, T7b, T11, T16.
    fn stopped(&mut self, reason: StopReason, confirmation: Confirmation) -> Effects {
        if reason == StopReason::Timeout {
            self.record.error = Some(self.timeout_error());
        }
        match confirmation {
            Confirmation::Confirmed => self.record.stop_confirmed = true,
            Confirmation::Missing => {
                self.record.owes.insert(Obligation::CancelRemote);
            }
        }
        self.end(reason.status())
    }

    fn end(&mut self, status: QueryStatus) -> Effects {
        self.record.status = status;
        self.record.finished_at = Some(self.now.max(self.record.started_at.unwrap_or(self.now)));
        self.record.unreachable = None;
        self.record.phase = RemotePhase::default();
        let mut effects = vec![];
        if !self.record.owes.is_empty() {
            effects.push(Effect::Reap);
        } else if self.record.forgotten {
            effects.push(Effect::Forget);
        }
        effects.push(Effect::StopDriver);
        effects
    }

    /// T6: where nothing was sent, more time would not have helped, but an engine within reach.
    fn timeout_error(&self) -> ErrorInfo {
        let limit = seconds(self.timing.time_limit(&self.record));
        let message = match &self.record.unreachable {
            Some(cause) if self.record.is_unsent() => {
                let message = format!("the engine could not be reached within {limit} s: {}", cause.message);
                return ErrorInfo { message, ..cause.clone() };
            }
            Some(cause) => format!(
                "stopped by its time limit of {limit} s while the engine could not be reached: {}",
                cause.message
            ),
            None => format!("stopped by its time limit of {limit} s"),
        };
        ErrorInfo::new(ErrorKind::Timeout, message)
    }
}

/// Whether the engine's word backs the end of a stopped query.
#[derive(Clone, Copy)]
enum Confirmation {
    Confirmed,
    Missing,
}

#[cfg(test)]
mod search;
#[cfg(test)]
mod tests;
