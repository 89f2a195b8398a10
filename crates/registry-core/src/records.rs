//! The one way to read and change records: decide with the pure function, make it durable, then show it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::clock::Clock;
use crate::error::{ErrorInfo, ErrorKind, RegistryError, Result};
use crate::id::{InstanceId, QueryId};
use crate::journal::{Inserted, Journal, JournalError, ListFilter, Uniqueness, Updated};
use crate::live::{LiveQueries, LiveQuery};
use crate::metrics::{HistogramSnapshot, Metrics};
use crate::record::{Lease, QueryRecord};
use crate::state::{Effect, Event, Step, Timing, step};
use crate::tally::Tally;

/// Records behind the journal, and the live views of those in use.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    journal: Arc<dyn Journal>,
    live: Arc<LiveQueries>,
    metrics: Arc<Metrics>,
    clock: Clock,
    timing: Timing,
    /// Sends when a result may have come or gone.
    results: watch::Sender<()>,
}

/// What an event led to.
#[derive(Debug)]
pub(crate) struct Applied {
    /// To be carried out now.
    pub(crate) effects: Vec<Effect>,
    /// The version that the decision was made on: anything newer is news.
    pub(crate) version: u64,
}

/// Whether rows may be removed to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenUp {
    /// Somebody counts on them.
    No,
    /// From now on nobody does.
    Now,
    /// Nobody did.
    Before,
}

