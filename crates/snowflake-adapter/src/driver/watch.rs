//! The long poll on a statement's result: it brings the end at once, and the result with it.

use std::sync::Arc;
use std::time::Duration;

use registry_core::id::RemoteHandle;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::pool::Pool;
use super::session::SnowflakeSession;
use super::transport::Call;
use crate::wire::driver::Envelope;

/// A server that answers "not yet" sooner than this does not hold the question open: asking it saves nothing.
const HELD: Duration = Duration::from_secs(1);
/// A question about a statement that has ended is answered at once, unless it got lost.
const ON_ITS_WAY: Duration = Duration::from_secs(2);

/// Waits at Snowflake while the query's driver does other things. A cancel never waits for it: it goes over another
/// connection.
#[derive(Debug, Default)]
pub(super) struct Watch {
    waiting: Option<Waiting>,
    result: Option<(RemoteHandle, Envelope)>,
    /// Nothing is to be gained by waiting; the driver's own pace will do.
    quiet: bool,
}

/// A question that is under way.
#[derive(Debug)]
struct Waiting {
    handle: RemoteHandle,
    since: Instant,
    outcome: AbortOnDropHandle<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    /// The statement succeeded, and this is its result.
    Result(Envelope),
    /// It ended otherwise, or something is to be looked at.
    News,
    /// The server does not hold the question.
    Useless,
}

impl Watch {
    /// Returns when there is something to see. Dropped, it goes on where it was.
    pub(super) async fn news(
        &mut self,
        pool: &Arc<Pool>,
        home: Option<&Arc<SnowflakeSession>>,
        handle: &RemoteHandle,
    ) {
        if self.has_result(handle) {
            return;
        }
        if self.quiet {
            return std::future::pending().await;
        }
        if !self.waits_for(handle) {
            let task = wait(Arc::clone(pool), home.cloned(), handle.clone());
            let outcome = AbortOnDropHandle::new(tokio::spawn(task.in_current_span()));
            self.waiting = Some(Waiting { handle: handle.clone(), since: Instant::now(), outcome });
        }
        let Some(Waiting { outcome: task, .. }) = &mut self.waiting else { return };
        let outcome = task.await.unwrap_or(Outcome::Useless);
        self.waiting = None;
        match outcome {
            Outcome::Result(envelope) => self.keep(handle, envelope),
            Outcome::News => self.quiet = true,
            Outcome::Useless => {
                self.quiet = true;
                std::future::pending().await
            }
        }
    }

    pub(super) fn keep(&mut self, handle: &RemoteHandle, envelope: Envelope) {
        self.result = Some((handle.clone(), envelope));
    }

    pub(super) fn has_result(&self, handle: &RemoteHandle) -> bool {
        self.result.as_ref().is_some_and(|(kept, _)| kept == handle)
    }

    /// The question is held open at Snowflake, which is going to answer it at the end.
    pub(super) fn is_held(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.since.elapsed() >= HELD)
    }

    /// The result of a statement that has succeeded, if it is here or already on its way.
    pub(super) async fn take_result(&mut self, handle: &RemoteHandle) -> Option<Envelope> {
        if self.waits_for(handle)
            && let Some(waiting) = self.waiting.take()
            && let Ok(Ok(Outcome::Result(envelope))) = timeout(ON_ITS_WAY, waiting.outcome).await
        {
            return Some(envelope);
        }
        if self.has_result(handle) { self.result.take().map(|(_, envelope)| envelope) } else { None }
    }

    fn waits_for(&self, handle: &RemoteHandle) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.handle == *handle)
    }
}

async fn wait(pool: Arc<Pool>, home: Option<Arc<SnowflakeSession>>, handle: RemoteHandle) -> Outcome {
    loop {
        let asked = Instant::now();
        match pool.look(home.as_ref(), Call::Result(handle.as_str())).await {
            Ok(answer) if answer.is_in_progress() => {
                if asked.elapsed() < HELD {
                    return Outcome::Useless;
                }
            }
            Ok(answer) if answer.is_success() => return Outcome::Result(answer),
            Ok(_) => return Outcome::News,
            Err(_) => return Outcome::Useless,
        }
    }
}
