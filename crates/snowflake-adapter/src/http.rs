//! One HTTP request and its answer, with a deadline and a ceiling. Whoever calls decides about the next attempt.
//!
//! Redirects are not followed, because credentials travel with every request. URLs appear in no error and no log:
//! their query strings are nobody's business. The host does.

mod account;
mod body;
#[cfg(test)]
pub(crate) mod scripted;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, Url};
use tokio::time::{Instant, timeout_at};

pub(crate) use account::{Account, counter, gauge};
pub(crate) use body::Ceiling;

use crate::config::SnowflakeConfig;

const USER_AGENT: &str = concat!("async-query-mcp/", env!("CARGO_PKG_VERSION"));

/// The way to one account.
#[derive(Debug)]
pub(crate) struct Http {
    client: Client,
    base: Url,
    account: Arc<Account>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// From the root; made of constants and of handles whose form was checked.
    pub(crate) path: String,
    pub(crate) query: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: Option<Vec<u8>>,
    /// How large the body of a 200 may be.
    pub(crate) ceiling: Ceiling,
}

/// What was answered, whatever it was.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Empty when it is not JSON.
    pub(crate) body: Vec<u8>,
    /// The type of a body that is not JSON.
    pub(crate) foreign_type: Option<String>,
    pub(crate) retry_after: Option<Duration>,
    /// How far this machine's clock is ahead of the service's, in seconds.
    pub(crate) clock_ahead: Option<i64>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing reached the service.
    #[error("{0}")]
    NotSent(String),
    /// Nothing was sent, because the service has not answered for a while.
    #[error("{0}")]
    Paused(String),
    /// There was no token to send.
    #[error("{0}")]
    NoToken(BackendError),
    /// It may have been received.
    #[error("{0}")]
    NoAnswer(String),
    /// An answer that cannot be used and would be no better the next time.
    #[error("{0}")]
    Unusable(String),
    /// Sent elsewhere, so nothing was done here.
    #[error("{0}")]
    Redirected(String),
}

impl From<Failure> for BackendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(text) | Failure::Paused(text) | Failure::NoAnswer(text) => {
                Self::new(ErrorKind::Unavailable, text)
            }
            Failure::NoToken(error) => error,
            Failure::Unusable(text) => Self::new(ErrorKind::Protocol, text),
            Failure::Redirected(text) => Self::new(ErrorKind::Configuration, text),
        }
    }
}

impl Http {
    /// Builds the client. Nothing is connected yet.
    pub(crate) fn new(config: &SnowflakeConfig) -> Result<Self, BackendError> {
        let mut builder = Client::builder();
        if is_loopback(&config.base_url) {
            builder = builder.no_proxy();
        }
        let client = builder
            .user_agent(USER_AGENT)
            .connect_timeout(config.deadlines.connect)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(config.base_url.scheme() == "https")
            .build()
            .map_err(|error| {
                let text = format!(
                    "no HTTP client can be built ({}); check the system's certificates",
                    causes(&error)
                );
                BackendError::new(ErrorKind::Configuration, text)
            })?;
        let account = Account::of(&config.base_url);
        Ok(Self { client, base: config.base_url.clone(), account })
    }

    /// The client itself, for a protocol that makes its requests in other ways.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What all connections to this account share.
    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The host, and the port where it is not the usual one.
    pub(crate) fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or("an unknown host");
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// Whether a request would be sent now.
    pub(crate) fn ready(&self) -> Result<(), Failure> {
        self.account.breaker.pause().map_or(Ok(()), |pause| Err(self.paused(pause)))
    }

