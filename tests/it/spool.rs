//! The room that all results share: who goes when it is used up, and what is said of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use registry_core::error::RegistryError;
use registry_core::id::QueryId;
use registry_core::journal::ListFilter;
use registry_core::record::LostRows;
use registry_core::registry::{RegistryConfig, Shutdown, StateLocation};
use registry_core::results::Truncation;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use registry_core::testing::scripted::{Script, ScriptedBackend};
use registry_core::{Backend, QueryRegistry};
use serde_json::json;
use support::world::{World, end_of, submit};

/// A result takes some 40 KB.
const ROWS: usize = 400;
const LIMIT: u64 = 100_000;

fn engine() -> ScriptedBackend {
    let rows = |count: usize| vec![vec![json!("x".repeat(100))]; count];
    ScriptedBackend::remote()
        .by_default(Script::at_once().with_rows(&[("t", "TEXT")], rows(ROWS)))
        .on("huge", Script::at_once().with_rows(&[("t", "TEXT")], rows(10 * ROWS)))
}

fn bytes_in(directory: &Path) -> u64 {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn files_of(directory: &Path, id: QueryId) -> usize {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with(&id.to_string())).count()
}

async fn open(state: &Path, engine: &ScriptedBackend, limit: u64) -> QueryRegistry {
    let config = RegistryConfig { max_spool_bytes: limit, ..RegistryConfig::default() };
    let backend: Arc<dyn Backend> = Arc::new(engine.clone());
    let connections = vec![("main".to_owned(), backend)];
    QueryRegistry::open(config, StateLocation::Directory(state.to_owned()), connections).await.unwrap()
}

async fn finished(registry: &QueryRegistry, sql: &str) -> QueryId {
    let id = submit(registry, sql).await;
    assert_eq!(end_of(registry, id).await.status, QueryStatus::Succeeded);
    id
}

async fn seen(registry: &QueryRegistry, id: QueryId) -> QuerySnapshot {
    registry.get_snapshot(id).await.unwrap().unwrap()
}

async fn rows(registry: &QueryRegistry, id: QueryId) -> Result<usize, RegistryError> {
    registry.fetch_result(id, 0, Some(10_000), u64::MAX).await.map(|page| page.rows.len())
}

/// Waits for what upkeep does by itself.
async fn until(condition: impl Fn() -> bool) {
    let end = tokio::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(tokio::time::Instant::now() < end, "it did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn the_result_that_was_finished_first_goes_first_and_says_why() {
    let (state, engine) = (tempfile::tempdir().unwrap(), engine());
    let registry = open(state.path(), &engine, LIMIT).await;
    let results = state.path().join("results");
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(finished(&registry, &format!("select {n}")).await);
        assert!(bytes_in(&results) <= LIMIT + 1000, "{} bytes", bytes_in(&results));
    }
    let gone = RegistryError::RowsEvicted { id: ids[0], limit: LIMIT };
    assert_eq!(rows(&registry, ids[0]).await, Err(gone.clone()));
    assert_eq!(gone.kind_word(), "rows_evicted");
    assert_eq!(rows(&registry, ids[2]).await, Err(RegistryError::RowsEvicted { id: ids[2], limit: LIMIT }));
    assert_eq!((rows(&registry, ids[3]).await, rows(&registry, ids[4]).await), (Ok(ROWS), Ok(ROWS)));
    let old = seen(&registry, ids[0]).await;
    assert_eq!((old.status, old.row_count), (QueryStatus::Succeeded, Some(ROWS as u64)));
    assert_eq!(old.lost_rows, Some(LostRows::Evicted { limit: LIMIT }));
    let listed = registry.list_queries(ListFilter::default()).await.unwrap();
    assert_eq!(listed.iter().filter(|query| query.lost_rows.is_some()).count(), 3);
    assert_eq!(registry.metrics().results_evicted, 3);
    registry.close(Shutdown::Immediate).await;
}

