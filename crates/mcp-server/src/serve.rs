//! One client served from its first message to its last, and everything put away after it.

use std::time::Duration;

use registry_core::registry::Shutdown;
use rmcp::ServiceExt;
use rmcp::service::{QuitReason, ServerInitializeError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::server::Server;
use crate::stdio::EofSignal;
use crate::transport::LineTransport;

/// Clients kill a process that is not gone two seconds after they closed its stdin; half of that must do for all
/// three: calls that are about to end by themselves, waits that are cut short, and the registry.
const GRACE: Duration = Duration::from_millis(300);
const LAST_ANSWERS: Duration = Duration::from_millis(200);
const LAST_ROWS: Duration = Duration::from_millis(100);
const CLOSE: Duration = Duration::from_millis(400);

/// Serves the client at the other end of `reader` and `writer` until it is gone or `shutdown` is cancelled; then
/// ends what must not outlive the process.
pub async fn serve<R, W>(
    server: Server,
    reader: R,
    writer: W,
    shutdown: CancellationToken,
) -> anyhow::Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let end_of_input = CancellationToken::new();
    let reader = EofSignal::new(reader, end_of_input.clone());
    let outcome = converse(server.clone(), (reader, writer), &end_of_input, &shutdown).await;
    shutdown.cancel();
    close(&server).await;
    outcome
}

async fn converse<R, W>(
    server: Server,
    pipes: (R, W),
    end_of_input: &CancellationToken,
    shutdown: &CancellationToken,
) -> anyhow::Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let ending = CancellationToken::new();
    let service = tokio::select! {
        service = server.serve_with_ct(LineTransport::new(pipes.0, pipes.1), ending.clone()) => service,
        // A signal before the first message.
        () = shutdown.cancelled() => return Ok(()),
    };
    let service = match service {
        Ok(service) => service,
        // The client left before it said anything: nothing is wrong.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let conversation = service.waiting();
    tokio::pin!(conversation);
    let reason = tokio::select! {
        reason = &mut conversation => Some(reason?),
        () = last_call(end_of_input, shutdown) => {
            shutdown.cancel();
            ending.cancel();
            // A client that does not read its answers must not keep the process.
            timeout(LAST_ANSWERS, conversation).await.ok().transpose()?
        }
    };
    match reason {
        Some(QuitReason::JoinError(fault)) => Err(fault.into()),
        Some(reason) => {
            tracing::info!(?reason, "the client is gone");
            Ok(())
        }
        None => {
            tracing::warn!("some answers could not be delivered");
            Ok(())
        }
    }
}

/// A client that only closes its input may still read: a quick call is answered before the waits are cut short.
async fn last_call(end_of_input: &CancellationToken, shutdown: &CancellationToken) {
    let grace_over = async {
        end_of_input.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = grace_over => {}
    }
}

/// What runs inside this process is stopped; what runs elsewhere is left or canceled, as configured.
async fn close(server: &Server) {
    server.shared().exports.close(LAST_ROWS).await;
    server.shared().watchers.close();
    if timeout(LAST_ROWS, server.shared().watchers.wait()).await.is_err() {
        tracing::warn!("a task that tells of changes did not end in time");
    }
    let Some(registry) = server.shared().registry.if_opened() else { return };
    match timeout(CLOSE, registry.close(Shutdown::Immediate)).await {
        Ok(report) => tracing::info!(?report, "closed"),
        Err(_) => tracing::warn!("closing took too long; what was left is taken up by the next start"),
    }
}
