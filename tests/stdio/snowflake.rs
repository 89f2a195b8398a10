//! The binary against the stand-in for Snowflake, killed and restarted.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};
use support::server_process::ServerProcess;

use crate::BINARY;

/// A service, a state directory, and a server that is told of both.
pub(crate) struct Site {
    pub(crate) service: FakeSnowflake,
    directory: tempfile::TempDir,
    api: &'static str,
}

impl Site {
    pub(crate) fn new(api: &'static str) -> Self {
        let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
        Self { service, directory: tempfile::tempdir().unwrap(), api }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> ServerProcess {
        let settings =
            client::place(self.service.port()).into_iter().chain(client::sign_in(self.api, CANARY));
        let settings = settings.chain([("DATABASE", "DB".to_owned())]);
        let variables = client::variables(settings, &self.directory.path().join("none"));
        let arguments = [&["--connection", "test=snowflake", "--no-deduplicate"], arguments].concat();
        ServerProcess::spawn_with(BINARY, &self.state_dir(), &arguments, &variables)
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn serve(&self) -> ServerProcess {
        let mut server = self.start(&[]);
        server.initialize();
        server
    }

    /// Statements that clients sent, without those that only look something up.
    pub(crate) fn executions(&self) -> Vec<Value> {
        let ours = |query: &Value| {
            let sql = query["sql"].as_str().unwrap_or_default();
            sql.starts_with("select") && !sql.contains("query_history")
        };
        self.service.queries().into_iter().filter(ours).collect()
    }

    pub(crate) fn running(&self) -> usize {
        self.executions().iter().filter(|query| query["status"] == "RUNNING").count()
    }
}

/// Must never be seen outside the request that needs it.
const CANARY: &str = "canary-4711-secret";
pub(crate) const APIS: [&str; 2] = ["sql", "driver"];

#[test]
fn a_query_runs_at_snowflake_and_its_rows_come_back() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.serve();
        let answer = server
            .call("async_execute_query", json!({ "sql": "select 41 + 1 as answer", "wait_seconds": 20 }));
        assert_eq!(answer["status"], "succeeded", "{api}: {answer}");
        assert_eq!(answer["rows"], json!([[42]]), "{api}: {answer}");
        assert!(answer["remote_query_id"].is_string(), "{api}: {answer}");
        let error = server
            .call_error("async_execute_query", json!({ "sql": "select * from missing", "wait_seconds": 20 }));
        assert!(error.contains("MISSING"), "{api}: {error}");
    }
}

#[test]
fn a_read_only_server_sends_nothing_that_writes_and_says_why() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.serve();
        for (sql, words) in [
            ("delete from orders", "read-only"),
            ("select 1; drop table orders", "one statement"),
            ("select system$cancel_query('x')", "read-only"),
        ] {
            let error = server.call_error("async_execute_query", json!({ "sql": sql }));
            assert!(error.to_lowercase().contains(words), "{api}: {error}");
            assert!(error.contains("statement_refused"), "{api}: {error}");
        }
        assert_eq!(site.executions(), Vec::<Value>::new());
    }
}

#[test]
fn a_cancel_stops_the_statement_at_snowflake() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.serve();
        let id = server.submit("select 1 /* fake: runs=3600 */");
        server.wait_until_running(&id);
        let canceled = server.call("query_cancel", json!({ "query_id": id }));
        assert_eq!(canceled["reason"], "canceled", "{api}: {canceled}");
        assert_eq!(site.running(), 0, "{api}: {:?}", site.executions());
    }
}

#[test]
fn a_killed_server_finds_its_query_again_and_the_statement_ran_once() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.serve();
        let id = server.submit("select 7 /* fake: runs=held */");
        server.wait_until_running(&id);
        server.kill();
        site.service.step_all();
        let mut server = site.serve();
        let page = server.call("query_result", json!({ "query_id": id, "wait_seconds": 30 }));
        assert_eq!(page["rows"], json!([[7]]), "{api}: {page}");
        assert_eq!(site.executions().len(), 1, "{api}");
    }
}

