//! Short statements of our own over a session in the connection's own context.

use std::sync::Arc;

use async_trait::async_trait;
use registry_core::backend::{BackendError, FetchError};
use registry_core::error::ErrorKind;
use tokio::time::Instant;

use super::error::{CallError, fault};
use super::pool::{Pool, SIGN_INS, no_session_lasts, own_statement};
use super::rows::small_table;
use super::transport::{Call, Mark};
use crate::fence::{Ask, Table};
use crate::wire::driver::Envelope;

/// The answer to a statement, whatever it is.
pub(super) async fn run(pool: &Arc<Pool>, sql: &str) -> Result<Envelope, BackendError> {
    for _ in 0..=SIGN_INS {
        let lease = pool.lease().await?;
        let body = own_statement(sql, lease.session.next_sequence());
        let deadline = Instant::now() + pool.transport().deadlines().request;
        let (answer, _) = lease.session.persist(Call::Submit(&body), &Mark::new(), deadline).await;
        match answer {
            Err(CallError::SessionEnded) => {}
            Err(error) => return Err(error.into()),
            Ok(envelope) => return Ok(envelope),
        }
    }
    Err(no_session_lasts())
}

#[async_trait]
impl Ask for Arc<Pool> {
    async fn ask(&self, sql: &str) -> Result<Table, BackendError> {
        let envelope = run(self, sql).await?;
        if envelope.is_in_progress() {
            let text = "a question of the server's own takes too long; it is asked again";
            return Err(BackendError::new(ErrorKind::Unavailable, text));
        }
        if !envelope.is_success() {
            return Err(BackendError(fault(&envelope).statement_error()));
        }
        small_table(self, &envelope).await.map_err(|error| match error {
            FetchError::Retry(error) => error,
            FetchError::Final(error) => BackendError(error),
        })
    }
}
