//! What is known of the fence of one connection: asked in the background, kept for all who want to know.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::backend::{Fence, FenceKind};
use crate::shared::{Connection, Shared};

/// An engine that gave no answer is asked again, by the next who wants to know, after this time.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The answer of one engine. Queries neither ask for it nor wait for it.
#[derive(Debug, Default)]
pub(crate) struct KnownFence(watch::Sender<Asked>);

#[derive(Debug, Default)]
enum Asked {
    #[default]
    Never,
    Asking,
    Answered(Fence, Instant),
}

impl Asked {
    fn answer(&self) -> Option<&Fence> {
        match self {
            Self::Answered(fence, _) => Some(fence),
            Self::Never | Self::Asking => None,
        }
    }

    fn is_due(&self) -> bool {
        match self {
            Self::Never => true,
            Self::Asking => false,
            Self::Answered(fence, at) => fence.kind == FenceKind::Unknown && at.elapsed() >= ASK_AGAIN,
        }
    }
}

impl KnownFence {
    /// The caller is the one who asks.
    fn claim(&self) -> bool {
        self.0.send_if_modified(|asked| {
            let due = asked.is_due();
            if due {
                *asked = Asked::Asking;
            }
            due
        })
    }

    fn answer(&self, fence: Fence) {
        self.0.send_replace(Asked::Answered(fence, Instant::now()));
    }
}

/// Has the engine asked, unless it was.
pub(crate) fn begin(shared: &Arc<Shared>, connection: &Arc<Connection>) {
    if !shared.closing.is_cancelled() && connection.fence.claim() {
        shared.tasks.spawn(ask(Arc::clone(shared), Arc::clone(connection)));
    }
}

/// The fence of `connection`: what is known, or what becomes known within `patience`.
pub(crate) async fn of(shared: &Arc<Shared>, connection: &Arc<Connection>, patience: Duration) -> Fence {
    begin(shared, connection);
    let mut asked = connection.fence.0.subscribe();
    let known = timeout(patience, asked.wait_for(|asked| asked.answer().is_some()));
    tokio::select! {
        biased;
        known = known => match known {
            Ok(Ok(asked)) => asked.answer().cloned().unwrap_or_else(no_answer_yet),
            Ok(Err(_)) | Err(_) => no_answer_yet(),
        },
        () = shared.closing.cancelled() => Fence::unknown("The server is shutting down."),
    }
}

async fn ask(shared: Arc<Shared>, connection: Arc<Connection>) {
    let limit = shared.config.call_timeout;
    let answer = tokio::select! {
        biased;
        () = shared.stop.cancelled() => return,
        answer = timeout(limit, connection.backend.fence()) => answer,
    };
    let fence = answer.unwrap_or_else(|_late| {
        Fence::unknown(format!("The engine gave no answer within {} s.", limit.as_secs()))
    });
    tracing::info!(connection = %connection.name, fence = %fence.kind, detail = %fence.detail, "fence found");
    connection.fence.answer(fence);
}

fn no_answer_yet() -> Fence {
    Fence::unknown("The engine is being asked; ask again in a moment.")
}
