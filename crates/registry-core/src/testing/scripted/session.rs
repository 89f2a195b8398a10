//! The sessions of a scripted engine.

use async_trait::async_trait;
use tokio::time::Instant;

use super::engine::Statement;
use super::log::{Logged, Sent};
use super::script::{Call, Fault, Script, ScriptEnd};
use super::{ScriptedBackend, stall, unavailable};
use crate::backend::{
    BackendError, EngineLifetime, FetchError, Lookup, Progress, Session, Submission, SubmitError,
};
use crate::error::{ErrorInfo, ErrorKind};
use crate::id::{RemoteHandle, RequestId};
use crate::results::{ResultStoreError, ResultWriter, StoredRows};

#[derive(Debug)]
pub(super) struct ScriptedSession {
    backend: ScriptedBackend,
    id: u64,
    closed: bool,
}

impl ScriptedSession {
    pub(super) fn new(backend: ScriptedBackend, id: u64) -> Self {
        Self { backend, id, closed: false }
    }

    async fn begin(&self, call: Call, entry: Logged) -> Option<Fault> {
        let fault = self.backend.begin(self.id, call, Some(entry));
        if self.backend.shared.state().closed.contains(&self.id) {
            self.backend.shared.state().note(self.id, Logged::UsedAfterClose(call));
        }
        self.backend.takes_time().await;
        fault
    }

    fn statement(&self, submission: &Submission, script: Script) -> Statement {
        let limits = self.backend.shared.state().honours_limits;
        Statement {
            handle: RemoteHandle::new(""),
            request_id: submission.request_id,
            script,
            started: Instant::now(),
            time_limit: limits.then_some(submission.time_limit),
            stopped: None,
            stored: None,
            generation: self.backend.generation,
        }
    }

    /// What an embedded engine stores while it runs is stored here before it starts.
    async fn store(&self, statement: &mut Statement, rows: ResultWriter) -> Result<(), SubmitError> {
        let usual = self.backend.lifetime == EngineLifetime::Process;
        let succeeds = statement.script.end == ScriptEnd::Success && statement.script.ends_after.is_some();
        if succeeds && statement.script.stored.unwrap_or(usual) {
            let rows = write(&statement.script, rows).await;
            statement.stored = Some(rows.map_err(|error| SubmitError::Rejected(store_error(&error)))?);
        }
        Ok(())
    }

    fn known(&self, submission: &Submission) -> Option<RemoteHandle> {
        let state = self.backend.shared.state();
        let known = state.by_request(submission.request_id, self.backend.generation);
        known.filter(|_| submission.retry).map(|one| one.handle.clone())
    }

    async fn arrive(&self, submission: Submission, script: Script) -> Result<RemoteHandle, SubmitError> {
        if let Some(handle) = self.known(&submission) {
            return Ok(handle);
        }
        if let ScriptEnd::Rejected(error) = script.end {
            return Err(SubmitError::Rejected(error));
        }
        let mut statement = self.statement(&submission, script);
        self.store(&mut statement, submission.rows).await?;
        Ok(self.backend.shared.state().arrive(statement, submission.retry))
    }
}

#[async_trait]
impl Session for ScriptedSession {
    async fn submit(&mut self, submission: Submission) -> Result<RemoteHandle, SubmitError> {
        let fault = self.begin(Call::Submit, Logged::Submitted(sent(&submission))).await;
        let script = self.backend.shared.state().script(&submission.sql);
        let unclear = || SubmitError::Unclear(unavailable("the submission got no answer"));
        match fault {
            None => self.arrive(submission, script).await,
            Some(Fault::SubmitRejected(error)) => Err(SubmitError::Rejected(error)),
            Some(Fault::SubmitStalls) => stall().await,
            Some(Fault::SubmitArrivesLate(after)) => {
                let mut statement = self.statement(&submission, script);
                self.store(&mut statement, submission.rows).await?;
                self.backend.shared.state().send_late(Instant::now() + after, statement);
                Err(unclear())
            }
            Some(Fault::SubmitLost) => Err(unclear()),
            Some(fault) => {
                self.arrive(submission, script).await.ok();
                if fault == Fault::SubmitAnswerStalls { stall().await } else { Err(unclear()) }
            }
        }
    }

