//! A disk without room for the journal: what is said, what is not done, and how it goes on once there is room.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use registry_core::clock::Timestamp;
use registry_core::error::RegistryError;
use registry_core::id::QueryId;
use registry_core::journal::{
    Inserted, Journal, JournalError, ListFilter, MemoryJournal, Uniqueness, Updated,
};
use registry_core::options::QueryRequest;
use registry_core::record::QueryRecord;
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Script, ScriptedBackend};
use registry_core::{Backend, QueryRegistry};
use support::world::{World, end_of, running, submit};

/// Writes fail while the disk is full; reads do not.
#[derive(Debug, Default)]
struct Disk {
    journal: MemoryJournal,
    full: AtomicBool,
}

impl Disk {
    fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    fn write<T>(&self, work: impl FnOnce() -> Result<T, JournalError>) -> Result<T, JournalError> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(JournalError::DiskFull { path: PathBuf::from("/state/journal.db") }),
            false => work(),
        }
    }
}

impl Journal for Disk {
    fn insert(&self, record: &QueryRecord, unique: &Uniqueness) -> Result<Inserted, JournalError> {
        self.write(|| self.journal.insert(record, unique))
    }

    fn update(&self, before: &QueryRecord, after: &QueryRecord) -> Result<Updated, JournalError> {
        self.write(|| self.journal.update(before, after))
    }

    fn get(&self, id: QueryId) -> Result<Option<QueryRecord>, JournalError> {
        self.journal.get(id)
    }

    fn list(&self, filter: &ListFilter) -> Result<Vec<QueryRecord>, JournalError> {
        self.journal.list(filter)
    }

    fn unsettled(&self) -> Result<Vec<QueryRecord>, JournalError> {
        self.journal.unsettled()
    }

    fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<QueryRecord>, JournalError> {
        self.journal.expired(now, limit)
    }

    fn delete(&self, id: QueryId, version: u64) -> Result<bool, JournalError> {
        self.write(|| self.journal.delete(id, version))
    }

    fn change_hint(&self) -> Result<i64, JournalError> {
        self.journal.change_hint()
    }

    fn is_shared(&self) -> bool {
        self.journal.is_shared()
    }
}

async fn open(world: &World, disk: &Arc<Disk>) -> QueryRegistry {
    let engine: Arc<dyn Backend> = Arc::new(world.engine.clone());
    let journal: Arc<dyn Journal> = Arc::clone(disk) as Arc<dyn Journal>;
    let connections = vec![("main".to_owned(), engine)];
    QueryRegistry::open_with_journal(world.config.clone(), journal, world.results.clone(), connections)
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_full_journal_refuses_before_anything_is_sent_and_takes_queries_again_with_room() {
    let (world, disk) = (World::around(ScriptedBackend::remote()), Arc::new(Disk::default()));
    let registry = open(&world, &disk).await;
    let earlier = submit(&registry, "select 1").await;
    end_of(&registry, earlier).await;
    disk.fill(true);
    let refused = registry.execute_query(QueryRequest::new("select 2")).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Journal(JournalError::DiskFull { .. })), "{refused}");
    assert!(refused.to_string().contains("no space left"), "{refused}");
    assert_eq!(world.engine.calls(Call::Submit), 1);
    assert_eq!(registry.fetch_result(earlier, 0, None, u64::MAX).await.unwrap().rows.len(), 1);
    disk.fill(false);
    let later = submit(&registry, "select 2").await;
    assert_eq!(end_of(&registry, later).await.status, QueryStatus::Succeeded);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_fills_up_under_a_running_query_tells_no_end_that_is_not_durable() {
    let slow = Script::runs_for(Duration::from_secs(20));
    let world = World::around(ScriptedBackend::remote().by_default(slow));
    let disk = Arc::new(Disk::default());
    let registry = open(&world, &disk).await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    disk.fill(true);
    let waited = registry.wait_for_end(id, Duration::from_secs(300)).await.unwrap();
    assert_eq!(waited.status, QueryStatus::Running);
    assert_eq!(disk.get(id).unwrap().unwrap().status, QueryStatus::Running);
    disk.fill(false);
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    assert_eq!(registry.fetch_result(id, 0, None, u64::MAX).await.unwrap().rows.len(), 1);
    assert_eq!(world.engine.all_executions(), 1);
    world.close(registry).await;
}
