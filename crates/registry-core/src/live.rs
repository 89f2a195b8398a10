//! The records that somebody in this process cares about right now, and the wake-ups of those who wait for a change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;
use tracing::Span;

use crate::id::QueryId;
use crate::line::Position;
use crate::record::QueryRecord;
use crate::results::RowsSoFar;
use crate::snapshot::LiveFacts;

/// One record as this process last saw it. It lives as long as a driver or a waiter holds it.
#[derive(Debug)]
pub(crate) struct LiveQuery {
    id: QueryId,
    record: Mutex<Arc<QueryRecord>>,
    span: Span,
    changed: Notify,
    removed: AtomicBool,
    waiters: AtomicUsize,
    facts: Mutex<Facts>,
    home: Weak<LiveQueries>,
}

/// What the driver knows beyond the record.
#[derive(Debug, Default)]
struct Facts {
    rows_so_far: Option<Arc<RowsSoFar>>,
    is_fetching: bool,
    position: Option<Position>,
}

impl LiveQuery {
    pub(crate) fn id(&self) -> QueryId {
        self.id
    }

    /// What everything that is logged of the query stands in, whoever does it.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// The record as last seen; `None` once it was removed.
    pub(crate) fn record(&self) -> Option<Arc<QueryRecord>> {
        (!self.removed.load(Ordering::Acquire)).then(|| Arc::clone(&lock(&self.record)))
    }

    /// Shows a newer record to everybody. The write to the journal comes before, so that nobody is woken for
    /// something that is not so.
    pub(crate) fn publish(&self, record: Arc<QueryRecord>) {
        {
            let mut current = lock(&self.record);
            if record.version <= current.version {
                return;
            }
            *current = record;
        }
        self.changed.notify_waiters();
    }

    /// Tells everybody that the record is gone.
    pub(crate) fn publish_removal(&self) {
        self.removed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Returns when the version is beyond `since`, the query has ended, or the record is gone.
    pub(crate) async fn beyond(&self, since: u64) {
        self.until(|record| record.version > since || record.is_terminal()).await;
    }

    /// Returns when the record is as awaited, or gone.
    ///
    /// It registers first and reads second: a change after the registration wakes it, one before is read. Nothing is
    /// lost in between, and the loop makes a wake-up for nothing harmless.
    pub(crate) async fn until(&self, is_awaited: impl Fn(&QueryRecord) -> bool) {
        loop {
            let notified = self.changed.notified();
            match self.record() {
                Some(record) if !is_awaited(&record) => notified.await,
                _ => return,
            }
        }
    }

    /// Counts the caller among the waiters until the guard is dropped.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Watch(Arc::clone(self))
    }

    /// Whether somebody waits for a change.
    pub(crate) fn is_watched(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn set_position(&self, position: Option<Position>) {
        lock(&self.facts).position = position;
    }

    pub(crate) fn set_rows_so_far(&self, rows: Arc<RowsSoFar>) {
        lock(&self.facts).rows_so_far = Some(rows);
    }

    /// From now on the statement has succeeded at its engine, and its rows are on their way.
    pub(crate) fn begin_fetch(&self, rows: Arc<RowsSoFar>) {
        let mut facts = lock(&self.facts);
        (facts.rows_so_far, facts.is_fetching) = (Some(rows), true);
    }

    pub(crate) fn is_fetching(&self) -> bool {
        lock(&self.facts).is_fetching
    }

    /// What the latest writer of its result tells; `None` before there was one.
    pub(crate) fn rows_so_far(&self) -> Option<Arc<RowsSoFar>> {
        lock(&self.facts).rows_so_far.clone()
    }

    pub(crate) fn facts(&self) -> LiveFacts {
        let (rows, is_fetching, position) = {
            let facts = lock(&self.facts);
            (facts.rows_so_far.clone(), facts.is_fetching, facts.position.clone())
        };
        LiveFacts {
            rows_so_far: rows.map_or(0, |rows| rows.count()),
            is_fetching,
            queue_position: position.and_then(|position| position.in_line()),
        }
    }
}

impl Drop for LiveQuery {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.tidy(self.id);
        }
    }
}

