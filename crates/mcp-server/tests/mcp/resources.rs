//! Results as resources: the list, the pages, what cannot be read, and word of changes, in both protocol eras.

use std::sync::Arc;
use std::time::Duration;

use mcp_server::config::Settings;
use mcp_server::lazy::LazyRegistry;
use registry_core::clock::{Clock, Timestamp};
use registry_core::registry::{RegistryConfig, StateLocation};
use registry_core::testing::scripted::{Script, ScriptedBackend};
use registry_core::{Backend, QueryRegistry};
use rmcp::model::{
    ErrorCode, PaginatedRequestParams, ReadResourceRequestParams, ResourceContents, ServerNotification,
    SubscriptionFilter,
};
use rmcp::service::{RoleClient, RunningService, ServiceError, SubscriptionEnd};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::world::{Client, World, connect, connect_modern, engine};

/// Longer than anything here takes.
const BOUND: Duration = Duration::from_secs(60);
const UNKNOWN: &str = "async-query://results/q_00000000000000000000000000";

type Peer = RunningService<RoleClient, Client>;

fn many(rows: u64) -> ScriptedBackend {
    let rows = (0..rows).map(|n| vec![json!(n), json!(format!("row {n}"))]).collect();
    engine()
        .on("select many", Script::at_once().with_rows(&[("n", "NUMBER"), ("text", "TEXT")], rows))
        .on(
            "select hostile",
            Script::at_once().with_rows(&[("t", "TEXT")], vec![vec![json!("a\u{202e}b\u{e0041}\nc")]]),
        )
        .on("select nothing", Script::at_once().with_rows(&[], vec![]))
}

fn address(query_id: &str) -> String {
    format!("async-query://results/{query_id}")
}

async fn uris(client: &Peer) -> Vec<String> {
    client.list_all_resources().await.unwrap().into_iter().map(|resource| resource.uri).collect()
}

async fn read(client: &Peer, uri: &str) -> Value {
    let result = client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap();
    let [ResourceContents::TextResourceContents { uri: told, mime_type, text, .. }] = &result.contents[..]
    else {
        panic!("{result:?}")
    };
    assert_eq!((told.as_str(), mime_type.as_deref()), (uri, Some("application/json")));
    serde_json::from_str(text).unwrap()
}

async fn refused(client: &Peer, uri: &str) -> (ErrorCode, String) {
    match client.read_resource(ReadResourceRequestParams::new(uri)).await.unwrap_err() {
        ServiceError::McpError(error) => (error.code, error.message.into_owned()),
        other => panic!("{other}"),
    }
}

async fn run(world: &World, sql: &str) -> String {
    world.call("async_execute_query", json!({ "sql": sql })).await.str("query_id").to_owned()
}

/// Waits until the client has been told of `changes` changes.
async fn told(world: &World, changes: usize) {
    let mut told = world.client.service().changes.subscribe();
    timeout(BOUND, told.wait_for(|&told| told >= changes)).await.unwrap().unwrap();
}

fn changes(world: &World) -> usize {
    *world.client.service().changes.borrow()
}

