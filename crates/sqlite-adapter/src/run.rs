//! One statement and the thread that runs it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use registry_core::backend::{Progress, Rows};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::RemoteHandle;
use registry_core::record::RemotePhase;
use registry_core::results::ResultWriter;
use rusqlite::{InterruptHandle, Statement};
use tokio::sync::watch;

use crate::compile::{self, NotCompiled};
use crate::diagnosis;
use crate::open::{Engine, Opener};
use crate::stop::{PACE, Reason, Stop, Watch};
use crate::stream::{self, Trouble};

/// Between two looks at a lock that another connection holds.
const LOCK_PACE: Duration = Duration::from_millis(10);

/// The deepest nesting that the limits allow needs less than a tenth of it.
const STACK_BYTES: usize = 8 << 20;

/// A statement that was told to stop and is at a step that nothing interrupts is given up after this time.
const GIVE_UP: Duration = Duration::from_secs(1);

/// How far a statement has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stage {
    /// Not known yet whether it can run at all.
    Compiling,
    /// It runs.
    Running,
    /// It could not be started.
    Rejected(ErrorInfo),
    /// It ended; never [`Progress::Running`].
    Ended(Progress),
}

impl Stage {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Ended(_))
    }
}

/// A statement: shared by its thread, by those who wait for it and by those who stop it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) handle: RemoteHandle,
    stop: Arc<Stop>,
    /// When it was told to stop.
    told: watch::Sender<Option<Instant>>,
    fate: Fate,
    /// Waits for a lock of another connection.
    blocked: AtomicBool,
    interrupt: Mutex<Option<Interrupt>>,
    stage: watch::Sender<Stage>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Reaches into a connection from outside its thread.
struct Interrupt(InterruptHandle);

impl std::fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interrupt")
    }
}

/// What the thread of a statement takes with it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) opener: Arc<Opener>,
    /// The connection that the session holds ready; the thread opens one when it has been used.
    pub(crate) engine: Option<Engine>,
    pub(crate) sql: Arc<str>,
    pub(crate) time_limit: Duration,
    pub(crate) rows: ResultWriter,
}

impl Run {
    pub(crate) fn new(handle: RemoteHandle) -> Self {
        Self {
            handle,
            stop: Arc::default(),
            told: watch::Sender::new(None),
            fate: Fate::default(),
            blocked: AtomicBool::new(false),
            interrupt: Mutex::new(None),
            stage: watch::Sender::new(Stage::Compiling),
            thread: Mutex::new(None),
        }
    }

    /// Starts the thread, which calls `left` as the last thing it does.
    pub(crate) fn start(
        self: &Arc<Self>,
        name: String,
        work: Work,
        left: impl FnOnce(&Self, Stage) + Send + 'static,
    ) -> std::io::Result<()> {
        let run = Arc::clone(self);
        run.stop.limit(work.time_limit);
        let body = move || {
            let end = guarded(&run, || run.execute(work));
            *run.interrupt.lock().unwrap_or_else(PoisonError::into_inner) = None;
            left(&run, end);
        };
        let thread = std::thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(body)?;
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(())
    }

    /// Tells the end to all who wait, unless another was told before.
    pub(crate) fn end(&self, end: Stage) {
        self.stage.send_if_modified(|stage| {
            let first = !stage.is_over();
            if first {
                *stage = end;
            }
            first
        });
    }

    /// The statement was given up, and its thread may still be at its last step.
    pub(crate) fn is_given_up(&self) -> bool {
        self.fate.is(GIVEN_UP)
    }

    /// The statement comes to its own end; `false` if it was given up before.
    pub(crate) fn settle(&self) -> bool {
        self.fate.decide(SETTLED)
    }

    /// The end of a statement that is given up now; `None` if it can no longer be.
    pub(crate) fn give_up(&self) -> Option<Stage> {
        let given_up = !self.stage.borrow().is_over() && self.fate.decide(GIVEN_UP);
        given_up.then(|| Stage::Ended(self.stopped()))
    }