/// Why a record was not changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum ApplyError {
    /// Another process drives the query now.
    #[error("another process took the query over")]
    LeaseLost,
    /// The record is gone.
    #[error("the record was removed")]
    Removed,
    /// The change could not be made durable, so it did not happen.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl Records {
    pub(crate) fn new(
        journal: Arc<dyn Journal>,
        metrics: Arc<Metrics>,
        clock: Clock,
        timing: Timing,
    ) -> Self {
        let results = watch::Sender::new(());
        Self { journal, live: Arc::default(), metrics, clock, timing, results }
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) fn lock_waits(&self) -> HistogramSnapshot {
        self.journal.lock_waits()
    }

    /// Hears of results that may have come or gone, in whatever process.
    pub(crate) fn results(&self) -> watch::Receiver<()> {
        self.results.subscribe()
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.journal.is_shared()
    }

    /// Stores a new record; nothing was sent before this returns.
    pub(crate) async fn insert(&self, record: QueryRecord, unique: Uniqueness) -> Result<Inserted> {
        Ok(self.with_journal(move |journal| journal.insert(&record, &unique)).await?)
    }

    /// The live view of a record, read from the journal if there is none yet; `None` if nobody may see it.
    pub(crate) async fn find(&self, id: QueryId) -> Result<Option<Arc<LiveQuery>>> {
        if let Some(query) = self.live.get(id) {
            return Ok(query.record().filter(|record| !record.forgotten).map(|_| query));
        }
        let record = self.with_journal(move |journal| journal.get(id)).await?;
        Ok(record.filter(|record| !record.forgotten).map(|record| self.live.adopt(Arc::new(record))))
    }

    /// As [`Records::find`], for those who cannot go on without it.
    pub(crate) async fn get(&self, id: QueryId) -> Result<Arc<LiveQuery>> {
        self.find(id).await?.ok_or(RegistryError::NotFound(id))
    }

    /// The live view of a record just read or written.
    pub(crate) fn adopt(&self, record: QueryRecord) -> Arc<LiveQuery> {
        self.live.adopt(Arc::new(record))
    }

    /// Whether a record counts on stored rows.
    pub(crate) async fn counts_on_rows(&self, id: QueryId) -> Result<bool, JournalError> {
        let record = self.with_journal(move |journal| journal.get(id)).await?;
        Ok(record.is_some_and(|record| record.counts_on_rows()))
    }

    pub(crate) async fn list(&self, filter: ListFilter) -> Result<Vec<Arc<QueryRecord>>> {
        let records = self.with_journal(move |journal| journal.list(&filter)).await?;
        Ok(records.into_iter().map(Arc::new).collect())
    }

    /// What this process knows of a record beyond the journal.
    pub(crate) fn live(&self, id: QueryId) -> Option<Arc<LiveQuery>> {
        self.live.get(id)
    }

    /// The unfinished queries that `instance` drives.
    pub(crate) fn owned_live(&self, instance: InstanceId) -> Vec<Arc<LiveQuery>> {
        let is_ours = |query: &Arc<LiveQuery>| {
            query.record().is_some_and(|record| record.lease.owner == instance && !record.is_terminal())
        };
        self.live.all().into_iter().filter(is_ours).collect()
    }

    /// Rows so far of the queries that `instance` drives.
    pub(crate) fn tally(&self, instance: InstanceId) -> Tally {
        let rows = |query: Arc<LiveQuery>| (query.id(), query.facts().rows_so_far);
        self.owned_live(instance).into_iter().map(rows).filter(|&(_, rows)| rows > 0).collect()
    }

    pub(crate) async fn unsettled(&self) -> Result<Vec<QueryRecord>, JournalError> {
        self.with_journal(|journal| journal.unsettled()).await
    }

    pub(crate) async fn expired(&self, limit: usize) -> Result<Vec<QueryRecord>, JournalError> {
        let now = self.clock.now();
        self.with_journal(move |journal| journal.expired(now, limit)).await
    }

    /// Removes an ended record; tells whether this call did it.
    pub(crate) async fn delete(&self, query: &LiveQuery) -> Result<bool, JournalError> {
        let Some(record) = query.record() else { return Ok(false) };
        let (id, version) = (record.id, record.version);
        let deleted = self.with_journal(move |journal| journal.delete(id, version)).await?;
        if deleted {
            query.publish_removal();
            self.results.send_replace(());
        }
        Ok(deleted)
    }

    /// T29: notes that the rows of `id` are to be removed to make room, and tells whether they may be. Rows of a
    /// record that is gone or that says so already may. Blocks as the journal does.
    pub(crate) fn give_up_rows(&self, id: QueryId, limit: u64) -> Result<GivenUp, JournalError> {
        loop {
            let Some(before) = self.journal.get(id)? else { return Ok(GivenUp::Before) };
            if !before.counts_on_rows() {
                return Ok(GivenUp::Before);
            }
            let after = step(&before, &Event::RowsEvicted { limit }, self.clock.now(), &self.timing).record;
            if !after.rows_gone {
                return Ok(GivenUp::No);
            }
            if self.journal.update(&before, &after)? == Updated::Applied {
                if let Some(query) = self.live.get(id) {
                    query.publish(Arc::new(after));
                }
                return Ok(GivenUp::Now);
            }
        }
    }

    /// Applies an event that anybody may cause.
    pub(crate) async fn apply(&self, query: &Arc<LiveQuery>, event: Event) -> Result<Applied, ApplyError> {
        self.decide(query, event, None).await
    }

    /// Applies an event that only the holder of `lease` may cause.
    pub(crate) async fn apply_as(
        &self,
        lease: Lease,
        query: &Arc<LiveQuery>,
        event: Event,
    ) -> Result<Applied, ApplyError> {
        self.decide(query, event, Some(lease)).await
    }

    /// Whoever wrote first is right: on a conflict the decision is made anew on what is stored now.
    async fn decide(
        &self,
        query: &Arc<LiveQuery>,
        event: Event,
        lease: Option<Lease>,
    ) -> Result<Applied, ApplyError> {
        loop {
            let before = query.record().ok_or(ApplyError::Removed)?;
            if lease.is_some_and(|lease| lease != before.lease) {
                return Err(ApplyError::LeaseLost);
            }
            let Step { record: after, effects } = step(&before, &event, self.clock.now(), &self.timing);
            let version = after.version;
            if version == before.version {
                self.metrics.late_events.add_if(before.is_terminal() && lease.is_some());
                return Ok(Applied { effects, version });
            }
            if self.commit(query, before, after).await? {
                return Ok(Applied { effects, version });
            }
        }
    }

    /// Writes and publishes in one piece of work that goes on when the caller is dropped, so that the live view never
    /// stays behind the journal.
    async fn commit(
        &self,
        query: &Arc<LiveQuery>,
        before: Arc<QueryRecord>,
        after: QueryRecord,
    ) -> Result<bool, ApplyError> {
        let (query, metrics) = (Arc::clone(query), Arc::clone(&self.metrics));
        let results = self.results.clone();
        self.with_journal(move |journal| match journal.update(&before, &after)? {
            Updated::Applied => {
                metrics.record_transition(&before, &after);
                query.span().in_scope(|| log_transition(&before, &after));
                let comes_or_goes = has_result(&before) != has_result(&after);
                query.publish(Arc::new(after));
                if comes_or_goes {
                    results.send_replace(());
                }
                Ok(Ok(true))
            }
            Updated::Conflict(Some(current)) => {
                query.publish(Arc::new(*current));
                Ok(Ok(false))
            }
            Updated::Conflict(None) => {
                query.publish_removal();
                Ok(Err(ApplyError::Removed))
            }
        })
        .await?
    }

    /// Learns what other processes wrote, if anything was written since `hint`.
    pub(crate) async fn follow(&self, hint: i64) -> Result<i64, JournalError> {
        if self.live.is_empty() && self.results.is_closed() {
            return Ok(hint);
        }
        let live = self.live.all();
        let results = self.results.clone();
        self.with_journal(move |journal| {
            let latest = journal.change_hint()?;
            if latest != hint {
                for query in live {
                    match journal.get(query.id())? {
                        Some(record) => query.publish(Arc::new(record)),
                        None => query.publish_removal(),
                    }
                }
                results.send_replace(());
            }
            Ok(latest)
        })
        .await
    }

    /// The journal blocks for as long as a disk takes, which no thread of the runtime may.
    async fn with_journal<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (journal, metrics) = (Arc::clone(&self.journal), Arc::clone(&self.metrics));
        let timed = move || metrics.journal_seconds.time(|| work(journal.as_ref()));
        let outcome = spawn_blocking(timed).await.unwrap_or_else(|panic| {
            Err(JournalError::Other {
                path: "journal".into(),
                reason: format!("a call did not return: {panic}"),
            })
        });
        self.metrics.journal_errors.add_if(outcome.is_err());
        outcome
    }
}