/// A waiter's mark on a query.
#[derive(Debug)]
pub(crate) struct Watch(Arc<LiveQuery>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Finds the one live view of a record.
#[derive(Debug, Default)]
pub(crate) struct LiveQueries {
    by_id: Mutex<HashMap<QueryId, Weak<LiveQuery>>>,
}

impl LiveQueries {
    pub(crate) fn get(&self, id: QueryId) -> Option<Arc<LiveQuery>> {
        lock(&self.by_id).get(&id).and_then(Weak::upgrade)
    }

    /// The live view of `record`, made if there is none; an older view learns of it.
    pub(crate) fn adopt(self: &Arc<Self>, record: Arc<QueryRecord>) -> Arc<LiveQuery> {
        let mut by_id = lock(&self.by_id);
        if let Some(query) = by_id.get(&record.id).and_then(Weak::upgrade) {
            drop(by_id);
            query.publish(record);
            return query;
        }
        let query = Arc::new(LiveQuery {
            id: record.id,
            // Of the highest level, so that no filter takes it from the lines that need it.
            span: tracing::error_span!(parent: None, "query", query_id = %record.id, connection = record.connection),
            record: Mutex::new(Arc::clone(&record)),
            changed: Notify::new(),
            removed: AtomicBool::new(false),
            waiters: AtomicUsize::new(0),
            facts: Mutex::default(),
            home: Arc::downgrade(self),
        });
        by_id.insert(record.id, Arc::downgrade(&query));
        query
    }

    pub(crate) fn all(&self) -> Vec<Arc<LiveQuery>> {
        lock(&self.by_id).values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.by_id).is_empty()
    }

    fn tidy(&self, id: QueryId) {
        let mut by_id = lock(&self.by_id);
        if by_id.get(&id).is_some_and(|query| query.strong_count() == 0) {
            by_id.remove(&id);
        }
    }
}

/// A panic elsewhere leaves these small values whole, so its poison is no reason to stop.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;
    use crate::clock::Timestamp;
    use crate::id::InstanceId;
    use crate::options::QueryRequest;
    use crate::record::EngineFacts;

    fn record() -> QueryRecord {
        let request = QueryRequest::new("select 1");
        let (owner, now) = (InstanceId::generate(), Timestamp::default());
        let engine = EngineFacts { target: "test".to_owned(), embedded: false };
        QueryRecord::accept(request, "main".to_owned(), engine, owner, now, Duration::from_secs(1))
    }

    fn at_version(record: &QueryRecord, version: u64) -> Arc<QueryRecord> {
        Arc::new(QueryRecord { version, ..record.clone() })
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiter_with_an_older_version_wakes() {
        let (queries, first) = (Arc::new(LiveQueries::default()), record());
        let query = queries.adopt(at_version(&first, 1));
        let waits: Vec<_> = (0..3)
            .map(|_| {
                let query = Arc::clone(&query);
                tokio::spawn(async move { timeout(Duration::from_secs(5), query.beyond(1)).await.is_ok() })
            })
            .collect();
        tokio::task::yield_now().await;
        query.publish(at_version(&first, 2));
        for wait in waits {
            assert!(wait.await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_before_the_wait_is_not_slept_through_and_an_old_one_wakes_nobody() {
        let (queries, first) = (Arc::new(LiveQueries::default()), record());
        let query = queries.adopt(at_version(&first, 5));
        assert!(timeout(Duration::from_secs(5), query.beyond(4)).await.is_ok());
        query.publish(at_version(&first, 3));
        assert_eq!(query.record().unwrap().version, 5);
        assert!(timeout(Duration::from_secs(5), query.beyond(5)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_removal_wakes_those_who_wait() {
        let queries = Arc::new(LiveQueries::default());
        let query = queries.adopt(Arc::new(record()));
        let wait = tokio::spawn({
            let query = Arc::clone(&query);
            async move { timeout(Duration::from_secs(5), query.beyond(9)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        query.publish_removal();
        assert!(wait.await.unwrap());
        assert!(query.record().is_none());
    }

    #[test]
    fn a_view_goes_when_nobody_holds_it() {
        let (queries, first) = (Arc::new(LiveQueries::default()), Arc::new(record()));
        let query = queries.adopt(Arc::clone(&first));
        let same = queries.adopt(Arc::clone(&first));
        assert!(Arc::ptr_eq(&query, &same));
        drop((query, same));
        assert!(queries.is_empty());
    }
}