#[test]
fn a_server_that_leaves_in_order_leaves_the_statement_running() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.serve();
        let id = server.submit("select 7 /* fake: runs=held */");
        server.wait_until_running(&id);
        server.close_input();
        let (status, after) = server.ended(Duration::from_secs(10)).unwrap();
        assert!(status.success() && after < Duration::from_secs(1), "{api}: {status} after {after:?}");
        assert_eq!(site.running(), 1, "{api}: {:?}", site.executions());
        site.service.step_all();
        let mut server = site.serve();
        let page = server.call("query_result", json!({ "query_id": id, "wait_seconds": 30 }));
        assert_eq!(page["rows"], json!([[7]]), "{api}: {page}");
    }
}

/// What a statement of a fifth of a second costs in calls, and how long after its end the agent has the answer.
#[expect(clippy::panic, reason = "a test that cannot go on says so and stops")]
fn quick_statement(api: &'static str) -> (u64, Duration) {
    let site = Site::new(api);
    let mut server = site.serve();
    // The first one signs in.
    server.call("async_execute_query", json!({ "sql": "select 1", "wait_seconds": 20 }));
    for tries in 0..10 {
        let sql = format!("select 7 as try_{tries} /* fake: runs=0.2 */");
        let answer = server.call("async_execute_query", json!({ "sql": sql, "wait_seconds": 20 }));
        let answered = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(answer["rows"], json!([[7]]), "{api}: {answer}");
        let handle = answer["remote_query_id"].as_str().unwrap();
        let at = |event: &str| {
            let entries = site.service.log.events(event);
            let entry = entries.iter().find(|entry| entry["handle"] == handle);
            Duration::from_millis(entry.unwrap()["at_ms"].as_u64().unwrap())
        };
        // On a machine that is busy a fifth of a second may have been a whole one.
        if at("end").saturating_sub(at("submit")) < Duration::from_millis(240) {
            let report = site.service.query(handle).unwrap();
            let calls = report["calls"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
            return (calls, answered.saturating_sub(at("end")));
        }
    }
    panic!("{api}: the machine is too busy to run a statement for a fifth of a second");
}

#[test]
fn a_quick_statement_costs_three_calls_at_most_over_the_sql_api_and_is_answered_at_once() {
    let (calls, late) = quick_statement("sql");
    assert!((2..=3).contains(&calls) && late < Duration::from_secs(5), "{calls} calls, {late:?} late");
    println!("{calls} calls, answered {late:?} after its end");
}

#[test]
fn a_quick_statement_costs_three_calls_at_most_over_the_driver_protocol_and_is_answered_at_once() {
    let (calls, late) = quick_statement("driver");
    assert!((2..=3).contains(&calls) && late < Duration::from_secs(5), "{calls} calls, {late:?} late");
    println!("{calls} calls, answered {late:?} after its end");
}

#[test]
fn no_secret_leaves_the_process_at_any_log_level() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.start(&["--log-level", "trace"]);
        server.initialize();
        let answer = server.request(
            "tools/call",
            json!({ "name": "async_execute_query", "arguments": { "sql": "select 1", "wait_seconds": 20 } }),
        );
        assert!(!answer.to_string().contains(CANARY), "{api}");
        site.service
            .faults
            .add(Fault::once("submit", Misbehaviour::Status { status: 401, retry_after: None }).times(5));
        let answer = server.request(
            "tools/call",
            json!({ "name": "async_execute_query", "arguments": { "sql": "select 2", "wait_seconds": 20 } }),
        );
        assert!(!answer.to_string().contains(CANARY), "{api}");
        server.close_input();
        server.ended(Duration::from_secs(5));
        let log = server.stderr();
        assert!(log.contains("query") && !log.contains(CANARY), "{api}: {log}");
    }
}

