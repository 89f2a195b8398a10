//! The owner of all queries: accepts them, shows them, stops them, forgets them.

mod accept;
mod cancel;
mod follow;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, Fence};
use crate::error::{RegistryError, Result};
use crate::fence::{self, KnownFence};
use crate::id::{InstanceId, QueryId};
use crate::instance::Instance;
use crate::journal::{Durability, Journal, ListFilter, MemoryJournal, SqliteJournal};
use crate::line::Line;
use crate::live::LiveQuery;
use crate::metrics::{Gauge, Metrics, MetricsSnapshot};
use crate::presence::{Presence, TemporaryDirectory};
use crate::record::{LostRows, QueryRecord, StopReason};
use crate::records::Records;
use crate::results::{ResultStore, ResultStoreError, StoredPage, StoredRows};
use crate::room::RowRoom;
use crate::shared::{Connection, Shared};
use crate::snapshot::QuerySnapshot;
use crate::state::Event;
use crate::state_dir::StateDir;
use crate::upkeep::{self, Taking};

pub use follow::RowFollower;

pub use crate::config::{OnExit, RegistryConfig, Shutdown, StateLocation};
pub use crate::outcome::{
    AbridgedPage, Accepted, CancelReason, Canceled, CloseReport, Joined, QueryPage, Waited,
};

/// At the end, stopped statements get so long to confirm.
const STOP_PATIENCE: Duration = Duration::from_millis(300);
/// The tasks so long to leave their calls and close their sessions, and the engines so long to close.
const LEAVE_PATIENCE: Duration = Duration::from_millis(100);

/// Runs queries on its connections. Cheap to clone; all clones are one registry.
#[derive(Debug, Clone)]
pub struct QueryRegistry {
    pub(crate) shared: Arc<Shared>,
}

impl QueryRegistry {
    /// Opens the state, takes up the queries of processes that are gone, and starts the upkeep. The first connection
    /// is the default one.
    pub async fn open(
        config: RegistryConfig,
        state: StateLocation,
        connections: Vec<(String, Arc<dyn Backend>)>,
    ) -> Result<Self> {
        let connections: Vec<_> = connections
            .into_iter()
            .map(|(name, backend)| Arc::new(connect(&config, name, backend)))
            .collect();
        let durability = match connections.iter().all(|connection| connection.is_embedded()) {
            true => Durability::Process,
            false => Durability::Power,
        };
        let limits = config.result_limits;
        let opening = spawn_blocking(move || open_state(state, durability, limits)).await;
        let (presence, journal, results) =
            opening.map_err(|fault| RegistryError::invalid(fault.to_string()))??;
        Self::start(config, presence, journal, results, connections).await
    }

    /// As [`QueryRegistry::open`], over a journal that outlives the registry: what a restart finds.
    #[cfg(any(test, feature = "testing"))]
    pub async fn open_with_journal(
        config: RegistryConfig,
        journal: Arc<dyn Journal>,
        results: ResultStore,
        connections: Vec<(String, Arc<dyn Backend>)>,
    ) -> Result<Self> {
        let connections = connections
            .into_iter()
            .map(|(name, backend)| Arc::new(connect(&config, name, backend)))
            .collect();
        let id = InstanceId::generate();
        let presence = Presence::Alone { id, directory: TemporaryDirectory::create(id)? };
        Self::start(config, presence, journal, results, connections).await
    }

