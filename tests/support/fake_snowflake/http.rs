//! Requests as the endpoints see them, and their answers.

use std::collections::HashMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{HeaderMap, Method, Request};
use serde_json::Value;

/// No request is larger.
const MAX_REQUEST: usize = 64 << 20;

/// A request, read whole.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// The path's parts. Empty ones are left out, for clients that write two slashes.
    pub(super) path: Vec<String>,
    pub(super) uri: String,
    query: HashMap<String, String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Call {
    pub(super) async fn read(request: Request<Incoming>) -> Result<Self, String> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_REQUEST).collect().await.map_err(|error| error.to_string())?;
        let body = plain_body(&head.headers, &body.to_bytes())?;
        let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
        Ok(Self {
            path: head.uri.path().split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect(),
            query: query.into_owned().collect(),
            uri: head.uri.to_string(),
            method: head.method,
            headers: head.headers,
            body,
        })
    }

    /// A header; empty when it is not there.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A parameter of the query string.
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn plain_body(headers: &HeaderMap, body: &Bytes) -> Result<Vec<u8>, String> {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return Ok(body.to_vec());
    }
    let mut plain = vec![];
    let limit = MAX_REQUEST as u64;
    GzDecoder::new(body.as_ref()).take(limit).read_to_end(&mut plain).map_err(|error| error.to_string())?;
    Ok(plain)
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let reply = Self { status, headers: vec![], body: body.to_string().into_bytes() };
        reply.with("content-type", "application/json".to_owned())
    }

    /// A status with a short text in JSON, as a gateway says it.
    pub(super) fn status(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "message": message }))
    }

    #[must_use]
    pub(super) fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub(super) fn gzip(mut self) -> Self {
        self.body = gzip(&self.body);
        self.with("content-encoding", "gzip".to_owned())
    }
}

/// Bytes, compressed.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    // Memory does not fail to be written.
    encoder.write_all(bytes).ok();
    encoder.finish().unwrap_or_default()
}
