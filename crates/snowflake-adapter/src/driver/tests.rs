//! The backend against a scripted service on the loopback interface.

mod cancels;
mod logins;
mod results;
mod server;
mod sessions;
mod submits;

use std::time::Duration;

use registry_core::backend::{Backend, Session, Submission, SubmitError};
use registry_core::id::{QueryId, RemoteHandle, RequestId};
use registry_core::results::{ResultLimits, ResultStore};
use registry_core::testing::submission;
use secrecy::SecretString;

use super::{DriverBackend, DriverOptions};
use crate::RetryPolicy;
use crate::config::{Credentials, Deadlines, Protocol, SecretSource, SnowflakeConfig, StatementContext};
use server::{Reply, Seen, Server};

const ID: &str = "01b4ae32-0001-d0ae-0000-0001a2b3c4d5";

fn config(server: &Server) -> SnowflakeConfig {
    SnowflakeConfig {
        name: "test".to_owned(),
        account: "ACCT".to_owned(),
        base_url: server.url(),
        user: Some("ann".to_owned()),
        credentials: Credentials::Password(SecretString::from("pa55word")),
        protocol: Protocol::Driver,
        context: StatementContext { role: Some("R".to_owned()), ..StatementContext::default() },
        session_parameters: vec![("timezone".to_owned(), "UTC".to_owned())],
        deadlines: Deadlines {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(5),
            long_poll: Duration::from_secs(5),
        },
    }
}

fn options() -> DriverOptions {
    DriverOptions { retries: RetryPolicy::at_once(), ..DriverOptions::default() }
}

fn with_token(server: &Server) -> SnowflakeConfig {
    let source = SecretSource::Value(SecretString::from("t0ken"));
    SnowflakeConfig { credentials: Credentials::AccessToken(source), ..config(server) }
}

fn backend(server: &Server) -> DriverBackend {
    DriverBackend::new(&config(server), options()).unwrap()
}

/// A store whose directory goes with the test.
struct Bench {
    store: ResultStore,
    _directory: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ResultStore::open(directory.path().to_owned(), ResultLimits::default()).unwrap();
        Self { store, _directory: directory }
    }

    fn submission(&self, id: RequestId, retry: bool) -> Submission {
        let tag = r#"{"app":"async-query-mcp"}"#.to_owned();
        Submission { request_id: id, tag, retry, ..submission(&self.store, "select 1") }
    }

    async fn submit(&self, session: &mut Box<dyn Session>) -> Result<RemoteHandle, SubmitError> {
        session.submit(self.submission(RequestId::generate(), false)).await
    }
}

async fn session(backend: &DriverBackend) -> Box<dyn Session> {
    backend.open_session().await.unwrap()
}

/// What a service that works answers; a submission runs for ever.
fn usual(seen: &Seen) -> Reply {
    match seen.path.as_str() {
        "/session/v1/login-request" => Reply::json(login("session-1", "master-1")),
        "/session/token-request" => Reply::json(renewal("session-2", "master-2")),
        "/session" | "/session/heartbeat" => Reply::json(r#"{"data":null,"code":null,"success":true}"#),
        "/queries/v1/query-request" if seen.sql().starts_with("USE ") => {
            Reply::json(r#"{"data":{"rowtype":[],"rowset":[]},"code":null,"success":true}"#)
        }
        "/queries/v1/query-request" => Reply::json(in_progress()),
        path if path.starts_with("/monitoring/queries/") => Reply::json(state("RUNNING")),
        path if path.ends_with("/abort-request") => {
            Reply::json(r#"{"data":null,"code":null,"success":true}"#)
        }
        path if path.ends_with("/result") => Reply::json(in_progress()),
        _ => Reply::status(404, ""),
    }
}

fn login(session: &str, master: &str) -> String {
    format!(
        r#"{{"data":{{"token":"{session}","masterToken":"{master}","validityInSeconds":3600,
        "masterValidityInSeconds":14400,"sessionId":7}},"code":null,"message":null,"success":true}}"#
    )
}

fn renewal(session: &str, master: &str) -> String {
    format!(
        r#"{{"data":{{"sessionToken":"{session}","masterToken":"{master}","validityInSecondsST":3600}},
        "code":null,"success":true}}"#
    )
}

fn in_progress() -> String {
    format!(
        r#"{{"data":{{"queryId":"{ID}","getResultUrl":"/queries/{ID}/result"}},"code":"333334","success":true}}"#
    )
}

fn state(word: &str) -> String {
    format!(
        r#"{{"data":{{"queries":[{{"id":"{ID}","status":"{word}","errorCode":0}}]}},"code":null,"success":true}}"#
    )
}

fn refusal(code: &str) -> String {
    format!(r#"{{"data":null,"code":"{code}","message":"refused","success":false}}"#)
}

fn result(rowset: &str) -> String {
    format!(
        r#"{{"data":{{"queryId":"{ID}","rowtype":[{{"name":"A","type":"fixed","scale":0,"precision":1}}],
        "rowset":{rowset},"total":1,"returned":1,"queryResultFormat":"json"}},"code":null,"success":true}}"#
    )
}

/// Reads any bytes as every answer of the protocol that there is.
pub(crate) fn read_spoiled(body: &[u8]) {
    use super::{chunks, error, rows, status};
    use crate::wire::driver::{Envelope, LoginAnswer, QueryFacts, RenewAnswer, ResultData};

    let Ok(envelope) = serde_json::from_slice::<Envelope>(body) else { return };
    let fault = error::fault(&envelope);
    drop((fault.ending(), fault.sign_in_error(), fault.statement_error()));
    drop(status::progress(&envelope, &status::UnknownWords::default()));
    drop(rows::first_text(&envelope));
    let _: (LoginAnswer, QueryFacts) = (envelope.data_or_default(), envelope.data_or_default());
    let _: RenewAnswer = envelope.data_or_default();
    let Some(raw) = envelope.data.as_deref() else { return };
    let Ok(data) = serde_json::from_str::<ResultData<'_>>(raw.get()) else { return };
    drop(rows::inline_rows(&data, rows::format_of(&data)));
    let base = "https://acme.snowflakecomputing.com".parse().unwrap();
    for info in data.chunks.iter().flatten() {
        drop(chunks::address(info, &base));
    }
    drop(chunks::headers_of(data.chunk_headers, data.qrmk));
}

/// The columns that any bytes describe, should they be an answer.
pub(crate) fn columns_of_spoiled(body: &[u8]) -> Option<Vec<crate::values::Column>> {
    use crate::wire::driver::{Envelope, ResultData};

    let envelope: Envelope = serde_json::from_slice(body).ok()?;
    let data: ResultData<'_> = serde_json::from_str(envelope.data.as_deref()?.get()).ok()?;
    let columns = data.rowtype.iter().flatten();
    Some(columns.map(|c| crate::values::Column::new(&c.name, &c.kind, c.scale, c.precision)).collect())
}
