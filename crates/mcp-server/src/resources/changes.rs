//! Word of changes of the list of results.

use std::future::Future;
use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::id::QueryId;
use tokio::time::sleep;

use super::readable;
use crate::server::Shared;

/// Changes within this time are told as one.
const GATHER: Duration = Duration::from_millis(500);

/// Calls `tell` whenever the list has changed, until it says `false` or the server ends. Nothing is opened for it: a
/// registry that no call has asked for has no results.
pub async fn watch<T: Future<Output = bool>>(shared: &Shared, tell: impl Fn() -> T) {
    let watching = async {
        let Some(registry) = shared.registry.when_opened().await else { return };
        tell_changes(registry, tell).await;
    };
    tokio::select! {
        () = shared.shutdown.cancelled() => {}
        () = watching => {}
    }
}

async fn tell_changes<T: Future<Output = bool>>(registry: &QueryRegistry, tell: impl Fn() -> T) {
    let mut changes = registry.result_changes();
    // What was there before the registry was opened is news too.
    let mut known: Vec<QueryId> = Vec::new();
    loop {
        sleep(GATHER).await;
        changes.borrow_and_update();
        match readable(registry).await {
            Ok(found) => {
                let found: Vec<QueryId> = found.iter().map(|snapshot| snapshot.query_id).collect();
                if found != known && !tell().await {
                    return;
                }
                known = found;
            }
            Err(error) => tracing::warn!(%error, "cannot see which results there are"),
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