    async fn start(
        config: RegistryConfig,
        presence: Presence,
        journal: Arc<dyn Journal>,
        results: ResultStore,
        connections: Vec<Arc<Connection>>,
    ) -> Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let records =
            Records::new(journal, Arc::clone(&metrics), config.clock.clone(), config.timing.clone());
        let room = Arc::new(RowRoom::new(&records, &metrics, config.max_spool_bytes));
        let results = results.within(config.max_spool_bytes, room);
        let (tasks, closing, stop) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let shared =
            Shared { config, presence, connections, records, results, metrics, tasks, closing, stop };
        let shared = Arc::new(shared);
        upkeep::take_over(&shared).await?;
        upkeep::start(&shared);
        Ok(Self { shared })
    }

    /// Waits until the query's version is newer than `since`, it has ended, or `limit` is over. Without `since` it
    /// waits for the next change. A dropped wait leaves the query as it is.
    pub async fn wait(&self, id: QueryId, since: Option<u64>, limit: Duration) -> Result<Waited> {
        let query = self.query(id).await?;
        let known = seen(&query)?.version;
        let since = since.unwrap_or(known);
        let is_news = |record: &QueryRecord| record.version > since || record.is_terminal();
        let record = self.once(&query, is_news, limit).await?;
        Ok(Waited { changed: record.version > since, snapshot: self.shared.view(&record).await })
    }

    /// Waits until the query has ended or `limit` is over.
    pub async fn wait_for_end(&self, id: QueryId, limit: Duration) -> Result<QuerySnapshot> {
        let query = self.query(id).await?;
        let record = self.once(&query, QueryRecord::is_terminal, limit).await?;
        Ok(self.shared.view(&record).await)
    }

    /// The query that a caller asks for; if its process is gone, the answer is not left to a later look.
    async fn query(&self, id: QueryId) -> Result<Arc<LiveQuery>> {
        let query = self.shared.records.get(id).await?;
        upkeep::take_over_one(&self.shared, &query, Taking::AsConfigured).await;
        Ok(query)
    }

    /// The query as it is now; `None` if no record has this id.
    pub async fn get_snapshot(&self, id: QueryId) -> Result<Option<QuerySnapshot>> {
        let Some(query) = self.shared.records.find(id).await? else { return Ok(None) };
        upkeep::take_over_one(&self.shared, &query, Taking::AsConfigured).await;
        let Some(record) = query.record() else { return Ok(None) };
        Ok(Some(self.shared.view(&record).await))
    }

    /// Rows of a query that succeeded, from `offset` on: `limit` of them, or the query's `max_inline_rows`, and no
    /// more than fit into `max_bytes`, but one at least.
    pub async fn fetch_result(
        &self,
        id: QueryId,
        offset: u64,
        limit: Option<u64>,
        max_bytes: u64,
    ) -> Result<QueryPage> {
        Ok(self.fetch_abridged(id, offset, limit, max_bytes, u64::MAX).await?.page)
    }

    /// As [`QueryRegistry::fetch_result`], with no more than the first `cell_chars` characters of each text. What is
    /// longer is never in memory; its size is told.
    pub async fn fetch_abridged(
        &self,
        id: QueryId,
        offset: u64,
        limit: Option<u64>,
        max_bytes: u64,
        cell_chars: u64,
    ) -> Result<AbridgedPage> {
        let query = self.shared.records.get(id).await?;
        let record = seen(&query)?;
        let Some(stored) = record.result.clone() else {
            return Err(RegistryError::NoResult { id, status: record.status, error: record.error.clone() });
        };
        let limit = limit.unwrap_or(record.options.max_inline_rows).min(stored.rows.saturating_sub(offset));
        if let Some(lost) = record.lost_rows() {
            return Err(rows_lost(id, lost));
        }
        let results = self.shared.results.clone();
        let read = spawn_blocking(move || match limit {
            0 => Ok(StoredPage::default()),
            _ => results.abridged_page(id, offset, limit, max_bytes, cell_chars),
        });
        match read.await.map_err(|fault| RegistryError::Results(fault.to_string()))? {
            Ok(mut page) => {
                let cuts = std::mem::take(&mut page.cuts);
                Ok(AbridgedPage { page: page_of(id, stored, page, offset), cuts })
            }
            Err(ResultStoreError::Missing) => self.rows_gone(&query).await,
            Err(error) => Err(RegistryError::Results(error.to_string())),
        }
    }

    /// T23: noted, so that the next caller need not look.
    async fn rows_gone(&self, query: &Arc<LiveQuery>) -> Result<AbridgedPage> {
        if let Err(error) = self.shared.records.apply(query, Event::RowsGone).await {
            tracing::warn!(query_id = %query.id(), %error, "cannot note that the rows are gone");
        }
        let lost = query.record().and_then(|record| record.lost_rows()).unwrap_or(LostRows::Removed);
        Err(rows_lost(query.id(), lost))
    }

    /// The record once it is as awaited, or as it is when the patience is over.
    async fn once(
        &self,
        query: &Arc<LiveQuery>,
        is_awaited: impl Fn(&QueryRecord) -> bool,
        patience: Duration,
    ) -> Result<Arc<QueryRecord>> {
        let _waiting = Gauge::enter(&self.shared.metrics.waiters);
        let _watch = query.watch();
        tokio::select! {
            () = self.shared.closing.cancelled() => {}
            _ = timeout(patience, query.until(is_awaited)) => {}
        }
        seen(query)
    }

    /// Queries of every process on this state, newest first.
    pub async fn list_queries(&self, filter: ListFilter) -> Result<Vec<QuerySnapshot>> {
        upkeep::take_over(&self.shared).await?;
        Ok(self.shared.views(&self.shared.records.list(filter).await?).await)
    }

    /// Changes whenever a result may have come or gone, at once for this process and within about a second for others
    /// on the same state.
    pub fn result_changes(&self) -> watch::Receiver<()> {
        self.shared.records.results()
    }

    /// Removes records past their retention and tells how many. A query that still runs is stopped first.
    pub async fn prune_expired(&self) -> Result<usize> {
        upkeep::prune(&self.shared).await
    }

    /// The counters at this moment.
    pub fn metrics(&self) -> MetricsSnapshot {
        MetricsSnapshot {
            registry_lock_wait_seconds: self.shared.records.lock_waits(),
            connections: self.shared.connections.iter().map(|connection| connection.metrics()).collect(),
            ..self.shared.metrics.snapshot()
        }
    }

    /// The names of the connections, the default one first.
    pub fn connections(&self) -> Vec<String> {
        self.shared.connections.iter().map(|connection| connection.name.clone()).collect()
    }

    /// What holds back writes on a connection, or on the default one. The engine is asked by the first who wants to know,
    /// in the background, and its answer is kept; who has no `patience` gets what is known so far.
    pub async fn fence(&self, connection: Option<&str>, patience: Duration) -> Result<Fence> {
        Ok(fence::of(&self.shared, self.shared.connection(connection)?, patience).await)
    }

    /// Takes no more queries, ends or leaves those that run, and waits for every task of the registry. Calling it
    /// again does no harm.
    pub async fn close(&self, how: Shutdown) -> CloseReport {
        let shared = &self.shared;
        shared.closing.cancel();
        let own: Vec<_> = shared.records.owned_live(shared.instance());
        if let Shutdown::Graceful(patience) = how {
            wait_for_ends(&own, patience).await;
        }
        for query in &own {
            self.stop_at_exit(query).await;
        }
        let stopping: Vec<_> = own.iter().filter(|query| is_stopping(query)).map(Arc::clone).collect();
        wait_for_ends(&stopping, STOP_PATIENCE).await;
        shared.stop.cancel();
        shared.tasks.close();
        if timeout(LEAVE_PATIENCE, shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = shared.tasks.len(), "not every task ended in time");
        }
        if timeout(LEAVE_PATIENCE, close_backends(shared)).await.is_err() {
            tracing::warn!("not every engine was closed in time");
        }
        report(&own)
    }

    /// Ends as a killed process does: no task goes on, and nothing is written or stopped any more.
    #[cfg(any(test, feature = "testing"))]
    pub async fn crash(self) {
        self.shared.stop.cancel();
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// T26, T27: what would die with us is stopped; what goes on without us only if so configured.
    async fn stop_at_exit(&self, query: &Arc<LiveQuery>) {
        let Some(record) = query.record().filter(|record| !record.is_terminal()) else { return };
        if !record.engine.embedded && self.shared.config.on_exit == OnExit::Detach {
            return;
        }
        match self.shared.records.apply(query, Event::StopRequested(StopReason::Shutdown)).await {
            Ok(applied) => drop(self.shared.carry_out(query, applied.effects).await),
            Err(error) => tracing::warn!(query_id = %query.id(), %error, "cannot stop the query"),
        }
    }
}

