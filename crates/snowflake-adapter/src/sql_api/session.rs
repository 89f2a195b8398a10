//! One query at Snowflake. The API keeps no session; this one keeps what an answer said that will be asked for next.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::backend::{
    BackendError, FetchError, Lookup, Progress, Rows, Session, Submission, SubmitError,
};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::{RemoteHandle, RequestId};
use registry_core::record::RemotePhase;
use registry_core::results::{ResultWriter, StoredRows};

use super::fetch::{self, FirstPart};
use super::lookup;
use super::reply::{Meaning, Reply};
use super::service::{Handle, Service, Submitted};
use crate::http::Failure;

#[derive(Debug)]
pub(super) struct SqlApiSession {
    service: Arc<Service>,
    ended: Option<Ended>,
}

/// A statement that is known to have ended; an end does not change.
#[derive(Debug)]
struct Ended {
    handle: Handle,
    progress: Progress,
    /// Came with the news of a success, until it is used.
    first: Option<FirstPart>,
}

impl SqlApiSession {
    pub(super) fn new(service: Arc<Service>) -> Self {
        Self { service, ended: None }
    }

    /// A handle, with or without the end that came along with it.
    fn taken(&mut self, handle: Handle, meaning: Meaning, body: Vec<u8>) -> RemoteHandle {
        self.ended = Ended::new(handle, meaning, body);
        RemoteHandle::new(handle.to_string())
    }

    async fn submit_once(&mut self, submission: &Submission) -> Result<RemoteHandle, SubmitError> {
        let Submitted { outcome, in_doubt } = self.service.submit(submission).await;
        let is_repeat = in_doubt || submission.retry;
        let reply = match outcome {
            Ok(reply) => reply,
            Err(failure) if in_doubt => return Err(SubmitError::Unclear(failure.into())),
            Err(failure) => return Err(unanswered(failure)),
        };
        let rejected = |error: ErrorInfo| match in_doubt {
            true => SubmitError::Unclear(BackendError(error)),
            false => SubmitError::Rejected(error),
        };
        let Reply { meaning, handle, body, .. } = reply;
        match (meaning, handle) {
            (
                meaning @ (Meaning::Running | Meaning::Result(_) | Meaning::Canceled | Meaning::TimedOut),
                Some(handle),
            ) => Ok(self.taken(handle, meaning, body)),
            // The end of what an earlier submission started is no rejection.
            (meaning @ Meaning::Failed(_), Some(handle)) if is_repeat => {
                Ok(self.taken(handle, meaning, body))
            }
            (
                Meaning::Failed(error)
                | Meaning::Unauthenticated(error)
                | Meaning::Forbidden(error)
                | Meaning::Refused(error),
                _,
            ) => Err(rejected(error)),
            (Meaning::NotFound(error), _) => Err(rejected(self.service.whose.name(no_api(error)))),
            (Meaning::Throttled(error), _) if !in_doubt => Err(SubmitError::NotSent(BackendError(error))),
            (meaning, _) => Err(SubmitError::Unclear(meaning.into_error(ErrorKind::Protocol))),
        }
    }
}

impl Ended {
    fn new(handle: Handle, meaning: Meaning, body: Vec<u8>) -> Option<Self> {
        let mut first = None;
        let progress = match meaning {
            Meaning::Result(head) => {
                first = Some(FirstPart { head, body });
                Progress::Succeeded(Rows::AtEngine)
            }
            Meaning::Failed(error) => Progress::Failed(error),
            Meaning::Canceled => Progress::Aborted,
            Meaning::TimedOut => Progress::TimedOut,
            _ => return None,
        };
        Some(Self { handle, progress, first })
    }
}

#[async_trait]
impl Session for SqlApiSession {
    async fn submit(&mut self, submission: Submission) -> Result<RemoteHandle, SubmitError> {
        if let Some(handle) = self.service.taken.get(submission.request_id) {
            return Ok(RemoteHandle::new(handle.to_string()));
        }
        let taken = self.submit_once(&submission).await?;
        if let Some(handle) = Handle::parse(taken.as_str()) {
            self.service.taken.set(submission.request_id, handle);
        }
        Ok(taken)
    }

    async fn lookup(&mut self, request_id: RequestId) -> Result<Lookup, BackendError> {
        lookup::find(&self.service, request_id).await
    }

    async fn check(&mut self, handle: &RemoteHandle) -> Result<Progress, BackendError> {
        let Some(handle) = Handle::parse(handle.as_str()) else { return Ok(Progress::NoData) };
        if let Some(ended) = self.ended.as_ref().filter(|ended| ended.handle == handle) {
            return Ok(ended.progress.clone());
        }
        let reply = self.service.status(handle).await?;
        if reply.handle.is_some_and(|named| named != handle) {
            return Err(wrong_statement());
        }
        match reply.meaning {
            // The API does not tell waiting from running.
            Meaning::Running => Ok(Progress::Running(RemotePhase::Running)),
            Meaning::NotFound(_) => Ok(Progress::NoData),
            meaning => match Ended::new(handle, meaning.clone(), reply.body) {
                Some(ended) => Ok(self.ended.insert(ended).progress.clone()),
                None => Err(meaning.into_error(ErrorKind::Protocol)),
            },
        }
    }

    async fn fetch(&mut self, handle: &RemoteHandle, rows: ResultWriter) -> Result<StoredRows, FetchError> {
        let Some(handle) = Handle::parse(handle.as_str()) else {
            let text = "this is no statement of Snowflake's, so it has no rows there";
            return Err(FetchError::Final(ErrorInfo::new(ErrorKind::ResultFetch, text)));
        };
        let ended = self.ended.as_mut().filter(|ended| ended.handle == handle);
        let first = ended.and_then(|ended| ended.first.take());
        fetch::fetch(&self.service, handle, first, rows).await
    }

    async fn close(self: Box<Self>) -> Result<(), BackendError> {
        Ok(())
    }
}

fn wrong_statement() -> BackendError {
    BackendError::new(ErrorKind::Protocol, "Snowflake answered for another statement than the one asked for")
}

/// What a submission without an answer may have done.
fn unanswered(failure: Failure) -> SubmitError {
    match failure {
        // It went nowhere, and will go nowhere until somebody mends the address.
        Failure::Redirected(_) => SubmitError::Rejected(BackendError::from(failure).0),
        Failure::NotSent(_) | Failure::Paused(_) | Failure::NoToken(_) => {
            SubmitError::NotSent(failure.into())
        }
        Failure::NoAnswer(_) | Failure::Unusable(_) => SubmitError::Unclear(failure.into()),
    }
}

/// Where a statement is to be made, "not found" can only mean the place.
fn no_api(error: ErrorInfo) -> ErrorInfo {
    let message =
        "there is no SQL API at this address (HTTP 404); the user must check account and host of the connection"
            .to_owned();
    ErrorInfo { kind: ErrorKind::Configuration, message, ..error }
}
