//! An engine for tests that does what it is told, and remembers what it was asked.
//!
//! Its time is the runtime's, so under paused time it is deterministic and takes no time at all. A clone is another
//! process's view of the same engine: make one, give a clone to a registry, drop that registry, and open the next
//! one over [`ScriptedBackend::restarted`].
//!
//! ```
//! # use std::time::Duration;
//! # use registry_core::testing::scripted::{Fault, Script, ScriptedBackend};
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! let engine = ScriptedBackend::remote()
//!     .on("select 1", Script::runs_for(Duration::from_secs(5)).with_count(1_000))
//!     .on("select 2", Script::never_ends());
//! engine.times(2, Fault::SubmitAnswerLost);
//! engine.once(Fault::CancelLost);
//! // … run a registry over `engine.clone()` …
//! assert_eq!(engine.complaints(), Vec::<String>::new());
//! # }
//! ```

mod engine;
mod log;
mod script;
mod session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;

pub use log::{Entry, Logged, Sent};
pub use script::{Call, Fault, Script};

use crate::backend::{Backend, BackendError, CancelReply, EngineLifetime, Fence, Progress, Session};
use crate::error::ErrorKind;
use crate::id::{RemoteHandle, RequestId};
use engine::EngineState;
use session::ScriptedSession;

/// An engine that follows a script. Cheap to clone; all clones are one engine.
#[derive(Debug, Clone)]
pub struct ScriptedBackend {
    shared: Arc<Shared>,
    lifetime: EngineLifetime,
    generation: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<EngineState>,
    /// A statement was stopped.
    stopped: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, EngineState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle(Instant::now());
        state
    }
}

/// Making one, and telling it what to do. Everything can be changed at any time.
impl ScriptedBackend {
    /// A service: statements outlive the process, rows wait to be fetched.
    pub fn remote() -> Self {
        Self::new(EngineLifetime::Remote)
    }

    /// An engine inside the process: statements die with it, rows are stored as they come.
    pub fn embedded() -> Self {
        Self::new(EngineLifetime::Process)
    }

    fn new(lifetime: EngineLifetime) -> Self {
        let shared = Shared { state: Mutex::new(EngineState::new()), stopped: Notify::new() };
        Self { shared: Arc::new(shared), lifetime, generation: 0 }
    }

    /// The same engine as the next process finds it: a service with its statements, an embedded one without.
    pub fn restarted(&self) -> Self {
        let next = u64::from(self.lifetime == EngineLifetime::Process);
        Self { generation: self.generation + next, ..self.clone() }
    }

    /// What becomes of the statement `sql`.
    #[must_use]
    pub fn on(self, sql: impl Into<String>, script: Script) -> Self {
        self.shared.state().scripts.insert(sql.into(), script);
        self
    }

    /// What becomes of every other statement; at first [`Script::at_once`].
    #[must_use]
    pub fn by_default(self, script: Script) -> Self {
        self.shared.state().default_script = script;
        self
    }

    /// How the names of its statements begin.
    #[must_use]
    pub fn names_statements(self, prefix: impl Into<String>) -> Self {
        self.shared.state().handle_prefix = prefix.into();
        self
    }

    /// How long every call takes.
    #[must_use]
    pub fn calls_take(self, time: Duration) -> Self {
        self.shared.state().call_time = time;
        self
    }

    /// How long an accepted cancel request takes to stop the statement.
    #[must_use]
    pub fn cancel_takes(self, time: Duration) -> Self {
        self.shared.state().cancel_time = time;
        self
    }

    /// What it says about its fence.
    #[must_use]
    pub fn with_fence(self, fence: Fence) -> Self {
        self.shared.state().fence = fence;
        self
    }

    /// Statements run past the limit that they were sent with.
    #[must_use]
    pub fn without_time_limits(self) -> Self {
        self.shared.state().honours_limits = false;
        self
    }

