//! Snowflake over the protocol of its drivers: sessions, tokens, and results in chunks.
//!
//! **Whose code makes the requests.** Sign-in, renewal, submission and logout, and the GET requests for a statement's
//! state and result, go through [`snowflake_api::connection::Connection`], with types of our own for what is sent and
//! received. What that crate cannot do stands beside it on the same HTTP client: it has no requests for heartbeats and
//! for aborting a statement, and it fetches chunks without a limit on their size. A middleware of ours sends its
//! requests to the configured address, puts our request id in place of its own so that a repeat is known as one, and
//! checks status, size and form of every answer before the crate reads it. Its own session type, which logs tokens, is
//! not used; what is left of it logs nothing, and no bridge from the `log` crate to our logs is installed.
//!
//! **Sessions.** A pool owned by the backend holds the sessions at Snowflake. A query borrows one while it submits and
//! while it asks; the statement runs on without it. Asking may share a session, submitting does not, and a cancel has
//! a place of its own in the pool. A session has the role, warehouse, database and schema that it was opened with: a
//! statement that wants others gets a session of its own, and one that may change them is the last in its session.
//! A session is never logged out while a statement may run in it, because Snowflake
//! would stop the statement; it is dropped instead.
//!
//! **Doing things once.** Snowflake recognises a repeated request only within one session, so a submission whose
//! answer was lost is repeated over that session or not at all. Without it the statement is looked for in the history
//! of the user's queries, by the request id in its tag.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::backend::{Backend, BackendError, CancelReply, EngineLifetime, Fence, Session};
use registry_core::error::ErrorKind;
use registry_core::id::RemoteHandle;
use registry_core::metrics::EngineMetric;
use registry_core::options::QueryContext;

use crate::auth::Authenticator;
use crate::config::{Credentials, SnowflakeConfig, Whose};
use crate::context;
use crate::fence;
use crate::retry::RetryPolicy;

mod attempt;
mod cancel;
mod chunks;
mod error;
mod middleware;
mod pool;
mod questions;
mod rows;
mod secondary_roles;
mod session;
mod sign_in;
mod statement;
mod stats;
mod status;
#[cfg(test)]
pub(crate) mod tests;
mod transport;
mod watch;

use crate::requests::Requests;
use pool::Pool;
use sign_in::SignIn;
use statement::{Shared, Statement};
use stats::Counters;
pub use stats::SessionStats;
use status::UnknownWords;
use transport::Transport;

/// How the backend uses its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriverOptions {
    /// Sessions at Snowflake at the same time.
    pub max_sessions: usize,
    /// Whether the user's other roles count besides the one of the session.
    pub secondary_roles: bool,
    /// An idle session is logged out after this time.
    pub idle: Duration,
    /// Between two heartbeats; Snowflake's own rule where it is `None`.
    pub heartbeat: Option<Duration>,
    /// How often a call is repeated.
    pub retries: RetryPolicy,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            max_sessions: 10,
            secondary_roles: false,
            idle: Duration::from_secs(600),
            heartbeat: None,
            retries: RetryPolicy::default(),
        }
    }
}

/// Snowflake behind the registry's trait, over the driver protocol.
#[derive(Debug)]
pub struct DriverBackend {
    target: String,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
}

impl DriverBackend {
    /// A backend for one connection. Nothing is sent before the first query.
    pub fn new(config: &SnowflakeConfig, options: DriverOptions) -> Result<Self, BackendError> {
        let authenticator = match &config.credentials {
            Credentials::Password(_) => None,
            _ => Some(
                Authenticator::new(config)
                    .map_err(|error| BackendError::new(ErrorKind::Configuration, error.to_string()))?,
            ),
        };
        let transport = Arc::new(Transport::new(config, options.retries)?);
        let counters = Arc::new(Counters::default());
        let sign_in = SignIn::new(config, authenticator, &transport, &counters);
        let pool = Pool::new(sign_in, config.context.clone(), &transport, &counters, options);
        let shared = Shared {
            pool,
            requests: Requests::default(),
            unknown: UnknownWords::default(),
            has_database: config.context.database.is_some(),
            whose: Whose::of(config),
        };
        Ok(Self { target: config.target(), shared: Arc::new(shared), counters })
    }

    /// What the sessions did so far.
    pub fn stats(&self) -> SessionStats {
        self.counters.snapshot()
    }

    /// Logs idle sessions out and lets go of those in which a statement may run. Calls after it fail.
    pub async fn shut_down(&self) {
        self.shared.pool.shut_down().await;
    }
}

#[async_trait]
impl Backend for DriverBackend {
    fn kind(&self) -> &'static str {
        "snowflake"
    }

    fn target(&self) -> String {
        self.target.clone()
    }

    fn lifetime(&self) -> EngineLifetime {
        EngineLifetime::Remote
    }

    /// Signs in if need be, so that a query whose user cannot is told before anything is sent.
    async fn open_session(&self) -> Result<Box<dyn Session>, BackendError> {
        self.shared.pool.shared().await?;
        Ok(Box::new(Statement::new(Arc::clone(&self.shared))))
    }

    fn check_context(&self, context: &QueryContext) -> Result<(), String> {
        context::check(context)
    }

    async fn fence(&self) -> Fence {
        fence::prove(&self.shared.pool).await
    }

    fn metrics(&self) -> Vec<EngineMetric> {
        let (pool, stats) = (&self.shared.pool, self.counters.snapshot());
        let mut metrics = pool.transport().metrics();
        metrics.extend(stats.metrics(pool.limit()));
        metrics
    }

    async fn cancel(&self, handle: &RemoteHandle) -> Result<CancelReply, BackendError> {
        cancel::cancel(&self.shared, handle).await
    }

    async fn close(&self) {
        self.shut_down().await;
    }
}
