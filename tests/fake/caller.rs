//! A client that sends what it is told and hides nothing of the answer.

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::options::Options;

/// No answer takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A service with one client.
pub(crate) struct World {
    pub(crate) fake: FakeSnowflake,
    pub(crate) client: Client,
}

/// A session of the driver protocol.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) master: String,
}

pub(crate) async fn world() -> World {
    world_with(|_| {}).await
}

pub(crate) async fn world_with(change: impl FnOnce(&mut Options)) -> World {
    let mut options = Options::default();
    change(&mut options);
    let fake = FakeSnowflake::start(options).await.unwrap();
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("tests/0")
        .build()
        .unwrap();
    World { fake, client }
}

/// Status and body; a body that is no JSON is a string.
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status.as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

impl World {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.fake.address)
    }

    /// A request of the SQL API.
    pub(crate) fn api(&self, method: &str, path: &str) -> RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), self.url(path)).bearer_auth("token");
        request.header("content-type", "application/json")
    }

    pub(crate) async fn api_submit(&self, query: &str, body: Value) -> (u16, Value) {
        answer(self.api("POST", &format!("/api/v2/statements?{query}")).json(&body)).await
    }

    /// Submits without waiting; returns the handle.
    pub(crate) async fn api_start(&self, sql: &str) -> String {
        let (status, body) = self.api_submit("async=true", json!({ "statement": sql })).await;
        assert_eq!(status, 202, "{body}");
        body["statementHandle"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn api_check(&self, handle: &str, query: &str) -> (u16, Value) {
        answer(self.api("GET", &format!("/api/v2/statements/{handle}?{query}"))).await
    }

    /// Checks until the statement is over.
    pub(crate) async fn api_end(&self, handle: &str) -> (u16, Value) {
        let end = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.api_check(handle, "").await;
            if status != 202 {
                return (status, body);
            }
            assert!(Instant::now() < end, "{body}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn login(&self, data: Value) -> Value {
        let mut whole = json!({ "LOGIN_NAME": "u", "PASSWORD": "p", "SESSION_PARAMETERS": {} });
        for (name, value) in data.as_object().unwrap() {
            whole[name] = value.clone();
        }
        let request = self.client.post(self.url("/session/v1/login-request?request_id=r"));
        let (status, body) = answer(request.json(&json!({ "data": whole }))).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub(crate) async fn session(&self, data: Value) -> Session {
        let body = self.login(data).await;
        let text = |name: &str| body["data"][name].as_str().unwrap().to_owned();
        Session { token: text("token"), master: text("masterToken") }
    }

    /// A call of the driver protocol.
    pub(crate) async fn call(&self, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
        let request = self.client.request(method.parse().unwrap(), self.url(path));
        let request = request.header("Authorization", format!("Snowflake Token=\"{token}\""));
        answer(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub(crate) async fn query(&self, session: &Session, request_id: &str, body: Value) -> Value {
        let path = format!("/queries/v1/query-request?requestId={request_id}");
        let (status, body) = self.call(&session.token, "POST", &path, body).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    /// Submits without waiting; returns the query id.
    pub(crate) async fn start(&self, session: &Session, request_id: &str, sql: &str) -> String {
        let body = self.query(session, request_id, json!({ "sqlText": sql, "asyncExec": true })).await;
        assert_eq!((&body["code"], &body["success"]), (&json!("333334"), &json!(true)), "{body}");
        body["data"]["queryId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn check(&self, session: &Session, id: &str) -> Value {
        let (_, body) =
            self.call(&session.token, "GET", &format!("/monitoring/queries/{id}"), Value::Null).await;
        body["data"]["queries"][0].clone()
    }

    /// Checks until the statement has a status.
    pub(crate) async fn until(&self, session: &Session, id: &str, wanted: &str) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let found = self.check(session, id).await;
            if found["status"] == wanted {
                return found;
            }
            assert!(Instant::now() < end, "{found} is not {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) async fn result(&self, session: &Session, id: &str) -> Value {
        self.call(&session.token, "GET", &format!("/queries/{id}/result"), Value::Null).await.1
    }
}