    /// The next call of its kind meets this fault. Several ones planned are met in turn.
    pub fn once(&self, fault: Fault) {
        self.times(1, fault);
    }

    /// The next so many calls of its kind meet this fault.
    pub fn times(&self, times: usize, fault: Fault) {
        if times > 0 {
            self.shared.state().plan(fault, Some(times));
        }
    }

    /// Every call of its kind meets this fault until [`Self::heal`].
    pub fn always(&self, fault: Fault) {
        self.shared.state().plan(fault, None);
    }

    /// Forgets all planned faults. A call that stalls already goes on stalling.
    pub fn heal(&self) {
        self.shared.state().heal();
    }

    /// Somebody else stops all that runs.
    pub fn stop_from_outside(&self) {
        let mut state = self.shared.state();
        let now = Instant::now();
        let handles: Vec<_> = state.running(now, self.generation).map(|one| one.handle.clone()).collect();
        handles.iter().for_each(|handle| state.stop(handle, now));
        drop(state);
        self.shared.stopped.notify_waiters();
    }

    /// The engine forgets every statement, as a service does some time after their end.
    pub fn forget_statements(&self) {
        self.shared.state().statements.clear();
    }

    /// The engine forgets all rows that were not fetched.
    pub fn forget_results(&self) {
        self.shared.state().results_kept = false;
    }
}

/// Looking at what it saw.
impl ScriptedBackend {
    /// Everything that happened, in order.
    pub fn log(&self) -> Vec<Entry> {
        self.shared.state().log.clone()
    }

    /// How often a call was made, failed ones included.
    pub fn calls(&self, call: Call) -> usize {
        self.shared.state().log.iter().filter(|entry| entry.what.call() == Some(call)).count()
    }

    /// Every submission as it was sent.
    pub fn submissions(&self) -> Vec<Sent> {
        let sent = |entry: Entry| match entry.what {
            Logged::Submitted(sent) => Some(sent),
            _ => None,
        };
        self.log().into_iter().filter_map(sent).collect()
    }

    /// How often the statement of this request was run.
    pub fn executions(&self, request_id: RequestId) -> usize {
        self.shared.state().statements.iter().filter(|one| one.request_id == request_id).count()
    }

    /// How many statements were run in all.
    pub fn all_executions(&self) -> usize {
        self.shared.state().statements.len()
    }

    /// How many statements run now.
    pub fn running(&self) -> usize {
        self.shared.state().running(Instant::now(), self.generation).count()
    }

    /// Sessions that are open now.
    pub fn open_sessions(&self) -> usize {
        open_after_each(&self.log()).last().copied().unwrap_or(0)
    }

    /// The most sessions that were ever open at once.
    pub fn most_open_sessions(&self) -> usize {
        open_after_each(&self.log()).into_iter().max().unwrap_or(0)
    }

    /// Sessions that went without being closed: all of a process that died, none of one that shut down.
    pub fn dropped_sessions(&self) -> usize {
        self.log().iter().filter(|entry| entry.what == Logged::Dropped).count()
    }

    /// What no registry may ever do, as far as it was done: use a closed session, close one twice, or run one request
    /// twice.
    pub fn complaints(&self) -> Vec<String> {
        let state = self.shared.state();
        let mut complaints = vec![];
        let mut executions: HashMap<RequestId, usize> = HashMap::new();
        for one in &state.statements {
            *executions.entry(one.request_id).or_default() += 1;
        }
        let twice = executions.iter().filter(|(_, times)| **times > 1);
        complaints.extend(twice.map(|(request, times)| format!("request {request} was run {times} times")));
        let mut closed: HashMap<u64, usize> = HashMap::new();
        for entry in &state.log {
            match &entry.what {
                Logged::Closed => *closed.entry(entry.session).or_default() += 1,
                Logged::UsedAfterClose(call) => {
                    complaints.push(format!("session {} was used after its close: {call:?}", entry.session));
                }
                _ => {}
            }
        }
        let twice = closed.iter().filter(|(_, times)| **times > 1);
        complaints
            .extend(twice.map(|(session, times)| format!("session {session} was closed {times} times")));
        complaints
    }
}

