//! What a registry does by itself: follows other processes, shows that it is alive, takes over from the dead, forgets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::driver;
use crate::error::Result;
use crate::id::InstanceId;
use crate::instance::Holder;
use crate::journal::JournalError;
use crate::live::LiveQuery;
use crate::record::QueryRecord;
use crate::records::ApplyError;
use crate::shared::Shared;
use crate::state::Event;
use crate::tally;

/// A waiter learns of another process's change within about this time.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);
/// A waiter learns of the death of another process within about this time, and without waiters it is seen after so
/// many of these.
const ORPHAN_INTERVAL: Duration = Duration::from_secs(1);
const ORPHAN_LOOKS_SKIPPED: u32 = 10;
/// Records forgotten in one go.
const SWEEP_BATCH: usize = 100;

/// Starts the upkeep tasks; they end with the registry.
pub(crate) fn start(shared: &Arc<Shared>) {
    spawn(shared, sweep(Arc::clone(shared)));
    if shared.records.is_shared() {
        spawn(shared, remove_orphaned_rows(Arc::clone(shared)));
        spawn(shared, follow(Arc::clone(shared)));
        spawn(shared, stay_alive(Arc::clone(shared)));
        spawn(shared, tell_rows(Arc::clone(shared)));
        spawn(shared, look_for_orphans(Arc::clone(shared)));
    }
}

fn spawn(shared: &Arc<Shared>, upkeep: impl Future<Output = ()> + Send + 'static) {
    let stop = shared.stop.clone();
    shared.tasks.spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = upkeep => {}
        }
    });
}

async fn follow(shared: Arc<Shared>) {
    let mut hint = 0;
    loop {
        sleep(FOLLOW_INTERVAL).await;
        match shared.records.follow(hint).await {
            Ok(latest) => hint = latest,
            Err(error) => journal_failed(&error),
        }
    }
}

async fn stay_alive(shared: Arc<Shared>) {
    loop {
        sleep(shared.config.lease / 3).await;
        let touching = Arc::clone(&shared);
        drop(tokio::task::spawn_blocking(move || touching.presence.touch()).await);
    }
}

async fn tell_rows(shared: Arc<Shared>) {
    let counting = Arc::clone(&shared);
    let count = move || counting.records.tally(counting.instance());
    tally::tell_changes(count, move |tally| shared.presence.write_tally(tally)).await;
}

/// Looks for queries of the dead: often while somebody here waits for one, seldom otherwise.
async fn look_for_orphans(shared: Arc<Shared>) {
    loop {
        for _ in 0..ORPHAN_LOOKS_SKIPPED {
            sleep(ORPHAN_INTERVAL).await;
            if shared.metrics.has_waiters() {
                break;
            }
        }
        if let Err(error) = take_over(&shared).await {
            journal_failed(&error);
        }
    }
}

/// Rows that no record counts on: a process died between the change of the record and the removal of the rows. A
/// record is always there before its rows.
async fn remove_orphaned_rows(shared: Arc<Shared>) {
    let results = shared.results.clone();
    let Ok(Ok(ids)) = tokio::task::spawn_blocking(move || results.ids()).await else { return };
    for id in ids {
        if !matches!(shared.records.counts_on_rows(id).await, Ok(false)) {
            continue;
        }
        let results = shared.results.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || results.remove(id)).await {
            tracing::warn!(query_id = %id, %error, "cannot remove rows that no record counts on");
        }
    }
}

async fn sweep(shared: Arc<Shared>) {
    loop {
        keep_within_room(&shared).await;
        sleep(shared.config.sweep_interval).await;
        if let Err(error) = prune(&shared).await {
            tracing::warn!(%error, "expired records could not be removed");
        }
    }
}

/// The room may be smaller than it was when the results were written.
async fn keep_within_room(shared: &Shared) {
    let results = shared.results.clone();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || results.keep_within()).await {
        tracing::warn!(%error, "the room of the stored results could not be looked at");
    }
}

fn journal_failed(error: &JournalError) {
    tracing::warn!(%error, "the journal could not be read");
}

/// T24, T25: forgets what is past its retention, and tells how many records that were.
pub(crate) async fn prune(shared: &Arc<Shared>) -> Result<usize> {
    let mut pruned = 0;
    loop {
        let expired = shared.records.expired(SWEEP_BATCH).await?;
        let found = expired.len();
        let mut done = 0;
        for record in expired {
            done += usize::from(expire(shared, record).await);
        }
        pruned += done;
        if found < SWEEP_BATCH || done == 0 {
            return Ok(pruned);
        }
    }
}

