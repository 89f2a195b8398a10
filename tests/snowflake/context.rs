//! Role, warehouse, database and schema of each statement, the limits that go with it, and what Snowflake is asked of the
//! role: over both protocols.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::backend::{Backend, Fence, FenceKind};
use registry_core::error::RegistryError;
use registry_core::options::{QueryContext, QueryOptions, QueryRequest};
use registry_core::registry::{Accepted, RegistryConfig, Shutdown, StateLocation};
use registry_core::results::{ResultLimits, Truncation};
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use serde_json::{Value, json};
use snowflake_adapter::driver::DriverOptions;
use snowflake_adapter::{DriverBackend, SqlApiBackend};
use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::options::{Options, grant, reader};

use crate::connection;

const APIS: [&str; 2] = ["sql", "driver"];
const PATIENCE: Duration = Duration::from_secs(60);

struct Site {
    service: FakeSnowflake,
    registry: QueryRegistry,
    driver: Option<Arc<DriverBackend>>,
}

/// The backend, and once more as what it is where it has sessions.
fn backend(
    service: &FakeSnowflake,
    api: &str,
    max_sessions: usize,
) -> (Arc<dyn Backend>, Option<Arc<DriverBackend>>) {
    let config = connection(service, api);
    if api == "sql" {
        return (Arc::new(SqlApiBackend::new(&config).unwrap()), None);
    }
    let options = DriverOptions { max_sessions, ..DriverOptions::default() };
    let driver = Arc::new(DriverBackend::new(&config, options).unwrap());
    (Arc::clone(&driver) as Arc<dyn Backend>, Some(driver))
}

impl Site {
    async fn new(api: &str) -> Self {
        Self::with(api, 10, ResultLimits::default().max_rows).await
    }

    async fn with(api: &str, max_sessions: usize, max_rows: u64) -> Self {
        let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
        let result_limits = ResultLimits { max_rows, ..ResultLimits::default() };
        let settings = RegistryConfig { result_limits, ..RegistryConfig::default() };
        let (backend, driver) = backend(&service, api, max_sessions);
        let connections = vec![("test".to_owned(), backend)];
        let registry = QueryRegistry::open(settings, StateLocation::Ephemeral, connections).await.unwrap();
        Self { service, registry, driver }
    }

    async fn accept(&self, sql: &str, context: QueryContext) -> Result<Accepted, RegistryError> {
        let options = QueryOptions {
            query_timeout: Some(Duration::from_secs(120)),
            poll_interval: Duration::from_millis(100),
            context,
            ..QueryOptions::default()
        };
        let request = QueryRequest {
            client: Some("a \"client\"\n' of ours ".repeat(100)),
            deduplicate: true,
            options,
            ..QueryRequest::new(sql)
        };
        self.registry.execute_query(request).await
    }

    async fn run(&self, sql: &str, context: QueryContext) -> QuerySnapshot {
        let id = self.accept(sql, context).await.unwrap().snapshot.query_id;
        let end = self.registry.wait_for_end(id, PATIENCE).await.unwrap();
        assert_eq!(end.status, QueryStatus::Succeeded, "{sql}: {end:#?}");
        end
    }

    /// The executions of exactly this statement.
    fn executions(&self, sql: &str) -> Vec<Value> {
        self.service.log.events("execute").into_iter().filter(|entry| entry["sql"] == sql).collect()
    }

    fn execution(&self, sql: &str) -> Value {
        let mut all = self.executions(sql);
        assert_eq!(all.len(), 1, "{sql}: {all:#?}");
        all.remove(0)
    }

    async fn close(self) {
        self.registry.close(Shutdown::Immediate).await;
    }
}

fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

fn role(name: &str) -> QueryContext {
    QueryContext { role: some(name), ..QueryContext::default() }
}

fn context_of(execution: &Value) -> [&Value; 4] {
    ["role", "warehouse", "database", "schema"].map(|part| &execution["context"][part])
}

// ---- the context

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_runs_in_the_context_that_it_names_and_the_next_one_in_the_connections() {
    for api in APIS {
        let site = Site::new(api).await;
        let context = QueryContext {
            role: some("\"analyst\""),
            warehouse: some("BIG_WH"),
            database: some("SHOP"),
            schema: some("SALES"),
        };
        let end = site.run("select 1", context.clone()).await;
        assert_eq!(end.context, context, "{api}");
        site.run("select 2", QueryContext::default()).await;
        // A field of the SQL API is the name itself; the drivers' protocol reads it as SQL.
        let name = if api == "sql" { "analyst" } else { "\"analyst\"" };
        assert_eq!(context_of(&site.execution("select 1")), [name, "BIG_WH", "SHOP", "SALES"], "{api}");
        let own = site.execution("select 2");
        assert_eq!(
            context_of(&own),
            [&json!("FAKE_ROLE"), &json!("WH"), &json!("DB"), &Value::Null],
            "{api}"
        );
        site.close().await;
    }
}