    /// Returns when the statement was told to stop long enough ago. Meanwhile it sees to the deadline, which a
    /// statement at a long step does not look at.
    pub(crate) async fn patience_is_over(&self) {
        let mut told = self.told.subscribe();
        let deadline = self.stop.deadline();
        if told.borrow_and_update().is_none() {
            let deadline = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives in this very value, so the wait cannot fail.
                _ = told.wait_for(Option::is_some) => {}
                () = deadline => { self.tell(Reason::Deadline); }
            }
        }
        let told = told.borrow().unwrap_or_else(Instant::now);
        tokio::time::sleep_until((told + GIVE_UP).into()).await;
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage.borrow().clone()
    }

    /// The statement's state in the words of the trait.
    pub(crate) fn progress(&self) -> Progress {
        match self.stage() {
            Stage::Ended(progress) => progress,
            Stage::Rejected(error) => Progress::Failed(error),
            Stage::Compiling | Stage::Running if self.blocked.load(Ordering::Relaxed) => {
                Progress::Running(RemotePhase::Blocked)
            }
            Stage::Compiling | Stage::Running => Progress::Running(RemotePhase::Running),
        }
    }

    /// Waits until `reached` holds of the stage.
    pub(crate) async fn wait(&self, reached: impl FnMut(&Stage) -> bool) -> Stage {
        // The sender lives in this very value, so the wait cannot fail.
        match self.stage.subscribe().wait_for(reached).await {
            Ok(stage) => stage.clone(),
            Err(_) => self.stage(),
        }
    }

    /// Asks the statement to end soon; `false` when it has ended.
    pub(crate) fn stop(&self) -> bool {
        self.tell(Reason::Canceled)
    }

    fn tell(&self, reason: Reason) -> bool {
        if self.stage.borrow().is_over() {
            return false;
        }
        self.stop.ask(reason);
        self.told.send_if_modified(|told| {
            let first = told.is_none();
            told.get_or_insert_with(Instant::now);
            first
        });
        // The flag alone is seen within `PACE` instructions; the interrupt also reaches the loops between them.
        if let Some(interrupt) = self.interrupt.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            interrupt.0.interrupt();
        }
        true
    }

    /// Waits for the thread itself. It blocks.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(handle = %self.handle, "a statement's thread panicked after its end");
        }
    }

    fn execute(self: &Arc<Self>, mut work: Work) -> Stage {
        let mut engine = match work.engine.take().map_or_else(|| work.opener.open(), Ok) {
            Ok(engine) => engine,
            Err(error) => return Stage::Rejected(error.0),
        };
        if let Err(error) = self.watch_over(&mut engine, &work) {
            return Stage::Rejected(diagnosis::of_engine(&engine, &error));
        }
        let writes = work.opener.config().allow_writes;
        let compiled = compile::one(&engine, &work.sql, writes);
        let mut statement = match compiled {
            Ok(statement) => statement,
            Err(NotCompiled::Rejected(error)) => return Stage::Rejected(error),
            Err(NotCompiled::Interrupted(error)) if self.stop.reason().is_none() => {
                return Stage::Rejected(diagnosis::of_engine(&engine, &error));
            }
            Err(NotCompiled::Interrupted(_)) => return Stage::Ended(self.stopped()),
        };
        self.stage.send_replace(Stage::Running);
        let limits = &work.opener.config().limits;
        let streamed = stream::rows(&mut statement, work.rows, limits.max_row_bytes, self);
        Stage::Ended(match streamed {
            Ok(rows) => Progress::Succeeded(Rows::Stored(rows)),
            Err(trouble) => self.trouble(&engine, &statement, trouble),
        })
    }

    /// Lets the engine look at the clock and at the wish to stop, while it compiles, works and waits for a lock.
    fn watch_over(self: &Arc<Self>, engine: &mut Engine, work: &Work) -> rusqlite::Result<()> {
        let max_written = work.opener.config().limits.max_written_bytes;
        let new_watch = || Watch::start(max_written);
        engine.brake.obey(&self.stop);
        let run = Arc::clone(self);
        // Whoever was told that the statement is stopped must not find its changes afterwards.
        engine.connection.commit_hook(Some(move || !run.settle()))?;
        let (run, mut watch) = (Arc::clone(self), new_watch());
        engine.connection.progress_handler(
            PACE,
            Some(move || {
                run.blocked.store(false, Ordering::Relaxed);
                watch.must_end(&run.stop)
            }),
        )?;
        let (run, mut watch) = (Arc::clone(self), new_watch());
        engine.connection.busy_handler(Some(move |_tries| {
            run.blocked.store(true, Ordering::Relaxed);
            std::thread::sleep(LOCK_PACE);
            !watch.must_end(&run.stop)
        }))?;
        let interrupt = engine.connection.get_interrupt_handle();
        *self.interrupt.lock().unwrap_or_else(PoisonError::into_inner) = Some(Interrupt(interrupt));
        Ok(())
    }

    /// Between two rows: the statement was not told to stop.
    pub(crate) fn keeps_going(&self) -> bool {
        self.blocked.store(false, Ordering::Relaxed);
        self.stop.reason().is_none()
    }

    fn trouble(&self, engine: &Engine, statement: &Statement<'_>, trouble: Trouble) -> Progress {
        match trouble {
            Trouble::Stopped => self.stopped(),
            Trouble::Engine(error) if self.stop.reason().is_some() && diagnosis::is_stop(&error) => {
                self.stopped()
            }
            Trouble::Engine(error) => Progress::Failed(diagnosis::of_engine(engine, &error)),
            Trouble::Store(error) => Progress::Failed(diagnosis::of_store(&error, statement.readonly())),
            Trouble::WideRow(bytes) => Progress::Failed(diagnosis::of_wide_row(bytes)),
        }
    }

    fn stopped(&self) -> Progress {
        match self.stop.reason() {
            Some(Reason::Deadline) => Progress::TimedOut,
            Some(Reason::Written) => Progress::Failed(diagnosis::of_written()),
            Some(Reason::Canceled) | None => Progress::Aborted,
        }
    }
}