    /// Sends one request and reads its answer, all before `deadline`.
    pub(crate) async fn send(
        &self,
        request: &Request,
        headers: HeaderMap,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let pass = self.account.breaker.enter().map_err(|pause| self.paused(pause))?;
        let started = Instant::now();
        let answer = match timeout_at(deadline, self.exchange(request, headers)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.too_late(started)),
        };
        match &answer {
            Err(Failure::NotSent(why) | Failure::NoAnswer(why)) => {
                self.account.was_silent(why);
                pass.failed();
            }
            // A gateway that speaks for a service it does not reach.
            Ok(answer) if matches!(answer.status, 502..=504 | 522) => pass.failed(),
            _ => pass.answered(),
        }
        let outcome = answer.as_ref().map(|answer| answer.status);
        tracing::debug!(method = %request.method, path = request.path, took = ?started.elapsed(), ?outcome, "called");
        answer
    }

    async fn exchange(&self, request: &Request, headers: HeaderMap) -> Result<Answer, Failure> {
        let mut url = self.base.clone();
        url.set_path(&request.path);
        let mut call = self.client.request(request.method.clone(), url).query(&request.query);
        if !headers.contains_key(ACCEPT) {
            call = call.header(ACCEPT, "application/json");
        }
        call = call.headers(headers);
        call = match &request.body {
            Some(body) => call.body(body.clone()),
            // There are proxies that let no other request without a body pass.
            None if request.method == Method::POST => call.header(CONTENT_LENGTH, "0"),
            None => call,
        };
        let response = call.send().await.map_err(|error| self.broken(error))?;
        if response.status().is_redirection() {
            return Err(self.redirected(response.headers()));
        }
        self.read(response, request.ceiling).await
    }

    async fn read(&self, mut response: Response, ceiling: Ceiling) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let headers = response.headers();
        let mut answer = Answer {
            status,
            body: Vec::new(),
            foreign_type: foreign_type(headers),
            retry_after: seconds(headers.get(RETRY_AFTER)),
            clock_ahead: clock_ahead(headers),
        };
        // An error page says no more than its status.
        if answer.foreign_type.is_some() {
            return Ok(answer);
        }
        let ceiling = if status == 200 { ceiling } else { Ceiling::SMALL };
        answer.body = body::read(&mut response, ceiling).await.map_err(|error| match error {
            body::ReadError::Broken(error) => self.broken(error),
            body::ReadError::TooLarge(limit) => self.too_large(limit),
        })?;
        Ok(answer)
    }

    // ---- what to say

    fn paused(&self, pause: Duration) -> Failure {
        Failure::Paused(self.account.pause_in_words(&self.host(), pause))
    }

    fn too_late(&self, started: Instant) -> Failure {
        let (host, seconds) = (self.host(), started.elapsed().as_secs());
        Failure::NoAnswer(format!("{host} gave no answer within {seconds} s"))
    }

    fn broken(&self, error: reqwest::Error) -> Failure {
        let (host, is_connect) = (self.host(), error.is_connect());
        let causes = causes(&error.without_url());
        match is_connect {
            true => Failure::NotSent(format!(
                "cannot connect to {host} ({causes}); check the account's name, the network and the proxy"
            )),
            false => Failure::NoAnswer(format!("the connection to {host} broke ({causes})")),
        }
    }

    fn too_large(&self, limit: usize) -> Failure {
        let host = self.host();
        Failure::Unusable(format!(
            "{host} sent more than the {limit} bytes that an answer of this kind may have"
        ))
    }

    fn redirected(&self, headers: &HeaderMap) -> Failure {
        let target = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = target.and_then(|target| self.base.join(target).ok());
        let target = target.as_ref().and_then(|url| url.host_str()).unwrap_or("another place").to_owned();
        Failure::Redirected(format!(
            "{} redirects to {target}, and credentials are not sent after a redirect; check the account or host of \
             the connection, and whether a proxy asks for a sign-in",
            self.host()
        ))
    }
}

/// An `Authorization` header that is never printed.
pub(crate) fn authorization(value: &str) -> Result<(HeaderName, HeaderValue), BackendError> {
    let mut header = HeaderValue::from_str(value).map_err(|_| {
        let text =
            "the credential has characters that it cannot have; check that its file holds nothing else";
        BackendError::new(ErrorKind::Configuration, text)
    })?;
    header.set_sensitive(true);
    Ok((reqwest::header::AUTHORIZATION, header))
}

/// This machine is not reached through a proxy.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The type of a body that does not claim to be JSON.
fn foreign_type(headers: &HeaderMap) -> Option<String> {
    let kind = headers.get(CONTENT_TYPE)?.to_str().unwrap_or("an unreadable type");
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (!kind.contains("json")).then_some(kind)
}

fn seconds(value: Option<&HeaderValue>) -> Option<Duration> {
    value?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

pub(crate) fn clock_ahead(headers: &HeaderMap) -> Option<i64> {
    let date = DateTime::parse_from_rfc2822(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some((DateTime::<Utc>::from(SystemTime::now()) - date.with_timezone(&Utc)).num_seconds())
}

/// An error with everything behind it, on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some layers repeat the words of the next one.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
