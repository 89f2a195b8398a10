//! Whole calls against a scripted server: one test for every row of the API's table of answers, and one for every way
//! in which a call goes wrong on its way.

mod check;
mod fetch;
mod submit;

use std::sync::Arc;
use std::time::Duration;

use registry_core::backend::{FetchError, Lookup, Progress, Rows, Submission, SubmitError};
use registry_core::error::ErrorInfo;
use registry_core::id::{QueryId, RequestId};
use registry_core::record::RemotePhase;
use registry_core::results::{ResultLimits, ResultStore, StoredRows, Truncation};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::config::{Credentials, Deadlines, Protocol, SecretSource, StatementContext};
use crate::http::scripted::{Seen, Server, Step};

const HANDLE: &str = "01b66701-0000-001c-0000-0030000b9152";
const OTHER: &str = "01b66701-0000-001c-0000-0030000b9999";

fn config(base_url: Url) -> SnowflakeConfig {
    SnowflakeConfig {
        name: "test".to_owned(),
        account: "ACCT".to_owned(),
        base_url,
        user: Some("ME".to_owned()),
        credentials: Credentials::OAuth(SecretSource::Value("token".to_owned().into())),
        protocol: Protocol::SqlApi,
        context: StatementContext {
            role: Some("R".to_owned()),
            warehouse: Some("W".to_owned()),
            database: Some("D".to_owned()),
            schema: None,
        },
        session_parameters: vec![],
        deadlines: Deadlines { request: Duration::from_secs(20), ..Deadlines::default() },
    }
}

/// A server with its script, a backend that asks it, one session, and a store for rows.
struct Bench {
    server: Server,
    backend: SqlApiBackend,
    session: Box<dyn Session>,
    store: ResultStore,
    query_id: QueryId,
    request_id: RequestId,
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self::with(steps, ResultLimits::default(), |_| {}).await
    }

    async fn with(
        steps: impl IntoIterator<Item = Step>,
        limits: ResultLimits,
        change: impl FnOnce(&mut SnowflakeConfig),
    ) -> Self {
        let server = Server::start(steps).await;
        let mut config = config(server.url.clone());
        change(&mut config);
        let backend = SqlApiBackend::with_retry(&config, RetryPolicy::at_once()).unwrap();
        let session = backend.open_session().await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let store = ResultStore::open(directory.path().to_owned(), limits).unwrap();
        let (query_id, request_id) = (QueryId::generate(), RequestId::generate());
        Self { server, backend, session, store, query_id, request_id, _directory: directory }
    }

    fn submission(&self, retry: bool) -> Submission {
        Submission {
            query_id: self.query_id,
            request_id: self.request_id,
            sql: Arc::from("select 1"),
            context: registry_core::options::QueryContext::default(),
            time_limit: Duration::from_millis(3_599_500),
            row_limit: None,
            tag: r#"{"app":"async-query-mcp"}"#.to_owned(),
            retry,
            rows: self.store.writer(self.query_id),
        }
    }

    async fn submit(&mut self) -> Result<RemoteHandle, SubmitError> {
        let submission = self.submission(false);
        self.session.submit(submission).await
    }

    async fn check(&mut self) -> Result<Progress, BackendError> {
        self.session.check(&handle()).await
    }

    async fn cancel(&self) -> Result<CancelReply, BackendError> {
        self.backend.cancel(&handle()).await
    }

    async fn fetch(&mut self) -> Result<StoredRows, FetchError> {
        let writer = self.store.writer(self.query_id);
        self.session.fetch(&handle(), writer).await
    }

    fn rows(&self) -> Vec<Vec<Value>> {
        self.store.page(self.query_id, 0, 1_000_000, u64::MAX).unwrap().rows
    }

    fn seen(&self) -> Vec<Seen> {
        self.server.seen()
    }
}

fn handle() -> RemoteHandle {
    RemoteHandle::new(HANDLE)
}

fn running() -> Step {
    coded(202, "333334")
}

fn coded(status: u16, code: &str) -> Step {
    let sql_state = if code == "000604" { "57014" } else { "42000" };
    Step::json(
        status,
        json!({"code": code, "message": "words", "sqlState": sql_state, "statementHandle": HANDLE})
            .to_string(),
    )
}

/// A result of whole numbers counted from 1, in parts of these sizes, with the first part in it.
fn result(parts: &[u64]) -> Step {
    result_with_code(parts, "090001")
}

fn result_with_code(parts: &[u64], code: &str) -> Step {
    let infos: Vec<Value> =
        parts.iter().map(|n| json!({"rowCount": n, "uncompressedSize": n * 10})).collect();
    let body = json!({
        "resultSetMetaData": {
            "numRows": parts.iter().sum::<u64>(),
            "format": "jsonv2",
            "rowType": [{"name": "N", "type": "fixed", "scale": 0, "precision": 38}],
            "partitionInfo": infos,
        },
        "data": numbers(0, parts[0]),
        "code": code,
        "statementHandle": HANDLE,
    });
    Step::json(200, body.to_string())
}

