//! The parts of a large result, fetched a few ahead and handed over in order.
//!
//! They lie in cloud storage. Their addresses are secrets that stand for themselves: they take no token of ours, are
//! never told, and lead only where a browser would be safe to go.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Read;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use registry_core::backend::{BackendError, FetchError};
use registry_core::error::ErrorKind;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::error::CallError;
use super::statement::lost_rows;
use super::transport::Transport;
use crate::http::is_loopback;
use crate::retry::{Judgement, Verdict, repeat};
use crate::wire::driver::ChunkInfo;

/// So many are fetched while one is stored.
const AHEAD: usize = 3;
/// And no more than these bytes, but one in any case.
const BYTES_AHEAD: u64 = 48 << 20;
/// No chunk is larger; it would not fit into memory with the others.
const MAX_CHUNK: usize = 512 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Arrow,
}

/// Rows that came together.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) format: Format,
    /// A JSON array of rows, or a stream of batches; empty when there are none.
    pub(super) rows: Vec<u8>,
}

/// Why a chunk did not come.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub(super) struct ChunkError {
    error: CallError,
}

impl ChunkError {
    /// Its address has run out, perhaps.
    pub(super) fn is_expired(&self) -> bool {
        matches!(self.error, CallError::Status { status: 403, .. })
    }
}

impl From<ChunkError> for FetchError {
    fn from(error: ChunkError) -> Self {
        match error.error {
            CallError::Status { status: 403, .. } => Self::Final(lost_rows(
                "the storage refuses a part of the result; check whether a proxy or firewall stands between",
            )),
            CallError::Protocol(words) => Self::Final(lost_rows(words)),
            other => Self::Retry(BackendError::new(
                ErrorKind::Unavailable,
                format!("a part of the result: {other}"),
            )),
        }
    }
}

/// The chunks of one result.
pub(super) struct Chunks {
    source: Arc<Source>,
    infos: Vec<(Url, u64)>,
    /// The next one to start.
    next: usize,
    coming: VecDeque<(u64, Coming)>,
}

/// A chunk that is being fetched.
type Coming = AbortOnDropHandle<Result<Vec<u8>, CallError>>;

/// How chunks are fetched.
#[derive(Debug)]
struct Source {
    transport: Arc<Transport>,
    format: Format,
    headers: HeaderMap,
}

impl Chunks {
    pub(super) fn new(
        transport: &Arc<Transport>,
        format: Format,
        infos: Vec<ChunkInfo>,
        headers: Option<HashMap<String, String>>,
        key: Option<String>,
    ) -> Result<Self, FetchError> {
        let headers = headers_of(headers, key)?;
        let infos =
            infos.into_iter().map(|info| address(&info, transport.base())).collect::<Result<_, _>>()?;
        let source = Arc::new(Source { transport: Arc::clone(transport), format, headers });
        Ok(Self { source, infos, next: 0, coming: VecDeque::new() })
    }

    /// The next one in order; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Parcel>, ChunkError> {
        self.start_some();
        let Some((_, task)) = self.coming.front_mut() else { return Ok(None) };
        let fetched = match task.await {
            Ok(fetched) => fetched,
            Err(fault) => Err(CallError::Protocol(fault.to_string())),
        };
        match fetched {
            Ok(rows) => {
                self.coming.pop_front();
                self.start_some();
                Ok(Some(Parcel { format: self.source.format, rows }))
            }
            Err(error) => {
                // This one and those behind it start anew, should somebody try again.
                self.next -= self.coming.len();
                self.coming.clear();
                Err(ChunkError { error })
            }
        }
    }

    /// Goes on with new addresses for the same chunks.
    pub(super) fn renew(&mut self, fresh: Self) -> Result<(), FetchError> {
        if fresh.infos.len() != self.infos.len() {
            return Err(FetchError::Final(lost_rows("Snowflake cut the result differently than before")));
        }
        let next = self.next;
        *self = Self { next, ..fresh };
        Ok(())
    }

    fn start_some(&mut self) {
        while let Some((url, size)) = self.infos.get(self.next) {
            let bytes: u64 = self.coming.iter().map(|(size, _)| size).sum();
            let is_room = self.coming.len() < AHEAD && bytes.saturating_add(*size) <= BYTES_AHEAD;
            if !self.coming.is_empty() && !is_room {
                return;
            }
            let task = fetch(Arc::clone(&self.source), url.clone());
            self.coming.push_back((*size, AbortOnDropHandle::new(tokio::spawn(task.in_current_span()))));
            self.next += 1;
        }
    }
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("count", &self.infos.len())
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// Over https; plain only where the service itself is on this machine.
pub(super) fn address(info: &ChunkInfo, base: &Url) -> Result<(Url, u64), FetchError> {
    let url = Url::parse(&info.url)
        .map_err(|_| FetchError::Final(lost_rows("a part of the result has no address")))?;
    let is_plain_base = base.scheme() == "http";
    if url.scheme() == "https" || (is_plain_base && url.scheme() == "http" && is_loopback(&url)) {
        return Ok((url, info.uncompressed_size));
    }
    Err(FetchError::Final(lost_rows("a part of the result is not at a https address and was not fetched")))
}