fn has_result(record: &QueryRecord) -> bool {
    record.result.is_some() && record.lost_rows().is_none() && !record.forgotten
}

/// The only place that tells of changes of status; fields, not sentences. The query's span tells which query.
fn log_transition(before: &QueryRecord, after: &QueryRecord) {
    let (from, to, version) = (before.status.as_str(), after.status.as_str(), after.version);
    let error = after.error.as_ref().map(|error| error.kind.as_str());
    match (&before.unreachable, &after.unreachable) {
        (None, Some(error)) if !after.is_terminal() => {
            tracing::warn!(reason = error.message, "the engine cannot be reached; it is tried again");
        }
        (Some(_), None) if !after.is_terminal() => tracing::info!("the engine is reached again"),
        _ => {}
    }
    if before.status == after.status {
        tracing::debug!(status = %to, version, "record changed");
    } else if after.is_terminal() {
        let millis = after.finished_at.map(|end| as_millis(end.since(after.created_at)));
        let ran_millis =
            after.finished_at.zip(after.started_at).map(|(end, start)| as_millis(end.since(start)));
        let rows = after.result.as_ref().map(|result| result.rows);
        let reason = after.error.as_ref().and_then(reason);
        tracing::info!(status = %to, millis, ran_millis, rows, error, reason, "query ended");
    } else {
        tracing::info!(%from, %to, version, error, "query changed");
    }
}

/// Why a query failed, where the words cannot be those of its statement, which are nobody's business.
fn reason(error: &ErrorInfo) -> Option<&str> {
    match error.kind {
        ErrorKind::Authentication
        | ErrorKind::Configuration
        | ErrorKind::Unavailable
        | ErrorKind::Throttled
        | ErrorKind::Protocol
        | ErrorKind::Internal => Some(&error.message),
        _ => None,
    }
}

fn as_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