/// The rows of a later part, as they come: compressed, without a description.
fn later_part(after: u64, count: u64) -> Step {
    Step::gzip(200, &json!({"data": numbers(after, count)}).to_string())
}

fn numbers(after: u64, count: u64) -> Vec<[String; 1]> {
    (after + 1..=after + count).map(|number| [number.to_string()]).collect()
}

fn rejected(outcome: Result<RemoteHandle, SubmitError>) -> ErrorInfo {
    match outcome {
        Err(SubmitError::Rejected(error)) => error,
        other => panic!("a rejection, got {other:?}"),
    }
}

fn not_sent(outcome: Result<RemoteHandle, SubmitError>) -> ErrorInfo {
    match outcome {
        Err(SubmitError::NotSent(error)) => error.0,
        other => panic!("nothing sent, got {other:?}"),
    }
}

fn unclear(outcome: Result<RemoteHandle, SubmitError>) -> ErrorInfo {
    match outcome {
        Err(SubmitError::Unclear(error)) => error.0,
        other => panic!("an unclear answer, got {other:?}"),
    }
}

fn lost(outcome: Result<StoredRows, FetchError>) -> ErrorInfo {
    match outcome {
        Err(FetchError::Final(error)) => error,
        other => panic!("rows lost for good, got {other:?}"),
    }
}

// ---- lookup

fn history(rows: Value) -> Step {
    let body = json!({
        "resultSetMetaData": {"numRows": 1, "format": "jsonv2", "rowType": [{"name": "QUERY_ID", "type": "text"}]},
        "data": rows, "code": "090001", "statementHandle": OTHER,
    });
    Step::json(200, body.to_string())
}

#[tokio::test]
async fn a_lookup_searches_the_history_and_runs_nothing_else() {
    let mut bench = Bench::new([history(json!([[HANDLE]])), history(json!([]))]).await;
    let id = bench.request_id;
    assert_eq!(bench.session.lookup(id).await, Ok(Lookup::Found(handle())));
    assert_eq!(bench.session.lookup(id).await, Ok(Lookup::Missing));
    let seen = &bench.seen()[0];
    assert!(seen.body["statement"].as_str().unwrap().contains("query_history_by_user"));
    assert_eq!(seen.query("async"), None);
    assert_ne!(seen.query("requestId"), Some(id.to_string().as_str()), "the statement is not sent again");
    assert_eq!(seen.body["timeout"], 30);
}

#[tokio::test]
async fn a_lookup_waits_for_its_own_statement() {
    let still = json!({"code": "333334", "statementHandle": OTHER}).to_string();
    let mut bench = Bench::new([Step::json(202, still), history(json!([[HANDLE]]))]).await;
    assert_eq!(bench.session.lookup(bench.request_id).await, Ok(Lookup::Found(handle())));
    assert_eq!(bench.seen()[1].path, format!("/api/v2/statements/{OTHER}"));
}

#[tokio::test]
async fn a_lookup_that_fails_is_not_missing() {
    for step in [coded(422, "000606"), coded(403, "1"), Step::html(200), coded(422, "000604")] {
        let mut bench = Bench::new([step]).await;
        assert!(bench.session.lookup(bench.request_id).await.is_err());
    }
}

// ---- the connection

#[tokio::test]
async fn a_target_names_account_user_and_role() {
    let bench = Bench::new([]).await;
    assert_eq!(bench.backend.target(), "snowflake:ACCT/ME/R");
    assert_eq!((bench.backend.kind(), bench.backend.lifetime()), ("snowflake", EngineLifetime::Remote));
    assert!(!format!("{:?}", bench.backend).contains("token\""));
}

#[tokio::test]
async fn an_unwell_service_is_left_alone_for_a_while() {
    let mut bench = Bench::new((0..5).map(|_| Step::status(503))).await;
    for _ in 0..5 {
        assert!(bench.check().await.is_err());
    }
    let error = bench.check().await.unwrap_err();
    assert!(error.0.message.contains("the next try"), "{error}");
    assert_eq!(bench.backend.open_session().await.unwrap_err().0.kind, ErrorKind::Unavailable);
    assert_eq!(bench.seen().len(), 5);
}

#[tokio::test]
async fn a_parameter_that_the_api_does_not_know_is_a_fault_of_the_configuration() {
    let mut config = config(Url::parse("http://127.0.0.1:1/").unwrap());
    config.session_parameters = vec![("WEEK_START".to_owned(), "1".to_owned())];
    assert_eq!(SqlApiBackend::new(&config).unwrap_err().0.kind, ErrorKind::Configuration);
}

/// Reads any bytes as the body of answers, of every status that means something.
pub(crate) fn read_spoiled(body: &[u8]) {
    for status in [200, 202, 400, 401, 403, 404, 408, 422, 429, 503] {
        let answer = crate::http::Answer {
            status,
            body: body.to_vec(),
            foreign_type: None,
            retry_after: None,
            clock_ahead: Some(-i64::from(status)),
        };
        let reply = super::reply::read_now(answer);
        drop(reply.meaning.into_error(ErrorKind::Protocol));
    }
}