/// Many at once, with fewer sessions than contexts.
#[tokio::test(flavor = "multi_thread")]
async fn no_statement_ever_runs_under_the_role_of_another() {
    for (api, max_sessions) in [("sql", 3), ("driver", 3), ("driver", 2)] {
        let site = Arc::new(Site::with(api, max_sessions, 1000).await);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..30 {
            let site = Arc::clone(&site);
            let context =
                [role("A"), role("B"), role("C"), role("D"), QueryContext::default()][number % 5].clone();
            tasks.spawn(async move { site.run(&format!("select {number}, current_role()"), context).await });
        }
        while let Some(end) = tasks.join_next().await {
            end.unwrap();
        }
        for number in 0..30 {
            let sql = format!("select {number}, current_role()");
            let execution = site.execution(&sql);
            let expected = ["A", "B", "C", "D", "FAKE_ROLE"][number % 5];
            assert_eq!(execution["context"]["role"], expected, "{api}: {execution:#}");
        }
        if let Some(driver) = &site.driver {
            let stats = driver.stats();
            assert!(stats.opened - stats.closed <= max_sessions as u64, "{stats:?}");
            site.registry.close(Shutdown::Immediate).await;
            driver.shut_down().await;
            let stats = driver.stats();
            assert_eq!(stats.opened, stats.closed, "{stats:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_changes_its_session_changes_it_for_nobody_else() {
    let site = Site::with("driver", 2, 1000).await;
    for sql in ["use role sysadmin", "-- select\nuse warehouse big", "use schema other"] {
        site.run(sql, QueryContext::default()).await;
        site.run(&format!("select '{}'", sql.replace('\n', " ")), QueryContext::default()).await;
    }
    for execution in site.service.log.events("execute") {
        if execution["sql"].as_str().unwrap().starts_with("select '") {
            let own = [&json!("FAKE_ROLE"), &json!("WH"), &json!("DB"), &Value::Null];
            assert_eq!(context_of(&execution), own, "{execution:#}");
        }
    }
    site.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_statement_in_another_context_is_another_statement() {
    for api in APIS {
        let site = Site::new(api).await;
        let sql = "select 7 /* fake: runs=held */";
        let first = site.accept(sql, role("A")).await.unwrap();
        let other = site.accept(sql, role("B")).await.unwrap();
        let same = site.accept(sql, role("A")).await.unwrap();
        assert_eq!((first.joined, other.joined), (None, None), "{api}");
        assert_eq!(same.snapshot.query_id, first.snapshot.query_id, "{api}");
        let keyed = |context| {
            let options = QueryOptions { context, ..QueryOptions::default() };
            let idempotency_key = some("once");
            site.registry.execute_query(QueryRequest { idempotency_key, options, ..QueryRequest::new(sql) })
        };
        keyed(role("A")).await.unwrap();
        let error = keyed(role("B")).await.unwrap_err();
        assert!(matches!(error, RegistryError::KeyReused { .. }), "{api}: {error}");
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_identifier_is_refused_before_anything_is_kept_or_sent() {
    for api in APIS {
        let site = Site::new(api).await;
        for bad in ["a b", "x;use role sysadmin", "\"", "a\"b", ""] {
            let error =
                site.accept("select 1", QueryContext { schema: some(bad), ..role("A") }).await.unwrap_err();
            assert!(matches!(error, RegistryError::InvalidRequest(_)), "{api} {bad:?}: {error}");
            assert!(error.to_string().contains("schema"), "{api} {bad:?}: {error}");
        }
        assert_eq!(site.service.log.count("submit"), 0, "{api}");
        site.close().await;
    }
}

// ---- the limits of every statement

#[tokio::test(flavor = "multi_thread")]
async fn every_submission_is_one_statement_with_its_limits() {
    for api in APIS {
        let site = Site::with(api, 10, 50).await;
        site.run("select 7", QueryContext::default()).await;
        let fence = site.registry.fence(None, PATIENCE).await.unwrap();
        assert_eq!(fence.kind, FenceKind::Engine, "{api}: {}", fence.detail);
        let all = site.service.log.events("execute");
        assert!(all.len() >= 5, "{api}: {all:#?}");
        for execution in &all {
            assert_eq!(execution["parameters"]["MULTI_STATEMENT_COUNT"], "1", "{api}: {execution:#}");
            let limit = execution["timeout_seconds"].as_u64().unwrap();
            assert!((1..=120).contains(&limit), "{api}: {execution:#}");
            let rows = if execution["sql"] == "select 7" { "51" } else { "0" };
            assert_eq!(execution["parameters"]["ROWS_PER_RESULTSET"], rows, "{api}: {execution:#}");
            // The SQL API takes no such parameter.
            let queued = &execution["parameters"]["STATEMENT_QUEUED_TIMEOUT_IN_SECONDS"];
            let expected = if api == "sql" { Value::Null } else { json!(limit.to_string()) };
            assert_eq!(*queued, expected, "{api}: {execution:#}");
        }
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_names_the_client_briefly_and_cannot_be_broken_by_it() {
    for api in APIS {
        let site = Site::new(api).await;
        site.run("select 7", QueryContext::default()).await;
        let execution = site.execution("select 7");
        let tag: Value = serde_json::from_str(execution["tag"].as_str().unwrap()).unwrap();
        let client = tag["client"].as_str().unwrap();
        assert!(client.starts_with("a \"client\"' of ours"), "{api}: {tag}");
        assert_eq!(
            (tag["app"].as_str(), client.chars().count()),
            (Some("async-query-mcp"), 64),
            "{api}: {tag}"
        );
        assert!(tag["query_id"].is_string() && tag["request_id"].is_string(), "{api}: {tag}");
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_snowflake_cut_at_our_limit_says_that_it_is_cut() {
    for api in APIS {
        let site = Site::with(api, 10, 50).await;
        for (rows, truncated, total) in [
            (49, None, Some(49)),
            (50, None, Some(50)),
            (51, Some(Truncation::RowCeiling), None),
            (5000, Some(Truncation::RowCeiling), None),
        ] {
            let end = site.run(&format!("select 7 /* fake: rows={rows} */"), QueryContext::default()).await;
            assert_eq!((end.truncated, end.row_count), (truncated, total), "{api} {rows}");
            assert_eq!(end.stored_rows, rows.min(50), "{api} {rows}");
        }
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secondary_roles_are_off_over_the_driver_protocol_and_told_of_over_the_sql_api() {
    for (api, count) in [("sql", 1), ("driver", 0)] {
        let site = Site::new(api).await;
        site.service.set("secondary_roles", "SYSADMIN").unwrap();
        site.run("select 7", QueryContext::default()).await;
        let execution = site.execution("select 7");
        assert_eq!(
            execution["context"]["secondary_roles"].as_array().unwrap().len(),
            count,
            "{api}: {execution:#}"
        );
        let fence = site.registry.fence(None, PATIENCE).await.unwrap();
        let expected = if count > 0 { FenceKind::ParserOnly } else { FenceKind::Engine };
        assert_eq!(fence.kind, expected, "{api}: {}", fence.detail);
        assert_eq!(fence.detail.contains("SYSADMIN"), count > 0, "{api}: {}", fence.detail);
        site.close().await;
    }
}

// ---- what Snowflake would refuse

/// What is found out about a service that `set` changed.
async fn fence(api: &str, change: impl FnOnce(&mut Options)) -> (Fence, FakeSnowflake) {
    let mut options = Options { partition_rows: 40, inline_rows: 40, chunk_rows: 40, ..Options::default() };
    change(&mut options);
    let service = FakeSnowflake::start_blocking(options).unwrap();
    let (backend, _) = backend(&service, api, 10);
    let fence = backend.fence().await;
    backend.close().await;
    (fence, service)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_only_reads_is_a_fence_and_asking_uses_no_warehouse() {
    for api in APIS {
        let (found, service) = fence(api, |options| options.agent = Some(true)).await;
        assert_eq!(found.kind, FenceKind::Engine, "{api}: {}", found.detail);
        assert!(
            found.detail.contains("FAKE_ROLE, PUBLIC") && found.detail.contains("is an agent's"),
            "{api}: {}",
            found.detail
        );
        let asked = service.log.events("execute");
        let kinds = asked.iter().fold(BTreeMap::new(), |mut kinds: BTreeMap<String, usize>, entry| {
            let sql = entry["sql"].as_str().unwrap();
            *kinds.entry(sql.split_whitespace().next().unwrap_or_default().to_owned()).or_default() += 1;
            kinds
        });
        assert_eq!((kinds["SELECT"], kinds["SHOW"]), (3, 2), "{api}: {asked:#?}");
        if api == "sql" {
            assert!(asked.iter().all(|entry| entry["context"]["warehouse"].is_null()), "{asked:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_privilege_in_the_last_part_of_a_long_answer_breaks_the_fence() {
    for api in APIS {
        let (found, _service) = fence(api, |options| {
            options
                .grants
                .extend((0..100).map(|number| grant("FAKE_ROLE", "SELECT", "TABLE", &format!("T{number}"))));
            options.grants.push(grant("FAKE_ROLE", "USAGE", "ROLE", "BEHIND"));
            options.grants.extend(reader("BEHIND"));
            options.grants.push(grant("BEHIND", "INSERT", "TABLE", "DB.PUBLIC.ORDERS"));
        })
        .await;
        assert_eq!(found.kind, FenceKind::ParserOnly, "{api}: {}", found.detail);
        assert!(
            found.detail.contains("BEHIND has INSERT on table DB.PUBLIC.ORDERS"),
            "{api}: {}",
            found.detail
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_that_cannot_be_seen_are_not_known() {
    for api in APIS {
        let (found, _service) = fence(api, |options| options.grants.clear()).await;
        assert_eq!(found.kind, FenceKind::Unknown, "{api}: {}", found.detail);
        assert!(found.detail.contains("FAKE_ROLE"), "{api}: {}", found.detail);
    }
}