async fn close_backends(shared: &Shared) {
    for connection in &shared.connections {
        connection.backend.close().await;
    }
}

fn connect(config: &RegistryConfig, name: String, backend: Arc<dyn Backend>) -> Connection {
    let line = Line::new(config.max_running, config.max_queued);
    Connection { name, backend, line, fence: KnownFence::default() }
}

type State = (Presence, Arc<dyn Journal>, ResultStore);

/// Blocks for as long as a disk takes.
fn open_state(
    state: StateLocation,
    durability: Durability,
    limits: crate::results::ResultLimits,
) -> Result<State> {
    let (presence, journal): (_, Arc<dyn Journal>) = match state {
        StateLocation::Directory(path) => {
            let directory = StateDir::open(&path)?;
            let journal = SqliteJournal::open(directory.journal(), durability)?;
            let instance = Instance::register(&directory)?;
            (Presence::Shared { directory, instance }, Arc::new(journal))
        }
        StateLocation::Ephemeral => {
            let id = InstanceId::generate();
            let directory = TemporaryDirectory::create(id)?;
            (Presence::Alone { id, directory }, Arc::new(MemoryJournal::default()))
        }
    };
    let results = ResultStore::open(presence.results_directory(), limits)
        .map_err(|error| RegistryError::Results(error.to_string()))?;
    Ok((presence, journal, results))
}

/// The record, unless it is gone or out of sight.
fn seen(query: &LiveQuery) -> Result<Arc<QueryRecord>> {
    query.record().filter(|record| !record.forgotten).ok_or(RegistryError::NotFound(query.id()))
}

fn rows_lost(id: QueryId, lost: LostRows) -> RegistryError {
    match lost {
        LostRows::Removed => RegistryError::ResultExpired(id),
        LostRows::Evicted { limit } => RegistryError::RowsEvicted { id, limit },
    }
}

fn page_of(id: QueryId, stored: StoredRows, page: StoredPage, offset: u64) -> QueryPage {
    QueryPage {
        query_id: id,
        has_more: offset.saturating_add(page.rows.len() as u64) < stored.rows,
        columns: stored.columns,
        rows: page.rows,
        offset,
        total_rows: stored.total_rows,
        stored_rows: stored.rows,
        truncated: stored.truncated,
    }
}

fn is_stopping(query: &LiveQuery) -> bool {
    query.record().is_some_and(|record| !record.is_terminal() && record.intent.is_some())
}

async fn wait_for_ends(queries: &[Arc<LiveQuery>], patience: Duration) {
    let end = Instant::now() + patience;
    for query in queries {
        if timeout_at(end, query.beyond(u64::MAX)).await.is_err() {
            return;
        }
    }
}

fn report(queries: &[Arc<LiveQuery>]) -> CloseReport {
    let mut report = CloseReport::default();
    for record in queries.iter().filter_map(|query| query.record()) {
        let list = match (record.is_terminal(), record.intent) {
            (true, Some(_)) => &mut report.stopped,
            (true, None) => continue,
            (false, Some(_)) => &mut report.unconfirmed,
            (false, None) => &mut report.detached,
        };
        list.push(record.id);
    }
    report
}