/// Whether a statement comes to its own end, from its commit on, or is given up before. Never both.
#[derive(Debug, Default)]
struct Fate(AtomicU8);

const OPEN: u8 = 0;
const SETTLED: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Fate {
    /// `false` when the other was decided before.
    fn decide(&self, fate: u8) -> bool {
        let decided = self.0.compare_exchange(OPEN, fate, Ordering::AcqRel, Ordering::Acquire);
        decided.map_or_else(|earlier| earlier == fate, |_| true)
    }

    fn is(&self, fate: u8) -> bool {
        self.0.load(Ordering::Acquire) == fate
    }
}

/// Turns a panic into an end, so that nobody waits for a thread that is gone.
fn guarded(run: &Run, body: impl FnOnce() -> Stage) -> Stage {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_panic| {
        tracing::error!(handle = %run.handle, "a statement's thread panicked");
        let error = ErrorInfo::new(
            ErrorKind::Internal,
            "a fault in this server ended the statement; its log has the details. Another form of the query may work.",
        );
        match run.stage() {
            Stage::Compiling => Stage::Rejected(error),
            _ => Stage::Ended(Progress::Failed(error)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run::new(RemoteHandle::new("r"))
    }

    #[test]
    fn a_panic_is_a_failure_of_this_program() {
        let run = run();
        let rejected = guarded(&run, || panic!("before the start"));
        assert!(matches!(rejected, Stage::Rejected(error) if error.kind == ErrorKind::Internal));
        run.stage.send_replace(Stage::Running);
        let failed = guarded(&run, || panic!("in the middle"));
        assert!(matches!(failed, Stage::Ended(Progress::Failed(error)) if error.kind == ErrorKind::Internal));
    }

    #[test]
    fn what_commits_is_not_given_up_and_what_was_given_up_does_not_commit() {
        let (committed, given_up) = (run(), run());
        assert!(committed.settle() && committed.settle());
        assert_eq!(committed.give_up(), None);
        assert_eq!(given_up.give_up(), Some(Stage::Ended(Progress::Aborted)));
        assert!(!given_up.settle());
        given_up.end(Stage::Ended(Progress::Aborted));
        given_up.end(Stage::Ended(Progress::TimedOut));
        assert_eq!(given_up.progress(), Progress::Aborted, "the first end stays");
    }

    #[test]
    fn what_has_ended_cannot_be_stopped() {
        let run = run();
        run.stage.send_replace(Stage::Ended(Progress::TimedOut));
        assert!(!run.stop());
        assert_eq!(run.progress(), Progress::TimedOut);
    }

    #[tokio::test]
    async fn a_wait_begun_after_the_end_returns_at_once() {
        let run = run();
        run.end(Stage::Rejected(ErrorInfo::new(ErrorKind::Sql, "no")));
        assert!(run.wait(Stage::is_over).await.is_over());
    }
}
