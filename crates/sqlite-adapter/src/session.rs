//! What one query uses to run.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::backend::{BackendError, FetchError, Lookup, Progress, Session, Submission, SubmitError};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::{RemoteHandle, RequestId};
use registry_core::results::{ResultWriter, StoredRows};

use crate::open::{Engine, Opener};
use crate::run::{Run, Stage, Work};
use crate::runs::{Entered, Runs, handle_of};

/// A session holds a connection ready for its first statement, and the statements it has submitted.
#[derive(Debug)]
pub(crate) struct SqliteSession {
    opener: Arc<Opener>,
    runs: Arc<Runs>,
    engine: Option<Engine>,
    held: Vec<RemoteHandle>,
}

impl SqliteSession {
    pub(crate) fn new(opener: Arc<Opener>, runs: Arc<Runs>, engine: Engine) -> Self {
        Self { opener, runs, engine: Some(engine), held: Vec::new() }
    }

    fn start(&mut self, run: &Arc<Run>, submission: Submission) {
        let name = thread_name(&submission);
        let work = Work {
            opener: Arc::clone(&self.opener),
            engine: self.engine.take(),
            sql: submission.sql,
            time_limit: submission.time_limit,
            rows: submission.rows,
        };
        let runs = Arc::clone(&self.runs);
        if let Err(error) = run.start(name, work, move |run, end| runs.left(run, end)) {
            let message =
                format!("the system gives no thread for the statement ({error}); submit again later");
            self.runs.left(run, Stage::Rejected(ErrorInfo::new(ErrorKind::Unavailable, message)));
        }
    }
}

/// At most 15 bytes, or the system cuts it.
fn thread_name(submission: &Submission) -> String {
    let id = submission.query_id.to_string();
    format!("sql-{}", id.get(2..13).unwrap_or_default())
}

#[async_trait]
impl Session for SqliteSession {
    async fn submit(&mut self, submission: Submission) -> Result<RemoteHandle, SubmitError> {
        let run = match self.runs.enter(submission.request_id) {
            Entered::Closed => return Err(SubmitError::Rejected(shutting_down())),
            Entered::Clogged => return Err(SubmitError::Rejected(clogged())),
            Entered::Known(run) => run,
            Entered::New(run) => {
                self.start(&run, submission);
                run
            }
        };
        self.held.push(run.handle.clone());
        let stage = tokio::select! {
            stage = run.wait(|stage| *stage != Stage::Compiling) => stage,
            () = self.runs.wait_for_end(&run) => run.stage(),
        };
        match stage {
            Stage::Rejected(error) => {
                self.held.retain(|handle| *handle != run.handle);
                Err(SubmitError::Rejected(error))
            }
            _ => Ok(run.handle.clone()),
        }
    }

    async fn lookup(&mut self, request_id: RequestId) -> Result<Lookup, BackendError> {
        let handle = handle_of(request_id);
        Ok(match self.runs.find(&handle).map(|run| run.stage()) {
            None | Some(Stage::Rejected(_)) => Lookup::NeverArrived,
            Some(Stage::Compiling) => Lookup::Missing,
            Some(Stage::Running | Stage::Ended(_)) => Lookup::Found(handle),
        })
    }

    async fn check(&mut self, handle: &RemoteHandle) -> Result<Progress, BackendError> {
        // A handle that nobody knows was given out by an earlier process.
        let Some(run) = self.runs.find(handle) else { return Ok(Progress::Gone) };
        // What is over by now is told now, also to those who never wait for a change.
        let _ = tokio::time::timeout(Duration::ZERO, self.runs.wait_for_end(&run)).await;
        Ok(run.progress())
    }

    async fn changed(&mut self, handle: &RemoteHandle) {
        if let Some(run) = self.runs.find(handle) {
            self.runs.wait_for_end(&run).await;
        }
    }

    async fn fetch(&mut self, _handle: &RemoteHandle, _rows: ResultWriter) -> Result<StoredRows, FetchError> {
        let message =
            "the rows of this engine are stored while the statement runs; there is nothing to fetch";
        Err(FetchError::Final(ErrorInfo::new(ErrorKind::ResultFetch, message)))
    }

    async fn close(self: Box<Self>) -> Result<(), BackendError> {
        // Closing a connection touches files.
        tokio::task::spawn_blocking(move || drop(self)).await.map_err(|error| {
            BackendError::new(ErrorKind::Internal, format!("closing the database broke off: {error}"))
        })
    }
}

impl Drop for SqliteSession {
    fn drop(&mut self) {
        self.held.iter().for_each(|handle| self.runs.release(handle));
    }
}

fn shutting_down() -> ErrorInfo {
    ErrorInfo::new(ErrorKind::EngineStopped, "the server is shutting down; submit again once it runs again")
}

fn clogged() -> ErrorInfo {
    ErrorInfo::new(
        ErrorKind::Unavailable,
        "too many stopped statements are still at a last step that nothing interrupts; submit again in some seconds",
    )
}

#[cfg(test)]
mod tests;
