//! What the server logs, read line by line as others do.

use serde_json::{Value, json};
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};
use support::server_process::{PATIENCE, ServerProcess};

use crate::BINARY;

/// Must never be logged.
const CANARY: &str = "canary-4711-secret";

/// The log of a server that ended after it did `work`.
fn log_of(mut process: ServerProcess, work: impl FnOnce(&mut ServerProcess)) -> String {
    work(&mut process);
    process.close_input();
    process.ended(PATIENCE).expect("it ends");
    process.stderr()
}

fn sqlite(level: &str, format: &str, work: impl FnOnce(&mut ServerProcess)) -> String {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--log-level", level, "--log-format", format];
    log_of(ServerProcess::start(BINARY, &home.path().join("state"), &arguments), work)
}

fn snowflake(service: &FakeSnowflake, api: &str, level: &str, home: &std::path::Path) -> ServerProcess {
    let settings = client::place(service.port()).into_iter().chain(client::sign_in(api, CANARY));
    let variables = client::variables(settings, home);
    let arguments = ["--connection", "test=snowflake", "--log-format", "json", "--log-level", level];
    let mut process = ServerProcess::spawn_with(BINARY, &home.join("state"), &arguments, &variables);
    process.initialize();
    process
}

fn records(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

fn message(record: &Value) -> &str {
    record["fields"]["message"].as_str().unwrap_or_default()
}

/// The query of the span that a record stands in.
fn query_of(record: &Value) -> Option<&str> {
    record["span"]["query_id"].as_str()
}

/// A client whose name would forge a record, if it could, has a query run that fails.
fn visited_by_a_forger(format: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let arguments = ["--log-level", "debug", "--log-format", format];
    log_of(ServerProcess::spawn(BINARY, &home.path().join("state"), &arguments), |process| {
        let client = json!({ "name": "evil\nINFO forged\u{1b}[31m\u{202e}", "version": "0" });
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        process.request("initialize", hello);
        process.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        process.call_error("async_execute_query", json!({ "sql": "select *\nfrom \"no\nsuch\ntable\"" }));
    })
}

#[test]
fn every_record_is_one_line_of_json_whatever_callers_say() {
    let log = visited_by_a_forger("json");
    let records = records(&log);
    for words in ["query accepted", "query ended"] {
        assert!(records.iter().any(|record| message(record) == words), "{words}: {log}");
    }
    assert!(log.contains("forged") && !log.contains(['\u{1b}', '\u{202e}']), "{log}");
    for record in &records {
        assert!(record["timestamp"].is_string() && record["level"].is_string(), "{record}");
    }
}

/// A server whose error names a path that would forge a record, if it could.
fn led_astray(format: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state\nINFO forged\u{1b}[31m\u{202e}");
    std::fs::write(&state, "no directory").unwrap();
    log_of(ServerProcess::start(BINARY, &state, &["--log-format", format]), |process| {
        process.call_error("async_execute_query", json!({ "sql": "select 1" }));
    })
}

#[test]
fn every_record_of_text_is_one_line_too() {
    for (log, words) in
        [(visited_by_a_forger("text"), "query ended"), (led_astray("text"), "cannot be opened")]
    {
        assert!(log.contains(words) && log.contains("forged"), "{log}");
        for line in log.lines() {
            let time = line.get(..20).unwrap_or_default();
            assert!(time.starts_with("20") && time.contains('T'), "not the begin of a record: {line:?}");
            assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        }
    }
}

#[test]
fn the_lines_of_a_query_carry_its_id_from_acceptance_to_end() {
    for (api, called) in [("sql", "called"), ("driver", "session taken from the pool")] {
        let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
        service.faults.add(Fault::once("submit", Misbehaviour::Status { status: 503, retry_after: None }));
        let home = tempfile::tempdir().unwrap();
        let mut id = String::new();
        let log = log_of(snowflake(&service, api, "debug", home.path()), |process| {
            let answer = process.call("async_execute_query", json!({ "sql": "select 7 as lucky" }));
            id = answer["query_id"].as_str().unwrap().to_owned();
        });
        let records = records(&log);
        let told = [
            "query accepted",
            "statement",
            "query changed",
            called,
            "the call is made again",
            "query ended",
            "driver ended",
        ];
        for words in told {
            let record = records.iter().find(|record| message(record) == words);
            let record = record.unwrap_or_else(|| panic!("{api}: no {words:?} in {log}"));
            assert_eq!(query_of(record), Some(id.as_str()), "{api}: {record}");
            assert_eq!(record["span"]["connection"], "test", "{api}: {record}");
            assert_eq!(record["spans"].as_array().map(Vec::len), Some(1), "one span a query: {record}");
        }
        let ends: Vec<&Value> = records.iter().filter(|record| message(record) == "query ended").collect();
        assert_eq!(ends.len(), 1, "{log}");
        assert_eq!((&ends[0]["level"], &ends[0]["fields"]["status"]), (&json!("INFO"), &json!("succeeded")));
        assert_eq!(ends[0]["fields"]["rows"], 1);
        assert!(
            ends[0]["fields"]["millis"].is_u64() && ends[0]["fields"]["ran_millis"].is_u64(),
            "{}",
            ends[0]
        );
    }
}

#[test]
fn a_statement_is_told_only_on_request_and_cut() {
    let sql = format!("select 'begin', '{}', 'canary-far-behind'", "x".repeat(120));
    for (level, is_told) in [("info", false), ("debug", true)] {
        let log = sqlite(level, "json", |process| {
            process.call("async_execute_query", json!({ "sql": sql }));
        });
        assert_eq!(log.contains("'begin'"), is_told, "{level}: {log}");
        assert!(!log.contains("canary-far-behind"), "{level}: {log}");
        let records = records(&log);
        let accepted = records.iter().find(|record| message(record) == "query accepted").unwrap();
        assert_eq!(accepted["fields"]["sql_bytes"], sql.len());
    }
}

#[test]
fn no_secret_is_logged_however_much_is() {
    for api in ["sql", "driver"] {
        let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
        let home = tempfile::tempdir().unwrap();
        let log = log_of(snowflake(&service, api, "trace", home.path()), |process| {
            process.call("async_execute_query", json!({ "sql": "select 1" }));
        });
        assert!(log.lines().count() > 20, "{log}");
        assert!(!log.contains(CANARY), "{api}");
    }
}
