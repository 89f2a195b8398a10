//! The statements of a scripted engine. Nothing runs: what a statement is doing follows from the clock.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::log::{Entry, Logged};
use super::script::{Call, Fault, Script, ScriptEnd};
use crate::backend::{Fence, Progress, Rows};
use crate::id::{RemoteHandle, RequestId};
use crate::record::RemotePhase;
use crate::results::StoredRows;

/// One execution of a statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) handle: RemoteHandle,
    pub(super) request_id: RequestId,
    pub(super) script: Script,
    pub(super) started: Instant,
    pub(super) time_limit: Option<Duration>,
    pub(super) stopped: Option<Instant>,
    pub(super) stored: Option<StoredRows>,
    /// The process that an embedded engine ran in.
    pub(super) generation: u64,
}

impl Statement {
    fn after(&self, span: Option<Duration>) -> Option<Instant> {
        span.and_then(|span| self.started.checked_add(span))
    }

    /// When it ends, as far as is known now.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        let limit = self.after(self.time_limit);
        [self.stopped, limit, self.after(self.script.ends_after)].into_iter().flatten().min()
    }

    pub(super) fn has_ended(&self, now: Instant) -> bool {
        self.ends_at().is_some_and(|end| end <= now)
    }

    /// Of two ends at one moment the statement's own comes first.
    pub(super) fn progress(&self, now: Instant) -> Progress {
        let Some(end) = self.ends_at().filter(|end| *end <= now) else {
            let queued = now.duration_since(self.started) < self.script.queued_for;
            return Progress::Running(if queued { RemotePhase::Queued } else { RemotePhase::Running });
        };
        if self.after(self.script.ends_after) == Some(end) {
            return match &self.script.end {
                ScriptEnd::Failure(error) | ScriptEnd::Rejected(error) => Progress::Failed(error.clone()),
                ScriptEnd::Success => Progress::Succeeded(self.rows()),
            };
        }
        if self.stopped == Some(end) { Progress::Aborted } else { Progress::TimedOut }
    }

    fn rows(&self) -> Rows {
        self.stored.clone().map_or(Rows::AtEngine, Rows::Stored)
    }
}

/// A submission that has not arrived.
#[derive(Debug)]
pub(super) struct Travelling {
    pub(super) at: Instant,
    pub(super) statement: Statement,
}

/// All that a scripted engine knows; shared by every process that uses it.
#[derive(Debug)]
pub(super) struct EngineState {
    pub(super) since: Instant,
    pub(super) scripts: HashMap<String, Script>,
    pub(super) default_script: Script,
    faults: Vec<(Fault, Option<usize>)>,
    pub(super) statements: Vec<Statement>,
    travelling: Vec<Travelling>,
    pub(super) log: Vec<Entry>,
    pub(super) sessions: u64,
    pub(super) closed: Vec<u64>,
    pub(super) honours_limits: bool,
    pub(super) results_kept: bool,
    pub(super) handle_prefix: String,
    pub(super) call_time: Duration,
    pub(super) cancel_time: Duration,
    pub(super) fence: Fence,
}

impl EngineState {
    pub(super) fn new() -> Self {
        Self {
            since: Instant::now(),
            scripts: HashMap::new(),
            default_script: Script::at_once(),
            faults: vec![],
            statements: vec![],
            travelling: vec![],
            log: vec![],
            sessions: 0,
            closed: vec![],
            honours_limits: true,
            results_kept: true,
            handle_prefix: "statement".to_owned(),
            call_time: Duration::ZERO,
            cancel_time: Duration::ZERO,
            fence: Fence::unknown("Nobody has said what holds writes back here."),
        }
    }

    pub(super) fn note(&mut self, session: u64, what: Logged) {
        let at = self.since.elapsed();
        self.log.push(Entry { at, session, what });
    }

    pub(super) fn next_session(&mut self) -> u64 {
        self.sessions += 1;
        self.sessions
    }

    // ---- faults

    pub(super) fn plan(&mut self, fault: Fault, times: Option<usize>) {
        self.faults.push((fault, times));
    }

    pub(super) fn heal(&mut self) {
        self.faults.clear();
    }

    /// The next planned fault of this call, used up by one.
    pub(super) fn fault(&mut self, call: Call) -> Option<Fault> {
        let place = self.faults.iter().position(|(fault, _)| fault.call() == call)?;
        let (fault, times) = &mut self.faults[place];
        let found = fault.clone();
        if let Some(left) = times {
            *left -= 1;
            if *left == 0 {
                self.faults.remove(place);
            }
        }
        Some(found)
    }

    // ---- statements

    pub(super) fn script(&self, sql: &str) -> Script {
        self.scripts.get(sql).unwrap_or(&self.default_script).clone()
    }

    pub(super) fn send_late(&mut self, at: Instant, statement: Statement) {
        self.travelling.push(Travelling { at, statement });
    }

    /// Lets the submissions arrive whose time has come.
    pub(super) fn settle(&mut self, now: Instant) {
        let all = std::mem::take(&mut self.travelling);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.at <= now);
        self.travelling = later;
        for Travelling { at, statement } in due {
            self.arrive(Statement { started: at, ..statement }, true);
        }
    }

    /// Runs the statement, or finds the earlier execution of a repeat that says that it is one.
    pub(super) fn arrive(&mut self, statement: Statement, retry: bool) -> RemoteHandle {
        if let Some(known) = self.by_request(statement.request_id, statement.generation).filter(|_| retry) {
            return known.handle.clone();
        }
        let handle = RemoteHandle::new(format!("{}-{}", self.handle_prefix, self.statements.len() + 1));
        self.statements.push(Statement { handle: handle.clone(), ..statement });
        handle
    }

    /// A submission on its way dies with the process it was sent in, if the engine does.
    pub(super) fn by_request(&self, request_id: RequestId, generation: u64) -> Option<&Statement> {
        let same = |one: &&Statement| one.request_id == request_id && one.generation == generation;
        self.statements.iter().find(same)
    }

    pub(super) fn by_handle(&self, handle: &RemoteHandle) -> Option<&Statement> {
        self.statements.iter().find(|one| one.handle == *handle)
    }

    pub(super) fn running(&self, now: Instant, generation: u64) -> impl Iterator<Item = &Statement> {
        self.statements.iter().filter(move |one| one.generation == generation && !one.has_ended(now))
    }

    pub(super) fn stop(&mut self, handle: &RemoteHandle, at: Instant) {
        for one in self.statements.iter_mut().filter(|one| one.handle == *handle) {
            one.stopped = Some(one.stopped.map_or(at, |earlier| earlier.min(at)));
        }
    }
}