    async fn lookup(&mut self, request_id: RequestId) -> Result<Lookup, BackendError> {
        match self.begin(Call::Lookup, Logged::LookedUp(request_id)).await {
            Some(Fault::LookupStalls) => stall().await,
            Some(Fault::LookupUnclear) => Err(unavailable("the lookup got no answer")),
            Some(_) => Ok(Lookup::Missing),
            None => {
                let state = self.backend.shared.state();
                let found = state.by_request(request_id, self.backend.generation);
                Ok(match (found, self.backend.lifetime) {
                    (Some(one), _) => Lookup::Found(one.handle.clone()),
                    (None, EngineLifetime::Remote) => Lookup::Missing,
                    (None, EngineLifetime::Process) => Lookup::NeverArrived,
                })
            }
        }
    }

    async fn check(&mut self, handle: &RemoteHandle) -> Result<Progress, BackendError> {
        match self.begin(Call::Check, Logged::Checked(handle.clone())).await {
            Some(Fault::CheckStalls) => stall().await,
            Some(Fault::CheckUnclear) => Err(unavailable("the check got no answer")),
            Some(_) => Ok(Progress::NoData),
            None => Ok(self.backend.progress(handle)),
        }
    }

    /// An embedded engine knows when a statement ends; a service does not call.
    async fn changed(&mut self, handle: &RemoteHandle) {
        if self.backend.lifetime == EngineLifetime::Remote {
            return std::future::pending().await;
        }
        loop {
            let stopped = self.backend.shared.stopped.notified();
            match self.backend.ends_at(handle) {
                Some(end) => tokio::select! {
                    () = tokio::time::sleep_until(end) => return,
                    () = stopped => {}
                },
                None => stopped.await,
            }
        }
    }

    fn announces_end(&self) -> bool {
        self.backend.lifetime == EngineLifetime::Process
    }

    async fn fetch(&mut self, handle: &RemoteHandle, rows: ResultWriter) -> Result<StoredRows, FetchError> {
        match self.begin(Call::Fetch, Logged::Fetched(handle.clone())).await {
            Some(Fault::FetchStalls) => return stall().await,
            Some(Fault::FetchFailsForGood(error)) => return Err(FetchError::Final(error)),
            Some(_) => return Err(FetchError::Retry(unavailable("the rows could not be fetched this time"))),
            None => {}
        }
        let kept = self.backend.shared.state().results_kept;
        let statement = self.backend.shared.state().by_handle(handle).cloned();
        match (self.backend.progress(handle), statement) {
            (Progress::Succeeded(_), Some(statement)) if kept => {
                write(&statement.script, rows).await.map_err(|error| FetchError::Final(store_error(&error)))
            }
            _ => {
                let error =
                    ErrorInfo::new(ErrorKind::ResultFetch, "the engine has no rows of this statement");
                Err(FetchError::Final(error))
            }
        }
    }

    async fn close(mut self: Box<Self>) -> Result<(), BackendError> {
        self.closed = true;
        let fault = self.backend.begin(self.id, Call::Close, Some(Logged::Closed));
        self.backend.shared.state().closed.push(self.id);
        self.backend.takes_time().await;
        match fault {
            Some(Fault::CloseStalls) => stall().await,
            Some(_) => Err(unavailable("the session could not be closed")),
            None => Ok(()),
        }
    }
}

impl Drop for ScriptedSession {
    fn drop(&mut self) {
        if !self.closed {
            self.backend.shared.state().note(self.id, Logged::Dropped);
        }
    }
}

fn sent(submission: &Submission) -> Sent {
    Sent {
        query_id: submission.query_id,
        request_id: submission.request_id,
        sql: submission.sql.to_string(),
        time_limit: submission.time_limit,
        tag: submission.tag.clone(),
        retry: submission.retry,
    }
}

/// Writing blocks, so it is done elsewhere; paused time stands still meanwhile.
async fn write(script: &Script, writer: ResultWriter) -> Result<StoredRows, ResultStoreError> {
    let rows = script.rows.clone();
    let written = tokio::task::spawn_blocking(move || rows.write(writer)).await;
    written.unwrap_or_else(|error| Err(ResultStoreError::Io(error.to_string())))
}

fn store_error(error: &ResultStoreError) -> ErrorInfo {
    ErrorInfo::new(ErrorKind::ResultStore, error.to_string())
}