/// The properties of the arguments of the tool that runs statements.
fn properties(server: &mut ServerProcess) -> Value {
    let tools = server.request("tools/list", json!({}))["result"]["tools"].clone();
    let tool =
        tools.as_array().unwrap().iter().find(|tool| tool["name"] == "async_execute_query").unwrap().clone();
    tool["inputSchema"]["properties"].clone()
}

#[test]
fn a_role_and_a_warehouse_can_be_chosen_only_as_far_as_the_operator_offers_them() {
    for api in APIS {
        let site = Site::new(api);
        let mut server = site.start(&["--allow-role", "analyst", "--allow-role", "AUDITOR"]);
        server.initialize();
        let offered = properties(&mut server);
        assert_eq!(offered["role"]["enum"], json!(["analyst", "AUDITOR"]), "{api}: {offered:#}");
        assert!(offered["warehouse"].is_null() && offered["schema"].is_object(), "{api}: {offered:#}");
        for (argument, value, flag) in
            [("role", "SYSADMIN", "--allow-role"), ("warehouse", "BIG_WH", "--allow-warehouse")]
        {
            let error =
                server.call_error("async_execute_query", json!({ "sql": "select 1", argument: value }));
            assert!(error.contains("not_offered") && error.contains(flag), "{api}: {error}");
        }
        assert_eq!(site.executions(), Vec::<Value>::new(), "{api}");
        let arguments = json!({ "sql": "select 7", "role": "analyst", "database": "shop", "schema": "\"Sales\"", "wait_seconds": 30 });
        let answer = server.call("async_execute_query", arguments);
        let context = "role analyst, database shop, schema \"Sales\"";
        assert_eq!(
            (answer["rows"].clone(), answer["context"].clone()),
            (json!([[7]]), json!(context)),
            "{api}"
        );
        let id = answer["query_id"].as_str().unwrap();
        assert_eq!(server.call("query_status", json!({ "query_id": id }))["context"], context, "{api}");
        assert_eq!(server.call("query_list", json!({}))["queries"][0]["context"], context, "{api}");
        let execution = site.executions().remove(0);
        let names = match api {
            "sql" => ["ANALYST", "SHOP", "Sales"],
            _ => ["analyst", "shop", "\"Sales\""],
        };
        let sent = ["role", "database", "schema"].map(|part| execution["context"][part].clone());
        assert_eq!(sent, names.map(Value::from), "{api}: {execution:#}");
    }
}

#[test]
fn without_an_offer_and_without_snowflake_there_is_nothing_to_choose() {
    let site = Site::new("sql");
    let mut server = site.start(&["--connection", "lite=sqlite::memory:"]);
    server.initialize();
    let offered = properties(&mut server);
    assert!(offered["role"].is_null() && offered["warehouse"].is_null(), "{offered:#}");
    assert!(offered["database"].is_object(), "{offered:#}");
    let error = server.call_error("async_execute_query", json!({ "sql": "select 1", "role": "ANALYST" }));
    assert!(error.contains("cannot be chosen") && error.contains("--allow-role"), "{error}");
    let on_lite = json!({ "sql": "select 1", "connection": "lite", "schema": "X" });
    let error = server.call_error("async_execute_query", on_lite);
    assert!(error.contains("sqlite") && error.contains("schema"), "{error}");
}

#[test]
fn the_list_tells_what_holds_back_writes() {
    for api in APIS {
        let site = Site::new(api);
        site.service.set("grant", "FAKE_ROLE|INSERT|TABLE|DB.PUBLIC.ORDERS").unwrap();
        let mut server = site.serve();
        server.call("async_execute_query", json!({ "sql": "select 7", "wait_seconds": 30 }));
        let end = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let list = server.call("query_list", json!({}));
            match list["fence"]["test"].as_str() {
                Some("parser_only") => break,
                Some("unknown") if std::time::Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(50))
                }
                _ => panic!("{api}: {list:#}"),
            }
        }
    }
}
