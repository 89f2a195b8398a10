//! A registry over a scripted engine, with state that survives a crash of the registry.

use std::sync::Arc;
use std::time::Duration;

use registry_core::clock::{Clock, Timestamp};
use registry_core::id::QueryId;
use registry_core::journal::{Journal, MemoryJournal};
use registry_core::options::QueryRequest;
use registry_core::record::QueryRecord;
use registry_core::registry::{RegistryConfig, Shutdown};
use registry_core::results::{ResultLimits, ResultStore};
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use registry_core::testing::scripted::ScriptedBackend;
use registry_core::{Backend, QueryRegistry};

/// Longer than anything takes in these tests; under paused time it costs nothing.
pub const PATIENCE: Duration = Duration::from_secs(100 * 24 * 3600);

/// Everything that outlives a registry.
#[derive(Debug)]
pub struct World {
    /// The engine.
    pub engine: ScriptedBackend,
    /// The records.
    pub journal: Arc<MemoryJournal>,
    /// The rows.
    pub results: ResultStore,
    /// How the next registry behaves.
    pub config: RegistryConfig,
    _directory: tempfile::TempDir,
}

impl World {
    /// A world around `engine`. Call it inside the runtime whose time it is to follow.
    pub fn around(engine: ScriptedBackend) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = RegistryConfig {
            clock: Clock::runtime(Timestamp::from_millis(1_800_000_000_000)),
            ..RegistryConfig::default()
        };
        let results =
            ResultStore::open(directory.path().to_owned(), ResultLimits::default()).expect("a store");
        Self { engine, journal: Arc::default(), results, config, _directory: directory }
    }

    /// The same world with other settings.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Opens a registry with one connection called `main`.
    pub async fn open(&self) -> QueryRegistry {
        let engine: Arc<dyn Backend> = Arc::new(self.engine.clone());
        let journal: Arc<dyn Journal> = Arc::clone(&self.journal) as Arc<dyn Journal>;
        let connections = vec![("main".to_owned(), engine)];
        QueryRegistry::open_with_journal(self.config.clone(), journal, self.results.clone(), connections)
            .await
            .expect("the registry opens")
    }

    /// The process dies and the next one starts.
    pub async fn restart(&mut self, registry: QueryRegistry) -> QueryRegistry {
        registry.crash().await;
        self.engine = self.engine.restarted();
        self.open().await
    }

    /// The record as it is stored.
    pub fn record(&self, id: QueryId) -> QueryRecord {
        self.journal.get(id).expect("memory does not fail").expect("the record is there")
    }

    /// Closes the registry, and checks what every test must leave behind: nothing open, nothing done that may never
    /// be done.
    pub async fn close(&self, registry: QueryRegistry) {
        registry.close(Shutdown::Immediate).await;
        self.check_leaks(&registry);
    }

    /// Sessions are closed exactly once, no closed one was used, no request ran twice, no task is left.
    pub fn check_leaks(&self, registry: &QueryRegistry) {
        assert_eq!(self.engine.complaints(), Vec::<String>::new());
        assert_eq!(self.engine.open_sessions(), 0, "{:#?}", self.engine.log());
        let metrics = registry.metrics();
        assert_eq!((metrics.sessions_open, metrics.drivers, metrics.driver_panics), (0, 0, 0), "{metrics:?}");
        assert_eq!(metrics.sessions_opened, metrics.sessions_closed);
    }
}

/// Submits a statement with the default options; returns its id.
pub async fn submit(registry: &QueryRegistry, sql: &str) -> QueryId {
    registry.execute_query(QueryRequest::new(sql)).await.expect("accepted").snapshot.query_id
}

/// Waits until the query has ended.
pub async fn end_of(registry: &QueryRegistry, id: QueryId) -> QuerySnapshot {
    let snapshot = registry.wait_for_end(id, PATIENCE).await.expect("the record is there");
    assert!(snapshot.status.is_terminal(), "{snapshot:#?}");
    snapshot
}

/// Waits until the query runs at the engine.
pub async fn running(registry: &QueryRegistry, id: QueryId) -> QuerySnapshot {
    until(registry, id, |snapshot| snapshot.status == QueryStatus::Running).await
}

/// Waits until every driver has ended; the bound is generous and costs no time.
pub async fn drivers_gone(registry: &QueryRegistry) {
    for _ in 0..10_000 {
        if registry.metrics().drivers == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("a driver is left: {:?}", registry.metrics());
}

/// Waits until a snapshot passes `test`.
pub async fn until(
    registry: &QueryRegistry,
    id: QueryId,
    test: impl Fn(&QuerySnapshot) -> bool,
) -> QuerySnapshot {
    let mut snapshot = registry.get_snapshot(id).await.expect("a journal").expect("the record is there");
    while !test(&snapshot) {
        assert!(!snapshot.status.is_terminal(), "ended before: {snapshot:#?}");
        let waited = registry.wait(id, Some(snapshot.version), PATIENCE).await.expect("the record is there");
        snapshot = waited.snapshot;
    }
    snapshot
}