/// The headers that the answer names, even none, or else those that a key stands for.
pub(super) fn headers_of(
    headers: Option<HashMap<String, String>>,
    key: Option<String>,
) -> Result<HeaderMap, FetchError> {
    let named: Vec<(String, String)> = match (headers, key) {
        (Some(headers), _) => headers.into_iter().collect(),
        (None, Some(key)) => vec![
            ("x-amz-server-side-encryption-customer-algorithm".to_owned(), "AES256".to_owned()),
            ("x-amz-server-side-encryption-customer-key".to_owned(), key),
        ],
        (None, None) => Vec::new(),
    };
    let mut map = HeaderMap::new();
    for (name, value) in named {
        let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let Some((name, mut value)) = pair else {
            return Err(FetchError::Final(lost_rows(
                "the result's parts ask for a header that cannot be sent",
            )));
        };
        value.set_sensitive(true);
        map.insert(name, value);
    }
    Ok(map)
}

async fn fetch(source: Arc<Source>, url: Url) -> Result<Vec<u8>, CallError> {
    let limit = source.transport.deadlines().request;
    let (policy, bucket) = source.transport.retries();
    let attempt = |_| async {
        match tokio::time::timeout(limit, source.fetch_once(&url)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(CallError::NoAnswer(format!("none within {} s", limit.as_secs()))),
        }
    };
    let judge = |fetched: &Result<Vec<u8>, CallError>| {
        let verdict = match fetched {
            Err(CallError::Status { status: 429, .. }) => Verdict::Throttled,
            Err(error) if error.is_transient() => Verdict::Transient,
            _ => Verdict::Done,
        };
        Judgement { verdict, retry_after: fetched.as_ref().err().and_then(CallError::retry_after) }
    };
    repeat(policy, bucket, Instant::now() + 3 * limit, attempt, judge).await
}

impl Source {
    async fn fetch_once(&self, url: &Url) -> Result<Vec<u8>, CallError> {
        let request = self.transport.plain().get(url.clone()).headers(self.headers.clone());
        let mut answer = request.send().await.map_err(|error| CallError::from_reqwest(&error))?;
        let status = answer.status();
        if !status.is_success() {
            let message = "from the storage that keeps the result".to_owned();
            return Err(CallError::Status {
                status: status.as_u16(),
                code: None,
                message,
                retry_after: None,
            });
        }
        // Chunks of rows in JSON lack their outer brackets.
        let mut body = if self.format == Format::Json { vec![b'['] } else { Vec::new() };
        let prefix = body.len();
        while let Some(piece) = answer.chunk().await.map_err(|error| CallError::from_reqwest(&error))? {
            if body.len() + piece.len() > MAX_CHUNK {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        if body[prefix..].starts_with(&[0x1f, 0x8b]) {
            body = unpacked(body, prefix).await?;
        }
        if self.format == Format::Json {
            body.push(b']');
        }
        Ok(body)
    }
}

/// Compressed, although the header does not say so.
async fn unpacked(body: Vec<u8>, prefix: usize) -> Result<Vec<u8>, CallError> {
    let work = move || {
        let mut out = body[..prefix].to_vec();
        let limit = MAX_CHUNK as u64 + 1;
        let read = MultiGzDecoder::new(&body[prefix..]).take(limit).read_to_end(&mut out);
        read.map(|_| out).map_err(|error| CallError::NoAnswer(error.to_string()))
    };
    let out =
        tokio::task::spawn_blocking(work).await.map_err(|fault| CallError::Protocol(fault.to_string()))??;
    if out.len() > MAX_CHUNK { Err(too_large()) } else { Ok(out) }
}

fn too_large() -> CallError {
    CallError::Protocol(format!("a part of the result is larger than {} MiB", MAX_CHUNK >> 20))
}
