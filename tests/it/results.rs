//! Rows from the engine to the page.

use std::time::Duration;

use registry_core::error::{ErrorInfo, ErrorKind, RegistryError};
use registry_core::options::{QueryOptions, QueryRequest};
use registry_core::registry::CancelReason;
use registry_core::results::{ResultLimits, ResultStore, Truncation};
use registry_core::snapshot::QueryStatus;
use registry_core::testing::scripted::{Call, Fault, Script, ScriptedBackend};
use serde_json::{Value, json};
use support::world::{World, end_of, running, submit};

fn count(rows: u64) -> ScriptedBackend {
    ScriptedBackend::remote().by_default(Script::at_once().with_count(rows))
}

#[tokio::test(start_paused = true)]
async fn pages_of_any_size_add_up_to_the_whole() {
    let world = World::around(count(1234));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    end_of(&registry, id).await;
    for size in [1, 100, 617, 1000, 1234, 5000] {
        let (mut rows, mut offset): (Vec<Vec<Value>>, u64) = (vec![], 0);
        loop {
            let page = registry.fetch_result(id, offset, Some(size), u64::MAX).await.unwrap();
            assert_eq!((page.total_rows, page.offset), (Some(1234), offset));
            offset += page.rows.len() as u64;
            rows.extend(page.rows);
            if !page.has_more {
                break;
            }
        }
        assert_eq!(rows.len(), 1234);
        assert!(rows.iter().enumerate().all(|(place, row)| *row == [json!(place + 1)]));
    }
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_without_a_limit_has_the_rows_that_the_caller_asked_for_and_the_total_stays_true() {
    let world = World::around(count(1500));
    let registry = world.open().await;
    let by_default = submit(&registry, "select n").await;
    let options = QueryOptions { max_inline_rows: 7, ..QueryOptions::default() };
    let request = QueryRequest { options, ..QueryRequest::new("select n") };
    let few = registry.execute_query(request).await.unwrap().snapshot.query_id;
    for (id, expected) in [(by_default, 1000), (few, 7)] {
        let snapshot = end_of(&registry, id).await;
        assert_eq!((snapshot.row_count, snapshot.stored_rows, snapshot.truncated), (Some(1500), 1500, None));
        let page = registry.fetch_result(id, 0, None, u64::MAX).await.unwrap();
        assert_eq!((page.rows.len(), page.total_rows, page.has_more), (expected, Some(1500), true));
    }
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_beyond_the_end_is_empty_and_a_byte_budget_gives_one_row_at_least() {
    let world = World::around(count(10));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    end_of(&registry, id).await;
    for offset in [10, 11, u64::MAX] {
        let page = registry.fetch_result(id, offset, None, u64::MAX).await.unwrap();
        assert_eq!((page.rows.len(), page.has_more, page.total_rows), (0, false, Some(10)));
    }
    let page = registry.fetch_result(id, 3, None, 1).await.unwrap();
    assert_eq!((page.rows, page.has_more), (vec![vec![json!(4)]], true));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn an_empty_result_keeps_its_columns() {
    let script = Script::at_once().with_rows(&[("id", "NUMBER"), ("name", "TEXT")], vec![]);
    for engine in [ScriptedBackend::remote(), ScriptedBackend::embedded()] {
        let world = World::around(engine.by_default(script.clone()));
        let registry = world.open().await;
        let id = submit(&registry, "select id, name from t where false").await;
        let snapshot = end_of(&registry, id).await;
        assert_eq!((snapshot.status, snapshot.row_count), (QueryStatus::Succeeded, Some(0)));
        let page = registry.fetch_result(id, 0, None, u64::MAX).await.unwrap();
        let names: Vec<&str> = page.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!((names, page.rows.len(), page.has_more), (vec!["id", "name"], 0, false));
        world.close(registry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_beyond_the_ceiling_says_that_it_is_cut_and_keeps_the_engines_number() {
    let mut world = World::around(count(1500));
    let directory = tempfile::tempdir().unwrap();
    let limits = ResultLimits { max_rows: 1000, max_bytes: u64::MAX };
    world.results = ResultStore::open(directory.path().to_owned(), limits).unwrap();
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    let snapshot = end_of(&registry, id).await;
    assert_eq!((snapshot.row_count, snapshot.stored_rows), (Some(1500), 1000));
    assert_eq!(snapshot.truncated, Some(Truncation::RowCeiling));
    let page = registry.fetch_result(id, 900, None, u64::MAX).await.unwrap();
    assert_eq!((page.rows.len(), page.has_more, page.truncated), (100, false, Some(Truncation::RowCeiling)));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_running_query_has_no_rows_yet_and_says_so() {
    let world = World::around(ScriptedBackend::remote().by_default(Script::never_ends()));
    let registry = world.open().await;
    let id = submit(&registry, "select 1").await;
    running(&registry, id).await;
    let error = registry.fetch_result(id, 0, None, 1).await.unwrap_err();
    assert_eq!(error, RegistryError::NoResult { id, status: QueryStatus::Running, error: None });
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_cannot_be_fetched_are_tried_three_times_more() {
    let world = World::around(count(10));
    world.engine.times(3, Fault::FetchFails);
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    assert_eq!(end_of(&registry, id).await.status, QueryStatus::Succeeded);
    assert_eq!(world.engine.calls(Call::Fetch), 4);
    world.engine.always(Fault::FetchFails);
    let lost = submit(&registry, "select n").await;
    let snapshot = end_of(&registry, lost).await;
    assert_eq!(
        (snapshot.status, snapshot.error.unwrap().kind),
        (QueryStatus::Failed, ErrorKind::ResultFetch)
    );
    assert_eq!((world.engine.calls(Call::Fetch), world.engine.all_executions()), (8, 2));
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancel_during_the_fetch_comes_too_late() {
    let world = World::around(count(10));
    world.engine.once(Fault::FetchFails);
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    while world.engine.calls(Call::Fetch) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let early = registry.cancel(id, Duration::ZERO).await.unwrap();
    assert_eq!((early.reason, early.snapshot.status), (CancelReason::Requested, QueryStatus::Running));
    assert!(early.snapshot.is_fetching && !early.snapshot.is_being_stopped());
    let answer = registry.cancel(id, Duration::from_secs(60)).await.unwrap();
    assert_eq!(
        (answer.reason, answer.snapshot.status),
        (CancelReason::AlreadyCompleted, QueryStatus::Succeeded)
    );
    assert!(!answer.snapshot.is_fetching);
    assert_eq!(world.engine.calls(Call::Cancel), 0);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn rows_that_were_removed_behind_our_back_are_reported_as_expired_and_the_success_stays() {
    let world = World::around(count(10));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    end_of(&registry, id).await;
    world.results.remove(id).unwrap();
    for _ in 0..2 {
        let error = registry.fetch_result(id, 0, None, 1).await.unwrap_err();
        assert_eq!(error, RegistryError::ResultExpired(id));
    }
    assert!(world.record(id).rows_gone);
    assert_eq!(registry.get_snapshot(id).await.unwrap().unwrap().status, QueryStatus::Succeeded);
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn several_readers_page_at_once() {
    let world = World::around(count(5000));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    end_of(&registry, id).await;
    let readers: Vec<_> = (0..8u64)
        .map(|reader| {
            let registry = registry.clone();
            tokio::spawn(async move {
                let page = registry.fetch_result(id, reader * 600, Some(600), u64::MAX).await.unwrap();
                page.rows.first().cloned() == Some(vec![json!(reader * 600 + 1)]) && page.rows.len() == 600
            })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap());
    }
    world.close(registry).await;
}

#[tokio::test(start_paused = true)]
async fn a_final_error_of_the_fetch_is_told_in_its_own_words() {
    let world = World::around(count(1));
    let error = ErrorInfo::new(ErrorKind::ResultStore, "no space left for results in /data");
    world.engine.once(Fault::FetchFailsForGood(error.clone()));
    let registry = world.open().await;
    let id = submit(&registry, "select n").await;
    assert_eq!(end_of(&registry, id).await.error, Some(error));
    world.close(registry).await;
}
