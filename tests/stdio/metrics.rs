//! The metrics of a running server, read as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};
use support::server_process::{PATIENCE, ServerProcess};

use crate::{BINARY, ENDLESS, Server};

const ANY_PORT: [&str; 2] = ["--metrics", "127.0.0.1:0"];

/// The port that the log names.
fn port(process: &ServerProcess) -> u16 {
    let line = process.log_line("metrics are served");
    let rest = line.split("http://127.0.0.1:").nth(1).expect("an address");
    rest.split('/').next().unwrap().parse().unwrap()
}

/// The whole answer to a request that is written as it stands.
fn exchange(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).ok();
    let mut answer = vec![];
    // A refused request may be answered with a reset after the answer.
    stream.read_to_end(&mut answer).ok();
    String::from_utf8(answer).unwrap()
}

fn get(port: u16, path: &str, host: &str) -> String {
    exchange(port, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

fn scrape(port: u16) -> Scrape {
    let answer = get(port, "/metrics", &format!("127.0.0.1:{port}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    Scrape::read(body)
}

fn scrape_until(port: u16, condition: impl Fn(&Scrape) -> bool) -> Scrape {
    let end = Instant::now() + PATIENCE;
    loop {
        let scrape = scrape(port);
        if condition(&scrape) {
            return scrape;
        }
        assert!(Instant::now() < end, "{:#?}", scrape.values);
    }
}

/// What is documented of one metric.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    kind: String,
    labels: BTreeSet<String>,
    help: String,
}

/// One reading.
struct Scrape {
    families: BTreeMap<String, Family>,
    values: BTreeMap<String, f64>,
}

impl Scrape {
    /// Reads the text format strictly: a line that is none fails the test.
    fn read(body: &str) -> Self {
        let (mut families, mut values) = (BTreeMap::<String, Family>::new(), BTreeMap::new());
        let mut help = None;
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                help = rest.split_once(' ');
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let (described, words) = help.take().expect("help comes first");
                assert_eq!(described, name);
                let (kind, help) = (kind.to_owned(), words.to_owned());
                let before = families.insert(name.to_owned(), Family { kind, labels: BTreeSet::new(), help });
                assert!(before.is_none(), "{name} twice");
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
                let value: f64 = value.replace("+Inf", "inf").parse().unwrap();
                assert!(values.insert(series.to_owned(), value).is_none(), "{series} twice");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
                let known =
                    [Some(name), base].into_iter().flatten().find(|name| families.contains_key(*name));
                let family = families.get_mut(known.unwrap_or_else(|| panic!("{name} has no type"))).unwrap();
                let labels =
                    labels.strip_suffix('}').unwrap().split(',').filter_map(|pair| pair.split_once('='));
                family.labels.extend(labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le"));
            }
        }
        Self { families, values }
    }

    fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("{series} is not among {:?}", self.values.keys()))
    }
}

/// The table of the page.
fn documented() -> BTreeMap<String, Family> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(|cell| cell.trim()).collect();
        let [name, kind, labels, help] = cells[..] else { panic!("four columns: {row}") };
        let labels = labels.split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| !label.is_empty()).collect();
        (name.trim_matches('`').to_owned(), Family { kind: kind.to_owned(), labels, help: help.to_owned() })
    })
    .collect()
}

