//! One HTTP client and the requests it can make.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use registry_core::backend::BackendError;
use registry_core::metrics::EngineMetric;
use reqwest::Url;
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use snowflake_api::connection::{Connection, ConnectionError, QueryType};
use uuid::Uuid;

use super::error::CallError;
use super::middleware::ToBase;
use crate::config::{Deadlines, SnowflakeConfig};
use crate::http::Http;
use crate::retry::{Bucket, RetryPolicy};
use crate::secret::without;
use crate::wire::driver::{Empty, Envelope, LoginRequest, QueryRequest, RenewRequest};

/// The crate builds a host name from it, which the middleware replaces.
const PLACEHOLDER: &str = "account";

/// Reaches one account.
pub(super) struct Transport {
    connection: Connection,
    client: ClientWithMiddleware,
    http: Http,
    base: Url,
    deadlines: Deadlines,
    policy: RetryPolicy,
}

/// What marks one request: the same id at every repeat, and how often it was repeated why.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    id: String,
    started: String,
    repeats: u32,
    reason: u16,
}

impl Mark {
    pub(super) fn new() -> Self {
        Self::with_id(Uuid::new_v4().to_string())
    }

    pub(super) fn with_id(id: String) -> Self {
        Self { id, started: now_millis().to_string(), repeats: 0, reason: 0 }
    }

    /// The mark after so many more repeats.
    pub(super) fn at(&self, repeats: u32, reason: u16) -> Self {
        Self { repeats: self.repeats + repeats, reason, ..self.clone() }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = vec![("requestId", self.id.clone()), ("clientStartTime", self.started.clone())];
        if self.repeats > 0 {
            parameters.push(("retryCount", self.repeats.to_string()));
            parameters.push(("retryReason", self.reason.to_string()));
        }
        parameters
    }
}