#[tokio::test]
async fn a_result_that_alone_reaches_the_limit_is_cut_and_says_so() {
    let (state, engine) = (tempfile::tempdir().unwrap(), engine());
    let registry = open(state.path(), &engine, LIMIT).await;
    let first = finished(&registry, "select 1").await;
    let huge = finished(&registry, "huge").await;
    let snapshot = seen(&registry, huge).await;
    assert_eq!((snapshot.truncated, snapshot.row_count), (Some(Truncation::SpoolCeiling), Some(4000)));
    assert!((700..1000).contains(&snapshot.stored_rows), "{}", snapshot.stored_rows);
    assert_eq!(rows(&registry, huge).await, Ok(snapshot.stored_rows as usize));
    assert!(matches!(rows(&registry, first).await, Err(RegistryError::RowsEvicted { .. })));
    assert!(bytes_in(&state.path().join("results")) <= LIMIT + 1000);
    registry.close(Shutdown::Immediate).await;
}

#[tokio::test]
async fn processes_on_one_state_directory_share_the_room() {
    let (state, engine) = (tempfile::tempdir().unwrap(), engine());
    let one = open(state.path(), &engine, LIMIT).await;
    let other = open(state.path(), &engine, LIMIT).await;
    let first = finished(&one, "select 1").await;
    for n in 2..6 {
        finished(&other, &format!("select {n}")).await;
    }
    assert!(bytes_in(&state.path().join("results")) <= LIMIT + 1000);
    assert_eq!(rows(&one, first).await, Err(RegistryError::RowsEvicted { id: first, limit: LIMIT }));
    one.close(Shutdown::Immediate).await;
    other.close(Shutdown::Immediate).await;
}

#[tokio::test]
async fn a_lower_limit_is_kept_from_the_next_start_on() {
    let (state, engine) = (tempfile::tempdir().unwrap(), engine());
    let registry = open(state.path(), &engine, 10 * LIMIT).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(finished(&registry, &format!("select {n}")).await);
    }
    assert_eq!(rows(&registry, ids[0]).await, Ok(ROWS));
    registry.close(Shutdown::Immediate).await;
    let registry = open(state.path(), &engine, LIMIT).await;
    until(|| bytes_in(&state.path().join("results")) <= LIMIT).await;
    assert!(matches!(rows(&registry, ids[0]).await, Err(RegistryError::RowsEvicted { .. })));
    assert_eq!(rows(&registry, ids[3]).await, Ok(ROWS));
    registry.close(Shutdown::Immediate).await;
}

/// The removal fails as it does for a process that dies before it: the record says that the rows are gone, so nobody
/// is promised what may vanish, and the next start finishes the work.
#[tokio::test]
async fn a_removal_that_does_not_happen_leaves_a_true_record_and_is_made_good_at_the_next_start() {
    let (state, engine) = (tempfile::tempdir().unwrap(), engine());
    let registry = open(state.path(), &engine, LIMIT).await;
    let results = state.path().join("results");
    let first = finished(&registry, "select 1").await;
    let index = results.join(format!("{first}.idx"));
    let kept = std::fs::read(&index).unwrap();
    std::fs::remove_file(&index).unwrap();
    std::fs::create_dir(&index).unwrap();
    for n in 2..5 {
        finished(&registry, &format!("select {n}")).await;
    }
    assert_eq!(rows(&registry, first).await, Err(RegistryError::RowsEvicted { id: first, limit: LIMIT }));
    assert_eq!(files_of(&results, first), 2, "the fault kept the files");
    registry.crash().await;
    std::fs::remove_dir(&index).unwrap();
    std::fs::write(&index, kept).unwrap();
    let registry = open(state.path(), &engine, 10 * LIMIT).await;
    until(|| files_of(&results, first) == 0).await;
    assert_eq!(rows(&registry, first).await, Err(RegistryError::RowsEvicted { id: first, limit: LIMIT }));
    registry.close(Shutdown::Immediate).await;
}

#[tokio::test(start_paused = true)]
async fn the_rows_of_a_query_that_still_runs_are_never_touched() {
    let slow = Script::runs_for(Duration::from_secs(100)).rows_stored();
    let engine = engine().on("slow", slow);
    let world = World::around(engine).with(|config| config.max_spool_bytes = LIMIT);
    let registry = world.open().await;
    let running = submit(&registry, "slow").await;
    support::world::running(&registry, running).await;
    for n in 0..5 {
        finished(&registry, &format!("select {n}")).await;
    }
    assert_eq!(end_of(&registry, running).await.status, QueryStatus::Succeeded);
    assert_eq!(rows(&registry, running).await, Ok(1));
    world.close(registry).await;
}
