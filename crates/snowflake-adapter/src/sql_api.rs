//! Snowflake over its SQL API v2: stateless, so that any process with the credential can go on with any statement.
//!
//! `reply` says what an answer means, once for all calls; `service` makes the calls; the rest decides what the
//! meaning is for a submission, a check, a fetch, a lookup.

mod fetch;
mod lookup;
mod parameters;
mod questions;
mod reply;
mod service;
mod session;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::Backend;
use registry_core::backend::{BackendError, CancelReply, EngineLifetime, Fence, Session};
use registry_core::error::ErrorKind;
use registry_core::id::RemoteHandle;
use registry_core::metrics::EngineMetric;
use registry_core::options::QueryContext;

use crate::config::SnowflakeConfig;
use crate::context;
use crate::fence;
use crate::retry::RetryPolicy;
use reply::Meaning;
use service::{Handle, Service};
use session::SqlApiSession;

/// The code of a cancel whose statement has ended.
const NOT_EXECUTING: i64 = 605;

/// One account, as one user, over the SQL API v2.
#[derive(Debug)]
pub struct SqlApiBackend {
    service: Arc<Service>,
    target: String,
}

impl SqlApiBackend {
    /// A backend for one connection. Nothing is sent yet.
    pub fn new(config: &SnowflakeConfig) -> Result<Self, BackendError> {
        Self::with_retry(config, RetryPolicy::default())
    }

    /// The same with another way to repeat calls.
    pub fn with_retry(config: &SnowflakeConfig, policy: RetryPolicy) -> Result<Self, BackendError> {
        let service = Arc::new(Service::new(config, policy)?);
        Ok(Self { service, target: config.target() })
    }
}

#[async_trait]
impl Backend for SqlApiBackend {
    fn kind(&self) -> &'static str {
        "snowflake"
    }

    fn target(&self) -> String {
        self.target.clone()
    }

    fn lifetime(&self) -> EngineLifetime {
        EngineLifetime::Remote
    }

    /// What cannot be sent fails here already, where it is certain that nothing was.
    async fn open_session(&self) -> Result<Box<dyn Session>, BackendError> {
        self.service.ready().await?;
        Ok(Box::new(SqlApiSession::new(Arc::clone(&self.service))))
    }

    fn check_context(&self, context: &QueryContext) -> Result<(), String> {
        context::check(context)
    }

    /// Each statement stands alone here, so nothing can switch the user's secondary roles off: the answer tells of them.
    async fn fence(&self) -> Fence {
        fence::prove(self.service.as_ref()).await
    }

    fn metrics(&self) -> Vec<EngineMetric> {
        self.service.metrics()
    }

    async fn cancel(&self, handle: &RemoteHandle) -> Result<CancelReply, BackendError> {
        let Some(handle) = Handle::parse(handle.as_str()) else { return Ok(CancelReply::NotRunning) };
        let reply = self.service.cancel(handle).await?;
        match reply.meaning {
            // The code of a cancellation, or none at all.
            Meaning::Canceled | Meaning::Rows => Ok(CancelReply::Accepted),
            Meaning::NotFound(_) => Ok(CancelReply::NotRunning),
            Meaning::Failed(error) if error.code == Some(NOT_EXECUTING) => Ok(CancelReply::NotRunning),
            Meaning::Forbidden(error) => Ok(CancelReply::Refused(error)),
            other => Err(other.into_error(ErrorKind::Protocol)),
        }
    }
}