/// Tells whether this call did it.
pub(crate) async fn expire(shared: &Arc<Shared>, record: QueryRecord) -> bool {
    let query = shared.records.adopt(record);
    match shared.records.apply(&query, Event::Expired).await {
        Ok(applied) => {
            shared.carry_out(&query, applied.effects).await;
            true
        }
        // Another process was quicker.
        Err(ApplyError::Removed) => false,
        Err(error) => {
            tracing::warn!(query_id = %query.id(), %error, "an expired record could not be removed");
            false
        }
    }
}

/// T20: takes up the queries of processes that are gone.
pub(crate) async fn take_over(shared: &Arc<Shared>) -> Result<(), JournalError> {
    let mut unsettled = shared.records.unsettled().await?;
    unsettled.retain(|record| record.lease.owner != shared.instance());
    let holders = holders(shared, &unsettled).await;
    for record in unsettled {
        let holder = holders.get(&record.lease.owner).copied();
        take_from(shared, record, holder, Taking::AsConfigured).await;
    }
    Ok(())
}

/// Whose queries are taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taking {
    /// Those of all who are gone; by a process that ends soon only those whose end is certain.
    AsConfigured,
    /// This one in any case: somebody must stop it.
    ToStop,
}

/// T20 for one query that somebody asks for.
pub(crate) async fn take_over_one(shared: &Arc<Shared>, query: &LiveQuery, taking: Taking) {
    let Some(record) = query.record() else { return };
    if !record.needs_a_driver() || record.lease.owner == shared.instance() {
        return;
    }
    let holder = holder(shared, &record).await;
    take_from(shared, QueryRecord::clone(&record), holder, taking).await;
}

/// Whether the process that drove a query with something left to do is gone and this one cannot go on with it.
pub(crate) async fn is_abandoned(shared: &Arc<Shared>, query: &LiveQuery) -> bool {
    let Some(record) = query.record().filter(|record| record.needs_a_driver()) else { return false };
    record.lease.owner != shared.instance() && holder(shared, &record).await == Some(Holder::Gone)
}

async fn holder(shared: &Arc<Shared>, record: &QueryRecord) -> Option<Holder> {
    let found = holders(shared, &[record]).await;
    found.get(&record.lease.owner).copied()
}

async fn take_from(shared: &Arc<Shared>, record: QueryRecord, holder: Option<Holder>, taking: Taking) {
    match holder {
        Some(Holder::Gone) => take_up(shared, record, true, taking).await,
        // A process that only sleeps may wake: what runs inside it is still its own.
        Some(Holder::Stalled) if !record.engine.embedded => take_up(shared, record, false, taking).await,
        _ => {}
    }
}

/// What can be seen of the processes that hold `records`.
pub(crate) async fn holders<R: std::borrow::Borrow<QueryRecord>>(
    shared: &Arc<Shared>,
    records: &[R],
) -> HashMap<InstanceId, Holder> {
    if records.is_empty() {
        return HashMap::new();
    }
    let owners: Vec<InstanceId> = records.iter().map(|record| record.borrow().lease.owner).collect();
    let asking = Arc::clone(shared);
    let ask = move || {
        let mut holders = HashMap::new();
        for owner in owners {
            holders.entry(owner).or_insert_with(|| asking.presence.holder(owner, asking.config.lease));
        }
        holders
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or_default()
}

async fn take_up(shared: &Arc<Shared>, record: QueryRecord, owner_gone: bool, taking: Taking) {
    let connection = shared.connection_of(&record).map(Arc::clone);
    let engine_gone = owner_gone && record.engine.embedded;
    // Without its connection a query can only be told that its engine is gone, and so by a process that ends soon.
    let ends_here = engine_gone && !record.is_unsent();
    let may_drive = shared.config.takes_over || taking == Taking::ToStop;
    if !ends_here && (connection.is_none() || !may_drive) {
        return;
    }
    let former = record.lease;
    let query = shared.records.adopt(record);
    let event = Event::LeaseTaken { owner: shared.instance(), engine_gone };
    let applied = match shared.records.apply_as(former, &query, event).await {
        Ok(applied) => applied,
        // A third process was quicker.
        Err(ApplyError::LeaseLost | ApplyError::Removed) => return,
        Err(error) => {
            return tracing::warn!(query_id = %query.id(), %error, "a query could not be taken over");
        }
    };
    shared.metrics.taken_over.add_one();
    shared.carry_out(&query, applied.effects).await;
    let Some(record) = query.record().filter(|record| !record.is_terminal()) else { return };
    tracing::info!(query_id = %record.id, status = %record.status, "query taken over");
    if let Some(connection) = connection {
        let place = connection.line.join(record.options.priority);
        driver::start(shared, &connection, query, place);
    }
}
