//! What the transport crate cannot be told: where its requests go, and which answers are fit to be read.

use std::time::Duration;

use ::http::Extensions;
use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Request, Response, StatusCode, Url};
use reqwest_middleware::{Middleware, Next, Result};

use super::error::CallError;
use crate::wire::driver::Envelope;

/// No answer of this protocol is larger: rows beyond it come in chunks of their own.
const MAX_ROWS: usize = 256 << 20;
/// For everything that carries no rows.
const MAX_CONTROL: usize = 16 << 20;

/// Sends every request to the configured address and lets only whole answers in JSON through.
#[derive(Debug)]
pub(super) struct ToBase {
    pub(super) base: Url,
}

#[async_trait]
impl Middleware for ToBase {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let moved = redirected(request.url(), &self.base);
        *request.url_mut() = moved;
        if let Some(token) = request.headers_mut().get_mut(AUTHORIZATION) {
            token.set_sensitive(true);
        }
        let most = most_bytes(request.url().path());
        let answer = next.run(request, extensions).await?;
        checked(answer, most).await.map_err(reqwest_middleware::Error::middleware)
    }
}

/// The same request at the configured address. The crate makes up a request id and a start time of its own, which
/// ours follow in the query: the last one counts.
fn redirected(url: &Url, base: &Url) -> Url {
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in url.query_pairs() {
        match parameters.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value.into_owned(),
            None => parameters.push((name.into_owned(), value.into_owned())),
        }
    }
    let mut moved = base.clone();
    // The crate asks for `//session/token-request`.
    moved.set_path(&format!("/{}", url.path().trim_start_matches('/')));
    moved.set_query(None);
    if !parameters.is_empty() {
        moved.query_pairs_mut().extend_pairs(parameters);
    }
    moved
}

/// How large the answer to a request may be.
fn most_bytes(path: &str) -> usize {
    let may_have_rows = path.ends_with("/query-request") || path.ends_with("/result");
    if may_have_rows { MAX_ROWS } else { MAX_CONTROL }
}

async fn checked(mut answer: Response, most: usize) -> std::result::Result<Response, CallError> {
    let status = answer.status();
    let retry_after = retry_after(&answer);
    if let Some(host) = elsewhere(&answer) {
        let message = format!(
            "a redirect to {host}, which is not followed because that host was not configured; check account and host"
        );
        return Err(CallError::Status { status: status.as_u16(), code: None, message, retry_after });
    }
    let is_page = is_page(&answer);
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| CallError::from_reqwest(&error))? {
        if body.len() + piece.len() > most {
            return Err(CallError::Protocol(format!("Snowflake's answer is larger than {} MiB", most >> 20)));
        }
        body.extend_from_slice(&piece);
        // Not read to its end, which may be far.
        if status.is_success() && !body.trim_ascii_start().is_empty() && !is_object(&body) {
            return Err(no_json());
        }
    }
    if !status.is_success() {
        return Err(refused(status, retry_after, &body));
    }
    if is_page || !is_object(&body) {
        return Err(no_json());
    }
    Ok(Response::from(::http::Response::new(body)))
}

/// The host that a redirect leads to; the rest of its address may be a secret.
fn elsewhere(answer: &Response) -> Option<String> {
    let place = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    let url = place.to_str().ok().and_then(|place| answer.url().join(place).ok());
    Some(url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| "nowhere".to_owned()))
}

fn is_object(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"{")
}

fn no_json() -> CallError {
    let text = "the address answered with something other than JSON; check account and host, and whether a proxy \
                stands between";
    CallError::Protocol(text.to_owned())
}

fn is_page(answer: &Response) -> bool {
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("text/html")
}

/// A refusal may carry the usual envelope.
fn refused(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> CallError {
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    let (code, message) = envelope.map(|envelope| (envelope.code, envelope.message)).unwrap_or_default();
    CallError::Status { status: status.as_u16(), code, message: message.unwrap_or_default(), retry_after }
}

fn retry_after(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(url: &str) -> String {
        let base = Url::parse("http://127.0.0.1:8080").unwrap();
        redirected(&Url::parse(url).unwrap(), &base).to_string()
    }

    #[test]
    fn a_request_goes_to_the_configured_scheme_host_and_port() {
        assert_eq!(moved("https://x.snowflakecomputing.com/session"), "http://127.0.0.1:8080/session");
    }

    #[test]
    fn our_request_id_takes_the_place_of_the_crates_own() {
        let url =
            "https://x.snowflakecomputing.com/q?clientStartTime=12&requestId=a&request_guid=g&requestId=b";
        assert_eq!(moved(url), "http://127.0.0.1:8080/q?clientStartTime=12&requestId=b&request_guid=g");
    }

    #[test]
    fn only_answers_that_may_have_rows_may_be_large() {
        for path in ["/queries/v1/query-request", "/queries/01b2/result"] {
            assert_eq!(most_bytes(path), MAX_ROWS, "{path}");
        }
        for path in ["/session/v1/login-request", "/monitoring/queries/01b2", "/queries/01b2/abort-request"] {
            assert_eq!(most_bytes(path), MAX_CONTROL, "{path}");
        }
    }

    #[test]
    fn the_double_slash_of_a_renewal_is_mended() {
        let url = "https://x.snowflakecomputing.com//session/token-request?requestId=a";
        assert_eq!(moved(url), "http://127.0.0.1:8080/session/token-request?requestId=a");
    }
}