/// A request that a session makes.
#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Submit(&'a QueryRequest<'a>),
    Status(&'a str),
    /// Held open by the server until there is news.
    Result(&'a str),
    Abort(&'a str),
    Heartbeat,
    Logout,
}

impl Transport {
    pub(super) fn new(config: &SnowflakeConfig, policy: RetryPolicy) -> Result<Self, BackendError> {
        let http = Http::new(config)?;
        let to_base = ToBase { base: config.base_url.clone() };
        let client = ClientBuilder::new(http.client().clone()).with(to_base).build();
        Ok(Self {
            connection: Connection::new_with_middware(client.clone()),
            client,
            http,
            base: config.base_url.clone(),
            deadlines: config.deadlines,
            policy,
        })
    }

    /// What can be told of the way to the account.
    pub(super) fn metrics(&self) -> Vec<EngineMetric> {
        self.http.account().metrics()
    }

    pub(super) fn retries(&self) -> (&RetryPolicy, &Bucket) {
        (&self.policy, &self.http.account().bucket)
    }

    /// For chunks, which are elsewhere and take no credentials.
    pub(super) fn plain(&self) -> &reqwest::Client {
        self.http.client()
    }

    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    pub(super) async fn login(
        &self,
        context: &[(&'static str, String)],
        mark: &Mark,
        body: &LoginRequest<'_>,
    ) -> Result<Envelope, CallError> {
        let mut parameters = mark.parameters();
        // The drivers spell it this way here.
        parameters.push(("request_id", mark.id.clone()));
        parameters.extend_from_slice(context);
        self.post(QueryType::LoginRequest, &parameters, None, body).await
    }

    pub(super) async fn renew(
        &self,
        master: &SecretString,
        mark: &Mark,
        body: &RenewRequest<'_>,
    ) -> Result<Envelope, CallError> {
        let answer = self.post(QueryType::TokenRequest, &mark.parameters(), Some(master), body).await;
        without_secret(answer, master)
    }

    pub(super) async fn call(
        &self,
        call: Call<'_>,
        mark: &Mark,
        token: &SecretString,
    ) -> Result<Envelope, CallError> {
        without_secret(self.called(call, mark, token).await, token)
    }

    async fn called(&self, call: Call<'_>, mark: &Mark, token: &SecretString) -> Result<Envelope, CallError> {
        match call {
            Call::Submit(body) => {
                self.post(QueryType::ArrowQuery, &mark.parameters(), Some(token), body).await
            }
            Call::Logout => {
                let mut parameters = mark.parameters();
                parameters.push(("delete", "true".to_owned()));
                self.post(QueryType::CloseSession, &parameters, Some(token), &Empty {}).await
            }
            Call::Status(id) => {
                self.get(&format!("monitoring/queries/{id}"), mark, token, self.deadlines.request).await
            }
            Call::Result(id) => {
                self.get(&format!("queries/{id}/result"), mark, token, self.deadlines.long_poll).await
            }
            Call::Abort(id) => self.post_beside(&format!("queries/{id}/abort-request"), mark, token).await,
            Call::Heartbeat => self.post_beside("session/heartbeat", mark, token).await,
        }
    }

    async fn post<B: Serialize + Sync>(
        &self,
        kind: QueryType,
        parameters: &[(&'static str, String)],
        token: Option<&SecretString>,
        body: &B,
    ) -> Result<Envelope, CallError> {
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let authorization = token.map(authorization);
        let request = self.connection.request(kind, PLACEHOLDER, &parameters, authorization.as_deref(), body);
        self.within(self.deadlines.request, async { request.await.map_err(from_connection) }).await
    }

    async fn get(
        &self,
        path: &str,
        mark: &Mark,
        token: &SecretString,
        limit: Duration,
    ) -> Result<Envelope, CallError> {
        let url = self.address(path, mark)?;
        let headers = HashMap::from([
            ("authorization".to_owned(), authorization(token)),
            ("accept".to_owned(), "application/json".to_owned()),
        ]);
        let request = self.connection.get_chunk(url.as_str(), &headers);
        let body = self.within(limit, async { request.await.map_err(from_connection) }).await?;
        serde_json::from_slice(&body).map_err(|error| unreadable(&error))
    }

    /// A request that the crate has no word for, over the same client.
    async fn post_beside(
        &self,
        path: &str,
        mark: &Mark,
        token: &SecretString,
    ) -> Result<Envelope, CallError> {
        let request = self
            .client
            .post(self.address(path, mark)?)
            .header("authorization", authorization(token))
            .header("accept", "application/json")
            .json(&Empty {})
            .send();
        self.within(self.deadlines.request, async {
            let answer = request.await.map_err(CallError::from_middleware)?;
            let body = answer.bytes().await.map_err(|error| CallError::from_reqwest(&error))?;
            serde_json::from_slice(&body).map_err(|error| unreadable(&error))
        })
        .await
    }

    /// An answer within its time, unless the service is known not to answer.
    async fn within<T>(
        &self,
        limit: Duration,
        answer: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let pass = self.http.account().breaker.enter().map_err(|pause| {
            CallError::NotSent(self.http.account().pause_in_words(&self.http.host(), pause))
        })?;
        let late = || CallError::NoAnswer(format!("none within {} s", limit.as_secs()));
        let answer = tokio::time::timeout(limit, answer).await.unwrap_or_else(|_| Err(late()));
        let answer = answer.map_err(|error| self.located(error));
        match &answer {
            Err(CallError::NotSent(why) | CallError::NoAnswer(why)) => {
                self.http.account().was_silent(why);
                pass.failed();
            }
            _ => pass.answered(),
        }
        answer
    }

    /// Where nobody was reached, and what to check.
    fn located(&self, error: CallError) -> CallError {
        let host = self.http.host();
        match error {
            CallError::NotSent(words) => CallError::NotSent(format!(
                "{host} ({words}); check the account's name, the network and the proxy"
            )),
            CallError::NoAnswer(words) => CallError::NoAnswer(format!("from {host}: {words}")),
            other => other,
        }
    }

    fn address(&self, path: &str, mark: &Mark) -> Result<Url, CallError> {
        let mut url = self.base.join(path).map_err(|error| CallError::Protocol(error.to_string()))?;
        url.query_pairs_mut()
            .extend_pairs(mark.parameters())
            .append_pair("request_guid", &Uuid::new_v4().to_string());
        Ok(url)
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

/// Milliseconds since 1970, as the protocol counts time.
pub(super) fn now_millis() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

/// A service may quote what it was sent.
pub(super) fn without_secret(
    answer: Result<Envelope, CallError>,
    secret: &SecretString,
) -> Result<Envelope, CallError> {
    match answer {
        Ok(envelope) => {
            let message = envelope.message.map(|text| without(text, secret));
            Ok(Envelope { message, ..envelope })
        }
        Err(CallError::Status { status, code, message, retry_after }) => {
            Err(CallError::Status { status, code, message: without(message, secret), retry_after })
        }
        Err(other) => Err(other),
    }
}

fn authorization(token: &SecretString) -> String {
    format!("Snowflake Token=\"{}\"", token.expose_secret())
}

fn from_connection(error: ConnectionError) -> CallError {
    match error {
        ConnectionError::RequestMiddlewareError(error) => CallError::from_middleware(error),
        ConnectionError::RequestError(error) if error.is_decode() => unreadable(&error),
        ConnectionError::RequestError(error) => CallError::from_reqwest(&error),
        ConnectionError::Deserialization(error) => unreadable(&error),
        ConnectionError::UrlParsing(_) | ConnectionError::InvalidHeader(_) => {
            CallError::Protocol("a request could not be built from the configuration".to_owned())
        }
    }
}

/// The parser's own words may quote the answer, so they are left out.
fn unreadable<E>(_: &E) -> CallError {
    CallError::Protocol("Snowflake's answer is not of the known form".to_owned())
}
