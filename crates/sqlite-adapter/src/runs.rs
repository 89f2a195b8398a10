//! All statements of a backend, by their handles.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use registry_core::id::{RemoteHandle, RequestId};

use crate::run::{Run, Stage};

/// Ended statements that are remembered after their session has closed: a submission whose answer was lost may be
/// looked up, or repeated, from another session.
const REMEMBERED: usize = 256;

/// The statements of a backend. Locked for moments only.
#[derive(Debug, Default)]
pub(crate) struct Runs(Mutex<Table>);

/// Statements that were given up and still keep a thread; with so many no other is started.
const MOST_GIVEN_UP: usize = 4;

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<RemoteHandle, Entry>,
    /// Ended statements that no session holds, oldest first.
    unattended: VecDeque<RemoteHandle>,
    /// Threads of statements that were given up.
    given_up: usize,
    closed: bool,
}

#[derive(Debug)]
struct Entry {
    run: Arc<Run>,
    /// Sessions that hold it.
    sessions: usize,
    /// It has ended.
    over: bool,
}

/// What became of the wish to start a statement.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It is new; the caller starts it.
    New(Arc<Run>),
    /// The same request was submitted before.
    Known(Arc<Run>),
    /// Nothing is started any more.
    Closed,
    /// Nothing is started for now: too many threads are at a last step that nothing interrupts.
    Clogged,
}

/// The handle of a request: the same for every repeat, so that no answer can be lost with it.
pub(crate) fn handle_of(request_id: RequestId) -> RemoteHandle {
    RemoteHandle::new(request_id.to_string())
}

impl Runs {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a request on behalf of a session, which gives it back with [`Runs::release`].
    pub(crate) fn enter(&self, request_id: RequestId) -> Entered {
        let handle = handle_of(request_id);
        let mut table = self.table();
        if table.closed {
            return Entered::Closed;
        }
        if let Some(entry) = table.entries.get_mut(&handle) {
            entry.sessions += 1;
            let run = Arc::clone(&entry.run);
            table.unattended.retain(|other| *other != handle);
            return Entered::Known(run);
        }
        if table.given_up >= MOST_GIVEN_UP {
            return Entered::Clogged;
        }
        let run = Arc::new(Run::new(handle.clone()));
        table.entries.insert(handle, Entry { run: Arc::clone(&run), sessions: 1, over: false });
        Entered::New(run)
    }

    pub(crate) fn find(&self, handle: &RemoteHandle) -> Option<Arc<Run>> {
        self.table().entries.get(handle).map(|entry| Arc::clone(&entry.run))
    }

    /// Called when a session lets go of a statement.
    pub(crate) fn release(&self, handle: &RemoteHandle) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(handle) {
            entry.sessions = entry.sessions.saturating_sub(1);
        }
        table.retire(handle);
    }

    /// Waits for the end of a statement, and gives it up when its time to stop is over.
    pub(crate) async fn wait_for_end(&self, run: &Run) {
        tokio::select! {
            biased;
            _ = run.wait(Stage::is_over) => return,
            () = run.patience_is_over() => {}
        }
        if !self.give_up(run) {
            // It is on the way to its own end.
            run.wait(Stage::is_over).await;
        }
    }

    fn give_up(&self, run: &Run) -> bool {
        let mut table = self.table();
        let Some(end) = run.give_up() else { return false };
        tracing::warn!(handle = %run.handle, "a statement does not stop; it is given up, and its thread left to end");
        table.given_up += 1;
        table.ended(&run.handle, &end);
        drop(table);
        run.end(end);
        true
    }

    /// Called by the thread of a statement, at its very end.
    pub(crate) fn left(&self, run: &Run, end: Stage) {
        let mut table = self.table();
        if run.settle() {
            table.ended(&run.handle, &end);
        } else {
            table.given_up = table.given_up.saturating_sub(1);
        }
        drop(table);
        run.end(end);
    }

    /// Refuses new statements and asks the running ones to stop; returns all that are known.
    pub(crate) fn close(&self) -> Vec<Arc<Run>> {
        let mut table = self.table();
        table.closed = true;
        let runs: Vec<_> = table.entries.values().map(|entry| Arc::clone(&entry.run)).collect();
        drop(table);
        for run in &runs {
            run.stop();
        }
        runs
    }

    /// Statements that were given up and still keep a thread.
    #[cfg(test)]
    pub(crate) fn given_up(&self) -> usize {
        self.table().given_up
    }

    /// Statements that are known: running, held by a session, or remembered.
    pub(crate) fn len(&self) -> usize {
        self.table().entries.len()
    }
}

impl Table {
    /// Notes the end of a statement, before anybody else hears of it.
    fn ended(&mut self, handle: &RemoteHandle, end: &Stage) {
        if matches!(end, Stage::Rejected(_)) {
            // A rejected text leaves nothing: its request may be submitted again.
            self.entries.remove(handle);
        } else if let Some(entry) = self.entries.get_mut(handle) {
            entry.over = true;
            self.retire(handle);
        }
    }

    /// Queues a statement for oblivion once it has ended and no session holds it.
    fn retire(&mut self, handle: &RemoteHandle) {
        let is_free = |entry: &Entry| entry.sessions == 0 && entry.over;
        if !self.entries.get(handle).is_some_and(is_free) || self.unattended.contains(handle) {
            return;
        }
        self.unattended.push_back(handle.clone());
        while self.unattended.len() > REMEMBERED {
            if let Some(oldest) = self.unattended.pop_front() {
                self.entries.remove(&oldest);
            }
        }
    }
}
