//! Stopping a statement, in one way and, should that not do, in another.

use std::sync::Arc;

use registry_core::backend::{BackendError, CancelReply, Progress};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::RemoteHandle;
use tokio::time::Instant;

use super::error::{CallError, fault};
use super::pool::{Lease, SIGN_INS, no_session_lasts, own_statement};
use super::rows::first_text;
use super::statement::{Shared, is_query_id};
use super::status::progress;
use super::transport::{Call, Mark};
use crate::wire::driver::Envelope;

/// What the first way came to.
enum First {
    Done(CancelReply),
    /// Refused or not known there; over this session.
    Undecided(u64),
}

/// Asks Snowflake to stop a statement.
pub(super) async fn cancel(shared: &Arc<Shared>, handle: &RemoteHandle) -> Result<CancelReply, BackendError> {
    if !is_query_id(handle.as_str()) {
        return Ok(CancelReply::NotRunning);
    }
    match abort(shared, handle).await? {
        First::Done(reply) => Ok(reply),
        First::Undecided(session) => by_statement(shared, handle, session).await,
    }
}

/// The request of the drivers. "No" may mean that the statement is not running, which a look decides.
async fn abort(shared: &Arc<Shared>, handle: &RemoteHandle) -> Result<First, BackendError> {
    for _ in 0..=SIGN_INS {
        let lease = shared.pool.lease_for_cancel(None).await?;
        let session = lease.session.id;
        match lease.session.call(Call::Abort(handle.as_str()), &Mark::new()).await {
            Err(CallError::SessionEnded) => {}
            Err(CallError::Status { status: 400 | 403 | 404 | 405, .. }) => {
                return Ok(First::Undecided(session));
            }
            Err(error) => return Err(error.into()),
            Ok(envelope) if envelope.is_success() => return Ok(First::Done(CancelReply::Accepted)),
            Ok(_) => {
                return Ok(if is_over(shared, &lease, handle).await? {
                    First::Done(CancelReply::NotRunning)
                } else {
                    First::Undecided(session)
                });
            }
        }
    }
    Err(no_session_lasts())
}

async fn is_over(shared: &Arc<Shared>, lease: &Lease, handle: &RemoteHandle) -> Result<bool, BackendError> {
    let envelope = shared.pool.look(Some(&lease.session), Call::Status(handle.as_str())).await?;
    Ok(!matches!(progress(&envelope, &shared.unknown), None | Some(Progress::Running(_))))
}

/// Also stops statements of others, given the right to, and does not depend on the endpoint.
async fn by_statement(
    shared: &Arc<Shared>,
    handle: &RemoteHandle,
    not: u64,
) -> Result<CancelReply, BackendError> {
    // The handle was checked to be a UUID: nothing in it can end the quotes.
    let sql = format!("SELECT SYSTEM$CANCEL_QUERY('{handle}')");
    for _ in 0..=SIGN_INS {
        let lease = shared.pool.lease_for_cancel(Some(not)).await?;
        let body = own_statement(&sql, lease.session.next_sequence());
        let deadline = Instant::now() + shared.pool.transport().deadlines().request;
        let (answer, _) = lease.session.persist(Call::Submit(&body), &Mark::new(), deadline).await;
        match answer {
            Err(CallError::SessionEnded) => {}
            Err(error) => return Err(error.into()),
            Ok(envelope) => return reply(&envelope),
        }
    }
    Err(no_session_lasts())
}

fn reply(envelope: &Envelope) -> Result<CancelReply, BackendError> {
    if envelope.is_success() {
        let words = first_text(envelope)?.unwrap_or_default();
        let idle = words.contains("not currently executing") || words.contains("not found");
        return Ok(if idle { CancelReply::NotRunning } else { CancelReply::Accepted });
    }
    let error: ErrorInfo = fault(envelope).statement_error();
    Ok(match (error.kind, error.code) {
        (_, Some(605 | 709)) => CancelReply::NotRunning,
        (ErrorKind::Unavailable | ErrorKind::Throttled, _) => return Err(BackendError(error)),
        _ => CancelReply::Refused(ErrorInfo { kind: ErrorKind::Permission, ..error }),
    })
}
