//! What all endpoints share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use super::faults::Faults;
use super::history::{History, Query, lock};
use super::log::Log;
use super::options::Options;
use super::session::Sessions;
use super::sqlite::Warehouse;

/// The service behind the endpoints.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) address: String,
    pub(super) history: Arc<History>,
    pub(super) sessions: Sessions,
    pub(super) warehouse: Warehouse,
    pub(super) faults: Faults,
    pub(super) log: Log,
    pub(super) options: Mutex<Options>,
    /// Passwords and tokens that are no longer taken.
    pub(super) revoked: Mutex<HashSet<String>>,
}

impl Service {
    pub(super) fn options(&self) -> Options {
        lock(&self.options).clone()
    }

    pub(super) fn is_revoked(&self, credential: &str) -> bool {
        lock(&self.revoked).contains(credential)
    }

    /// Waits for the end of a statement as long as the service holds a request open.
    pub(super) async fn hold(&self, query: &Query) {
        tokio::time::timeout(self.options().hold, query.ended()).await.ok();
    }

    /// Resolves when a statement has lost its client and is not to live on without.
    pub(super) async fn detached(&self, query: &Query) {
        let session = query.order.session.and_then(|id| self.sessions.get(id));
        let Some(session) = session.filter(|_| query.order.abort_detached) else {
            return std::future::pending().await;
        };
        loop {
            let left = self.options().detach_grace.saturating_sub(session.silence());
            if left.is_zero() {
                return;
            }
            sleep(left.min(Duration::from_millis(50))).await;
        }
    }

    /// Cancels the statements of a session that has logged out, after a while.
    pub(super) fn cancel_session(self: &Arc<Self>, session: u64) {
        let service = Arc::clone(self);
        tokio::spawn(async move {
            sleep(service.options().logout_cancel_delay).await;
            let of_session = |query: &Arc<Query>| query.order.session == Some(session);
            service.history.all().into_iter().filter(of_session).for_each(|query| query.cancel.cancel());
        });
    }
}
