//! The seam to the engines: what every one of them promises.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::{ErrorInfo, ErrorKind};
use crate::id::{QueryId, RemoteHandle, RequestId};
use crate::metrics::EngineMetric;
use crate::options::QueryContext;
use crate::record::RemotePhase;
use crate::results::{ResultWriter, StoredRows};

/// An engine that runs statements. One value serves all queries of a connection.
///
/// Every method returns within a deadline of its own; none waits for a statement to end.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync + 'static {
    /// The kind of engine, one lower-case word: `sqlite`, `snowflake`.
    fn kind(&self) -> &'static str;

    /// What it runs on, without secrets: a file, or an account, user and role. A query that was accepted for one
    /// target never runs on another.
    fn target(&self) -> String {
        self.kind().to_owned()
    }

    /// Whether a statement can be run so, or why not. Only an engine that knows roles and the like says yes.
    fn check_context(&self, context: &QueryContext) -> Result<(), String> {
        match context.parts().next() {
            Some((name, _)) => {
                Err(format!("this connection's engine ({}) knows no {name}; leave it out", self.kind()))
            }
            None => Ok(()),
        }
    }

    /// Whether statements outlive this process.
    fn lifetime(&self) -> EngineLifetime;

    /// Opens what one query needs to run. The caller closes it exactly once.
    ///
    /// **Cancel safety:** a dropped call leaves nothing open.
    async fn open_session(&self) -> Result<Box<dyn Session>, BackendError>;

    /// Asks the engine to stop a statement, over a connection of its own. The statement's end is not awaited:
    /// [`Session::check`] tells what became of it.
    ///
    /// **Cancel safety:** a dropped call may or may not have taken effect; repeating it does no harm.
    async fn cancel(&self, handle: &RemoteHandle) -> Result<CancelReply, BackendError>;

    /// What holds back a statement that writes, found out by asking the engine. It changes nothing there, and the
    /// caller gives it a deadline.
    ///
    /// **Cancel safety:** a dropped call leaves nothing open.
    async fn fence(&self) -> Fence {
        Fence::unknown("This engine cannot be asked what it refuses.")
    }

    /// What the engine tells about itself to whoever watches the process. It must not block.
    fn metrics(&self) -> Vec<EngineMetric> {
        Vec::new()
    }

    /// Gives back what all queries shared, after the last session was closed. It stops no statement that is to go on.
    async fn close(&self) {}
}

/// Where a statement lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineLifetime {
    /// Inside this process: it dies with it.
    Process,
    /// At a service that goes on without us.
    Remote,
}

/// What holds back a statement that writes, should our reading of its text be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// What it is.
    pub kind: FenceKind,
    /// One sentence for a person: how that is known, or why it is not.
    pub detail: String,
}

/// The kinds of fence, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FenceKind {
    /// The engine itself refuses, and has shown it.
    Engine,
    /// Nothing but our reading of the text.
    ParserOnly,
    /// Nothing: writes are allowed.
    Open,
    /// Not found out.
    Unknown,
}

impl FenceKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::ParserOnly => "parser_only",
            Self::Open => "open",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for FenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fence {
    /// The engine itself refuses.
    pub fn engine(detail: impl Into<String>) -> Self {
        Self { kind: FenceKind::Engine, detail: detail.into() }
    }

    /// Only our reading of the text holds.
    pub fn parser_only(detail: impl Into<String>) -> Self {
        Self { kind: FenceKind::ParserOnly, detail: detail.into() }
    }

    /// Writes are allowed.
    pub fn open(detail: impl Into<String>) -> Self {
        Self { kind: FenceKind::Open, detail: detail.into() }
    }

    /// Not found out, and why.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self { kind: FenceKind::Unknown, detail: reason.into() }
    }
}

/// What one query uses to run; owned by its driver and by nobody else.
#[async_trait]
pub trait Session: fmt::Debug + Send {
    /// Starts the statement and returns as soon as the engine has taken it.
    ///
    /// **Cancel safety:** a dropped call counts as an unclear answer.
    async fn submit(&mut self, submission: Submission) -> Result<RemoteHandle, SubmitError>;