#[test]
fn the_page_and_the_endpoint_name_the_same_metrics() {
    let service = FakeSnowflake::start_blocking(Options::default()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let settings = client::place(service.port()).into_iter().chain([("PASSWORD", "a-password".to_owned())]);
    let variables = client::variables(settings, directory.path());
    let arguments = ["--connection", "test=snowflake", "--connection", "lite=sqlite::memory:"];
    let state = directory.path().join("state");
    let mut server =
        ServerProcess::spawn_with(BINARY, &state, &[&arguments[..], &ANY_PORT].concat(), &variables);
    server.initialize();
    for connection in ["test", "lite"] {
        server.call("async_execute_query", json!({ "sql": "select 1", "connection": connection }));
    }
    let scrape = scrape(port(&server));
    assert_eq!(documented(), scrape.families);
    assert_eq!(scrape.value("snowflake_sign_ins_total{connection=\"test\"}"), 1.0);
    assert_eq!(scrape.value("snowflake_sessions_limit{connection=\"test\"}"), 10.0);
}

#[test]
fn each_outcome_moves_its_counter() {
    let mut server = Server::start(&ANY_PORT);
    let process = &mut server.process;
    let port = port(process);
    assert_eq!(scrape(port).value("registry_opened"), 0.0);
    process.call("async_execute_query", json!({ "sql": "select 1" }));
    process.call_error("async_execute_query", json!({ "sql": "select * from nothing" }));
    let late = json!({ "sql": ENDLESS, "timeout_seconds": 1, "wait_seconds": 0 });
    let late = process.call("async_execute_query", late)["query_id"].as_str().unwrap().to_owned();
    assert_eq!(process.wait_for_end(&late)["status"], "timeout");
    let stopped = process.submit(ENDLESS);
    process.wait_until_running(&stopped);
    // A driver ends a little later than its query.
    scrape_until(port, |scrape| scrape.value("queries_running{connection=\"main\"}") == 1.0);
    process.call("query_cancel", json!({ "query_id": stopped }));
    process.wait_for_end(&stopped);
    let scrape = scrape_until(port, |scrape| {
        scrape.value("sessions_open") == 0.0 && scrape.value("drivers_alive") == 0.0
    });
    for status in ["succeeded", "failed", "timeout", "canceled"] {
        assert_eq!(scrape.value(&format!("queries_ended_total{{status=\"{status}\"}}")), 1.0, "{status}");
    }
    assert_eq!(scrape.value("queries_accepted_total"), 4.0);
    assert_eq!(scrape.value("query_timeouts_total"), 1.0);
    assert_eq!(scrape.value("query_cancels_total{outcome=\"canceled\"}"), 1.0);
    assert_eq!(scrape.value("query_execution_seconds_count"), 3.0);
    // The time limit counts from the acceptance, so less than its second was spent running.
    assert!(scrape.value("query_execution_seconds_sum") >= 0.1);
    assert_eq!(scrape.value("engine_call_seconds_count{call=\"submit\"}"), 4.0);
    assert_eq!(scrape.value("engine_call_seconds_bucket{call=\"submit\",le=\"+Inf\"}"), 4.0);
    assert_eq!(scrape.value("sessions_opened_total"), 4.0);
    assert_eq!(scrape.value("sessions_closed_total"), 4.0);
    assert!(scrape.value("registry_lock_wait_seconds_count") >= scrape.value("queries_accepted_total"));
    assert!(scrape.value("journal_seconds_count") >= scrape.value("queries_accepted_total"));
    assert_eq!(scrape.value("registry_opened"), 1.0);
}

#[test]
fn other_names_other_paths_and_other_methods_are_refused() {
    let server = Server::start(&ANY_PORT);
    let port = port(&server.process);
    let status = |answer: String| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    assert_eq!(status(get(port, "/metrics", "localhost")), "200");
    assert_eq!(status(get(port, "/metrics", "evil.example")), "421");
    assert_eq!(status(exchange(port, "GET /metrics HTTP/1.0\r\n\r\n")), "421");
    assert_eq!(status(get(port, "/", "localhost")), "404");
    assert_eq!(status(get(port, "/metrics/", "localhost")), "404");
    let post = "POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(exchange(port, post)), "405");
    let large = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(!exchange(port, &large).starts_with("HTTP/1.1 200"));
    assert!(!exchange(port, "no HTTP at all\r\n\r\n").starts_with("HTTP/1.1 200"));
}

#[test]
fn connections_that_say_nothing_do_not_keep_others_out() {
    let server = Server::start(&ANY_PORT);
    let port = port(&server.process);
    let silent: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    scrape(port);
    let mut first = &silent[0];
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = vec![];
    first.read_to_end(&mut answer).expect("it was closed");
}

#[test]
fn the_endpoint_goes_with_the_server_even_while_somebody_holds_a_connection() {
    let mut server = Server::start(&ANY_PORT);
    let port = port(&server.process);
    let _held = TcpStream::connect(("127.0.0.1", port)).unwrap();
    server.process.close_input();
    let (status, _) = server.process.ended(Duration::from_secs(20)).expect("it ends");
    assert!(status.success());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_port_that_is_taken_costs_the_metrics_and_not_the_server() {
    let first = Server::start(&ANY_PORT);
    let taken = format!("127.0.0.1:{}", port(&first.process));
    let mut second = Server::start(&["--metrics", &taken]);
    second.process.log_line("choose another one, or 0");
    second.process.call("async_execute_query", json!({ "sql": "select 1" }));
}

#[test]
fn nothing_is_served_unless_asked_for_and_never_to_others() {
    let mut quiet = Server::start(&[]);
    quiet.process.close_input();
    quiet.process.ended(PATIENCE).expect("it ends");
    assert!(!quiet.process.stderr().contains("metrics"));
    let mut open = Server::spawn(&["--metrics", "0.0.0.0:0"]);
    let (status, _) = open.process.ended(PATIENCE).expect("it refuses to start");
    assert_eq!(status.code(), Some(2));
    assert!(open.process.stderr().contains("to this machine only"));
}
