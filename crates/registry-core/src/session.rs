//! A session with one owner, closed exactly once.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::Session;
use crate::metrics::Metrics;

/// The engine may take so long to say goodbye; nobody depends on its answer.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// A session that counts its opening and its closing.
#[derive(Debug)]
pub(crate) struct OwnedSession {
    session: Box<dyn Session>,
    tally: Tally,
}

impl OwnedSession {
    pub(crate) fn new(session: Box<dyn Session>, metrics: &Arc<Metrics>) -> Self {
        metrics.sessions_opened.add_one();
        Self { session, tally: Tally { metrics: Arc::clone(metrics), closed_by_owner: false } }
    }

    /// The session, for one call.
    pub(crate) fn get(&mut self) -> &mut dyn Session {
        self.session.as_mut()
    }

    /// Closes it. An error is counted and told, never passed on: the query's outcome does not depend on it.
    pub(crate) async fn close(self) {
        let Self { session, mut tally } = self;
        tally.closed_by_owner = true;
        let failure = match timeout(CLOSE_LIMIT, session.close()).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        tally.metrics.session_close_errors.add_one();
        tracing::warn!(failure, "the session could not be closed properly");
    }
}

/// Counts the end of a session, also when a fault in a driver drops it.
#[derive(Debug)]
struct Tally {
    metrics: Arc<Metrics>,
    closed_by_owner: bool,
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.metrics.sessions_closed.add_one();
        if !self.closed_by_owner {
            self.metrics.session_close_errors.add_one();
            tracing::warn!("a session was dropped without being closed");
        }
    }
}