fn open_after_each(log: &[Entry]) -> Vec<usize> {
    let count = |open: &mut usize, entry: &Entry| {
        match entry.what {
            Logged::Opened => *open += 1,
            Logged::Closed | Logged::Dropped => *open = open.saturating_sub(1),
            _ => {}
        }
        Some(*open)
    };
    log.iter().scan(0, count).collect()
}

#[async_trait]
impl Backend for ScriptedBackend {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn lifetime(&self) -> EngineLifetime {
        self.lifetime
    }

    async fn open_session(&self) -> Result<Box<dyn Session>, BackendError> {
        let fault = self.begin(0, Call::Open, None);
        self.takes_time().await;
        match fault {
            Some(Fault::OpenStalls) => stall().await,
            Some(_) => {
                self.shared.state().note(0, Logged::OpenFailed);
                Err(unavailable("no session is to be had"))
            }
            None => {
                let mut state = self.shared.state();
                let id = state.next_session();
                state.note(id, Logged::Opened);
                drop(state);
                Ok(Box::new(ScriptedSession::new(self.clone(), id)))
            }
        }
    }

    async fn cancel(&self, handle: &RemoteHandle) -> Result<CancelReply, BackendError> {
        let session = self.shared.state().next_session();
        let fault = self.begin(session, Call::Cancel, Some(Logged::Canceled(handle.clone())));
        self.takes_time().await;
        match fault {
            Some(Fault::CancelStalls) => stall().await,
            Some(Fault::CancelLost) => Err(unavailable("the cancel request was lost")),
            Some(Fault::CancelRefused(error)) => Ok(CancelReply::Refused(error)),
            Some(Fault::CancelNotRunning) => Ok(CancelReply::NotRunning),
            Some(Fault::CancelIgnored) => Ok(CancelReply::Accepted),
            Some(_) => {
                self.stop(handle);
                Err(unavailable("the answer to the cancel request was lost"))
            }
            None => Ok(self.stop(handle)),
        }
    }

    async fn fence(&self) -> Fence {
        let fault = self.begin(0, Call::Fence, Some(Logged::FenceAsked));
        self.takes_time().await;
        match fault {
            Some(_) => stall().await,
            None => self.shared.state().fence.clone(),
        }
    }
}

impl ScriptedBackend {
    /// Logs a call and tells what goes wrong with it.
    fn begin(&self, session: u64, call: Call, entry: Option<Logged>) -> Option<Fault> {
        let mut state = self.shared.state();
        if let Some(entry) = entry {
            state.note(session, entry);
        }
        state.fault(call)
    }

    async fn takes_time(&self) {
        let time = self.shared.state().call_time;
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    fn stop(&self, handle: &RemoteHandle) -> CancelReply {
        let mut state = self.shared.state();
        let now = Instant::now();
        if !state.running(now, self.generation).any(|one| one.handle == *handle) {
            return CancelReply::NotRunning;
        }
        let at = now + state.cancel_time;
        state.stop(handle, at);
        drop(state);
        self.shared.stopped.notify_waiters();
        CancelReply::Accepted
    }

    fn progress(&self, handle: &RemoteHandle) -> Progress {
        match self.shared.state().by_handle(handle) {
            Some(one) if one.generation == self.generation => one.progress(Instant::now()),
            Some(_) => Progress::Gone,
            None => Progress::NoData,
        }
    }

    fn ends_at(&self, handle: &RemoteHandle) -> Option<Instant> {
        match self.shared.state().by_handle(handle) {
            Some(one) if one.generation == self.generation => one.ends_at(),
            _ => Some(Instant::now()),
        }
    }
}

async fn stall<T>() -> T {
    std::future::pending().await
}

fn unavailable(message: &str) -> BackendError {
    BackendError::new(ErrorKind::Unavailable, message)
}