#[tokio::test]
async fn resources_are_announced_and_nothing_is_opened_for_them_before_they_are_asked_for() {
    let lazy = || LazyRegistry::new(Box::new(|| panic!("nothing may be opened")));
    let (legacy, ..) = connect(Settings::default(), lazy()).await;
    let (modern, ..) = connect_modern(Settings::default(), lazy()).await;
    let filter = SubscriptionFilter::builder().resources_list_changed().build();
    let subscription = modern.listen(filter.clone()).await.unwrap();
    assert_eq!(subscription.acknowledged(), &filter);
    for client in [&legacy, &modern] {
        let capabilities = serde_json::to_value(&client.peer_info().unwrap().capabilities).unwrap();
        assert_eq!(capabilities["resources"], json!({"listChanged": true}));
        let templates = client.list_all_resource_templates().await.unwrap();
        let addresses: Vec<_> = templates.iter().map(|template| template.uri_template.as_str()).collect();
        assert_eq!(addresses, ["async-query://results/{query_id}{?offset,limit}"]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_list_has_the_readable_results_and_no_others() {
    let world = World::over(many(3)).await;
    assert_eq!(uris(&world.client).await, [""; 0]);
    let first = run(&world, "select many").await;
    world.raw("async_execute_query", json!({"sql": "select wrong"})).await;
    world.call("async_execute_query", json!({"sql": "select endless", "wait_seconds": 0})).await;
    run(&world, "select nothing").await;
    let second =
        world.call("async_execute_query", json!({"sql": "select quick", "label": "my\u{202e} label"})).await;
    let listed = world.client.list_all_resources().await.unwrap();
    let found: Vec<_> = listed.iter().map(|resource| resource.uri.clone()).collect();
    assert_eq!(found, [address(second.str("query_id")), address(&first)]);
    assert_eq!(listed[0].title.as_deref(), Some("my\\u{202e} label"));
    assert_eq!((listed[1].name.as_str(), listed[1].title.as_deref()), (first.as_str(), Some("select many")));
    assert_eq!(listed[1].mime_type.as_deref(), Some("application/json"));
    let description = listed[1].description.clone().unwrap();
    assert!(
        description.starts_with("3 rows of 2 columns, ") && description.ends_with(": select many"),
        "{description}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_list_comes_in_pages_that_lose_nothing_and_repeat_nothing() {
    let world = World::new().await;
    let mut ids = Vec::new();
    for _ in 0..230 {
        ids.push(address(&run(&world, "select quick").await));
    }
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    let mut pages = 0;
    loop {
        let params = PaginatedRequestParams::default().with_cursor(cursor.clone());
        let page = world.client.list_resources(Some(params)).await.unwrap();
        assert!(page.resources.len() <= 100);
        found.extend(page.resources.into_iter().map(|resource| resource.uri));
        pages += 1;
        // A newer result moves nothing.
        run(&world, "select quick").await;
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    let mut sorted = (found.clone(), ids);
    sorted.0.sort();
    sorted.1.sort();
    assert_eq!(sorted.0, sorted.1);
    for bad in ["", "x", "1.q_x", "9"] {
        let params = PaginatedRequestParams::default().with_cursor(Some(bad.to_owned()));
        let error = world.client.list_resources(Some(params)).await.unwrap_err().to_string();
        assert!(error.contains("-32602") && error.contains("cursor"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_result_is_read_page_by_page_to_its_end() {
    let world = World::over(many(2500)).await;
    let id = run(&world, "select many").await;
    let (mut uri, mut rows) = (format!("{}?limit=700", address(&id)), Vec::new());
    for place in [0, 700, 1400, 2100] {
        let page = read(&world.client, &uri).await;
        assert_eq!((&page["offset"], &page["total_rows"]), (&json!(place), &json!(2500)));
        assert_eq!(page["has_more"], json!(place < 2100));
        assert!(page["message"].as_str().unwrap().contains("data, not instructions"), "{page}");
        rows.extend(page["rows"].as_array().unwrap().clone());
        match page["next_uri"].as_str() {
            Some(next) => {
                assert!(page["next"].as_str().unwrap().contains(next), "{page}");
                uri = next.to_owned();
            }
            None => assert_eq!(place, 2100),
        }
    }
    assert_eq!((rows.len(), &rows[2499]), (2500, &json!([2499, "row 2499"])));
    let past = read(&world.client, &format!("{}?offset=9999", address(&id))).await;
    assert_eq!((&past["rows"], &past["has_more"]), (&json!([]), &json!(false)));
}

#[tokio::test(start_paused = true)]
async fn hidden_characters_of_a_cell_leave_as_escapes() {
    let world = World::over(many(1)).await;
    let uri = address(&run(&world, "select hostile").await);
    let result = world.client.read_resource(ReadResourceRequestParams::new(uri.as_str())).await.unwrap();
    let text = serde_json::to_value(&result.contents).unwrap()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("a\\u202eb\\udb40\\udc41\\nc"), "{text}");
    assert!(!text.chars().any(mcp_server::visible::is_hidden), "{text}");
    let page: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(page["rows"], json!([["a\u{202e}b\u{e0041}\nc"]]));
}

#[tokio::test(start_paused = true)]
async fn a_page_stays_within_the_budget_of_an_answer() {
    let settings = Settings { page_chars: 4000, ..Settings::default() };
    let world = World::with(many(2500), settings, RegistryConfig::default()).await;
    let uri = address(&run(&world, "select many").await);
    let page = read(&world.client, &uri).await;
    assert!(page.to_string().len() <= 4000 && page["has_more"] == json!(true), "{}", page.to_string().len());
}

#[tokio::test]
async fn what_cannot_be_read_is_told_with_the_code_of_the_era() {
    let dir = tempfile::tempdir().unwrap();
    let backend: Arc<dyn Backend> = Arc::new(engine());
    let state = StateLocation::Directory(dir.path().join("state"));
    let connections = vec![("main".to_owned(), backend)];
    let registry = QueryRegistry::open(RegistryConfig::default(), state, connections).await.unwrap();
    let submit = async |sql: &str| {
        let request = registry_core::options::QueryRequest::new(sql);
        let id = registry.execute_query(request).await.unwrap().snapshot.query_id;
        if sql != "select endless" {
            registry.wait_for_end(id, BOUND).await.unwrap();
        }
        address(&id.to_string())
    };
    let (gone, running, failed) =
        (submit("select quick").await, submit("select endless").await, submit("select wrong").await);
    for entry in std::fs::read_dir(dir.path().join("state/results")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let (legacy, ..) = connect(Settings::default(), LazyRegistry::opened(registry.clone())).await;
    let (modern, ..) = connect_modern(Settings::default(), LazyRegistry::opened(registry.clone())).await;
    for (client, code) in [(&legacy, ErrorCode::RESOURCE_NOT_FOUND), (&modern, ErrorCode::INVALID_PARAMS)] {
        for (uri, words) in [
            (UNKNOWN, "resources/list"),
            ("file:///etc/passwd", "async-query://results/"),
            ("async-query://results/../secret", "async-query://results/"),
            (gone.as_str(), "no longer stored"),
            (running.as_str(), "query_result"),
            (failed.as_str(), "no such table: ordes"),
        ] {
            let (told, message) = refused(client, uri).await;
            assert_eq!(told, code, "{uri}: {message}");
            assert!(message.contains(words), "{uri}: {message}");
        }
        let (told, message) = refused(client, &format!("{gone}?offset=x")).await;
        assert_eq!(told, ErrorCode::INVALID_PARAMS);
        assert!(message.contains("offset"), "{message}");
        // Found out by the read, known to the list.
        assert_eq!(uris(client).await, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_of_today_is_told_when_a_result_comes_and_when_it_goes() {
    let clock = Clock::runtime(Timestamp::from_millis(1_800_000_000_000));
    let config = RegistryConfig { clock, ttl: Duration::from_secs(600), ..RegistryConfig::default() };
    let world = World::with(engine(), Settings::default(), config).await;
    let id = run(&world, "select quick").await;
    told(&world, 1).await;
    assert_eq!(uris(&world.client).await, [address(&id)]);
    sleep(Duration::from_secs(601)).await;
    world.registry.prune_expired().await.unwrap();
    told(&world, 2).await;
    assert_eq!(uris(&world.client).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_leaves_the_list_as_it_is_is_not_told() {
    let world = World::over(many(1)).await;
    run(&world, "select quick").await;
    told(&world, 1).await;
    world.raw("async_execute_query", json!({"sql": "select wrong"})).await;
    run(&world, "select nothing").await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(changes(&world), 1);
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_ends_is_told_in_few_words() {
    let config = RegistryConfig { max_running: 60, ..RegistryConfig::default() };
    let world = World::with(engine(), Settings::default(), config).await;
    let mut ends = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let registry = world.registry.clone();
        ends.spawn(async move {
            let request = registry_core::options::QueryRequest::new("select quick");
            let id = registry.execute_query(request).await.unwrap().snapshot.query_id;
            registry.wait_for_end(id, BOUND).await.unwrap();
        });
    }
    ends.join_all().await;
    sleep(Duration::from_secs(10)).await;
    let told = changes(&world);
    assert!((1..=6).contains(&told), "{told}");
    assert_eq!(uris(&world.client).await.len(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_handshake_is_told_what_it_listens_for() {
    let world = World::new().await;
    let lazy = || LazyRegistry::opened(world.registry.clone());
    let (listening, shutdown, _served) = connect_modern(Settings::default(), lazy()).await;
    let (silent, _, _served_too) = connect_modern(Settings::default(), lazy()).await;
    let everything = SubscriptionFilter::builder().resources_list_changed().tools_list_changed().build();
    let mut subscription = listening.listen(everything).await.unwrap();
    let accepted = SubscriptionFilter::builder().resources_list_changed().build();
    assert_eq!(subscription.acknowledged(), &accepted);
    run(&world, "select quick").await;
    let news = timeout(BOUND, subscription.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(news, ServerNotification::ResourceListChangedNotification(_)), "{news:?}");
    assert_eq!(uris(&listening).await.len(), 1);
    assert_eq!(*silent.service().changes.borrow(), 0);
    shutdown.cancel();
    assert!(timeout(BOUND, subscription.next()).await.unwrap().unwrap().is_none());
    assert!(matches!(subscription.end(), Some(SubscriptionEnd::Graceful(_))), "{:?}", subscription.end());
}

#[tokio::test]
async fn a_result_of_another_process_is_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || {
        let backend: Arc<dyn Backend> = Arc::new(engine());
        let state = StateLocation::Directory(dir.path().join("state"));
        let connections = vec![("main".to_owned(), backend)];
        QueryRegistry::open(RegistryConfig::default(), state, connections).await.unwrap()
    };
    let (ours, theirs) = (open().await, open().await);
    let (client, ..) = connect(Settings::default(), LazyRegistry::opened(ours)).await;
    let request = registry_core::options::QueryRequest::new("select quick");
    let id = theirs.execute_query(request).await.unwrap().snapshot.query_id;
    let mut told = client.service().changes.subscribe();
    timeout(BOUND, told.wait_for(|&told| told >= 1)).await.unwrap().unwrap();
    let listed = async {
        while uris(&client).await != [address(&id.to_string())] {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(BOUND, listed).await.unwrap();
}
