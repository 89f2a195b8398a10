//! The way to an account, looked at piece by piece, for a person who wonders where it breaks.
//!
//! Nothing here carries a credential, apart from [`credential`], which only makes one and sends it nowhere.

use std::net::SocketAddr;
use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::clock::seconds;
use reqwest::Url;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::auth::Authenticator;
use crate::config::{Credentials, SnowflakeConfig};
use crate::http::{Http, causes, clock_ahead, is_loopback};

/// Variables that send requests through a proxy.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"];

/// What answered to a request without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// How far this machine's clock is ahead of the service's, in seconds, if it told its time.
    pub clock_ahead: Option<i64>,
}

/// Why nothing answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// No connection, or no encrypted one.
    #[error("{0}")]
    NotConnected(String),
    /// Connected, and nothing more.
    #[error("{0}")]
    NoAnswer(String),
}

/// Whether requests are encrypted.
pub fn is_encrypted(config: &SnowflakeConfig) -> bool {
    config.base_url.scheme() == "https"
}

/// The variable that names the proxy which requests go through, if they do.
pub fn proxy(config: &SnowflakeConfig) -> Option<&'static str> {
    if is_loopback(&config.base_url) {
        return None;
    }
    PROXIES.into_iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// The host and port that requests go to.
pub fn host(config: &SnowflakeConfig) -> String {
    let (host, port) = host_and_port(&config.base_url);
    format!("{host}:{port}")
}

fn host_and_port(url: &Url) -> (&str, u16) {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    (host, url.port_or_known_default().unwrap_or(443))
}

/// The credential, read or made as a request would carry it.
pub async fn credential(config: &SnowflakeConfig) -> Result<(), BackendError> {
    if matches!(config.credentials, Credentials::Password(_)) {
        return Ok(());
    }
    Authenticator::new(config)?.token().await.map(drop)
}

/// The addresses behind the host's name.
pub async fn resolve(config: &SnowflakeConfig) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(config.deadlines.connect, lookup_host(host_and_port(&config.base_url))).await;
    match found {
        Ok(Ok(addresses)) => match addresses.collect::<Vec<_>>() {
            none if none.is_empty() => Err("the name has no address".to_owned()),
            addresses => Ok(addresses),
        },
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(no_answer_within(config.deadlines.connect)),
    }
}

/// The first address that takes a connection, or why the last one did not.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<SocketAddr, String> {
    let mut last = "there is no address".to_owned();
    for address in addresses {
        last = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(error)) => format!("{address}: {error}"),
            Err(_) => format!("{address}: {}", no_answer_within(limit)),
        };
    }
    Err(last)
}

/// Asks for the start page without credentials: any answer will do.
pub async fn greet(config: &SnowflakeConfig) -> Result<Greeting, Silence> {
    let http = Http::new(config).map_err(|error| Silence::NotConnected(error.to_string()))?;
    let request = http.client().get(config.base_url.clone()).send();
    match timeout(config.deadlines.request, request).await {
        Ok(Ok(answer)) => Ok(Greeting { clock_ahead: clock_ahead(answer.headers()) }),
        Ok(Err(error)) if error.is_connect() => Err(Silence::NotConnected(causes(&error.without_url()))),
        Ok(Err(error)) => Err(Silence::NoAnswer(causes(&error.without_url()))),
        Err(_) => Err(Silence::NoAnswer(no_answer_within(config.deadlines.request))),
    }
}

fn no_answer_within(limit: Duration) -> String {
    format!("no answer within {} s", seconds(limit))
}