    /// Finds a statement whose handle never reached us. It never starts one.
    async fn lookup(&mut self, request_id: RequestId) -> Result<Lookup, BackendError>;

    /// Asks what the statement is doing. Safe to drop and to repeat.
    async fn check(&mut self, handle: &RemoteHandle) -> Result<Progress, BackendError>;

    /// Returns when a check is worth while before its time has come. The default knows no such moment.
    async fn changed(&mut self, _handle: &RemoteHandle) {
        std::future::pending().await
    }

    /// Whether [`Session::changed`] is going to return at the statement's end, so that few checks will do.
    fn announces_end(&self) -> bool {
        false
    }

    /// Streams the rows of a statement that succeeded with [`Rows::AtEngine`].
    ///
    /// **Cancel safety:** a dropped call leaves the rows at the engine; it may be repeated with a new writer.
    async fn fetch(&mut self, handle: &RemoteHandle, rows: ResultWriter) -> Result<StoredRows, FetchError>;

    /// Gives back what [`Backend::open_session`] took. Never called while another call of this session runs, and
    /// it does not stop a statement.
    async fn close(self: Box<Self>) -> Result<(), BackendError>;
}

/// One statement on its way to the engine.
#[derive(Debug)]
pub struct Submission {
    /// Our name for the query.
    pub query_id: QueryId,
    /// The same for every repeat of this statement.
    pub request_id: RequestId,
    /// The caller's bytes.
    pub sql: Arc<str>,
    /// Where and as whom it runs, where that is not what the connection says.
    pub context: QueryContext,
    /// The engine stops the statement by itself after this time.
    pub time_limit: Duration,
    /// More rows than these are not wanted, so that an engine which has more may stop there.
    pub row_limit: Option<u64>,
    /// Marks the statement in the engine's own history.
    pub tag: String,
    /// An earlier submission of the same request may have arrived.
    pub retry: bool,
    /// Where an embedded engine streams its rows while it runs; a remote one leaves it unused.
    pub rows: ResultWriter,
}

/// What the engine knows of a request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// The statement was taken.
    Found(RemoteHandle),
    /// Not known; a submission that is still travelling may arrive.
    Missing,
    /// Not known, and nothing can arrive any more.
    NeverArrived,
}

/// What a statement is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Not at its end.
    Running(RemotePhase),
    /// The engine does not know the handle (yet).
    NoData,
    /// The engine that ran it no longer exists.
    Gone,
    /// Ended well.
    Succeeded(Rows),
    /// Ended with an error.
    Failed(ErrorInfo),
    /// Stopped at the engine.
    Aborted,
    /// Stopped by the engine's own time limit.
    TimedOut,
}

/// Where the rows of a finished statement are.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Already in the result store.
    Stored(StoredRows),
    /// At the engine: call [`Session::fetch`].
    AtEngine,
}

/// What the engine says to a cancel request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelReply {
    /// Taken; the statement stops soon.
    Accepted,
    /// Nothing to stop: it has ended, or was never there.
    NotRunning,
    /// Not allowed, in the engine's words.
    Refused(ErrorInfo),
}

/// Why a submission gave no handle.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SubmitError {
    /// The engine answered that it did not start the statement.
    #[error("rejected: {}", .0.message)]
    Rejected(ErrorInfo),
    /// Nothing was sent that could start the statement, by this call: an earlier submission may have arrived.
    #[error("not sent: {0}")]
    NotSent(BackendError),
    /// No answer, or none that decides: the statement may run.
    #[error("unclear: {0}")]
    Unclear(BackendError),
}

/// Why rows could not be fetched.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FetchError {
    /// Another try may succeed.
    #[error("{0}")]
    Retry(BackendError),
    /// No try will.
    #[error("{}", .0.message)]
    Final(ErrorInfo),
}

/// Why a call to the engine failed. What became of the statement is not known from it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct BackendError(pub ErrorInfo);

impl BackendError {
    /// An error of class `kind`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(ErrorInfo::new(kind, message))
    }
}
