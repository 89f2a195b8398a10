//! How an answer leaves the house: whole, late, in pieces, or not at all.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use chrono::Utc;
use hyper::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::faults::{Fault, Misbehaviour};
use super::http::{Call, Reply};
use super::service::Service;
use super::{driver, sql_api};

/// The end of a connection without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Closed,
    Reset,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Delivers an answer; `reply` is none when the fault came before the effect.
pub(super) async fn deliver(
    service: &Service,
    call: &Call,
    fault: Option<Fault>,
    reply: Option<Reply>,
) -> Result<Response<Pieces>, Cut> {
    let mut reply = reply.unwrap_or_else(|| Reply::status(500, "no answer"));
    let Some(fault) = fault else { return Ok(response(reply, Pieces::whole)) };
    match fault.kind {
        Misbehaviour::Lost => return Err(Cut::Closed),
        Misbehaviour::Reset => return Err(Cut::Reset),
        Misbehaviour::HalfOpen => return std::future::pending().await,
        Misbehaviour::SlowHeaders { ms } => sleep(Duration::from_millis(ms)).await,
        Misbehaviour::SlowBody { ms } => {
            return Ok(response(reply, |body| Pieces::slow(&body, Duration::from_millis(ms))));
        }
        Misbehaviour::CutBody => {
            let length = reply.body.len().to_string();
            return Ok(response(reply.with("content-length", length), Pieces::cut));
        }
        Misbehaviour::HugeBody { bytes } => return Ok(response(reply, |_| Pieces::huge(bytes))),
        kind => reply = replace(service, call, kind, reply),
    }
    Ok(response(reply, Pieces::whole))
}

/// The faults that are another answer.
fn replace(service: &Service, call: &Call, kind: Misbehaviour, reply: Reply) -> Reply {
    match kind {
        Misbehaviour::Status { status, retry_after } => {
            let reply = Reply::status(status, "scripted");
            retry_after.into_iter().fold(reply, |reply, after| reply.with("retry-after", after.to_string()))
        }
        Misbehaviour::BusyStatus => sql_api::in_progress(handle_of(call), 429),
        Misbehaviour::Refused { status, code, message } => {
            Reply { status, ..driver::failure(&code, &message, serde_json::Value::Null) }
        }
        Misbehaviour::Code { code } => driver::failure(&code, "scripted", serde_json::Value::Null),
        Misbehaviour::TruncatedGzip => truncated_gzip(reply),
        Misbehaviour::Html { status } => {
            let body = b"<html><body><h1>Sign in to the network</h1></body></html>".to_vec();
            Reply { status, headers: vec![], body }.with("content-type", "text/html".to_owned())
        }
        Misbehaviour::Redirect { location } => Reply::status(307, "moved").with("location", location),
        Misbehaviour::NotJson => Reply { body: b"upstream connect error".to_vec(), ..plain(reply) },
        Misbehaviour::HalfJson => {
            let mut reply = plain(reply);
            reply.body.truncate(reply.body.len() / 2);
            reply
        }
        Misbehaviour::DuplicateHandle => duplicate_handle(service, reply),
        Misbehaviour::ClockSkew { seconds } => {
            let date = Utc::now() + chrono::TimeDelta::seconds(seconds);
            reply.with("date", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
        }
        Misbehaviour::ForeignChunks { base } => {
            let own = format!("{}/chunks", service.address);
            let text = String::from_utf8_lossy(&reply.body).replace(&own, &format!("{base}/chunks"));
            Reply { body: text.into_bytes(), ..reply }
        }
        _ => reply,
    }
}

/// Compresses what is not yet compressed, and keeps the first half.
fn truncated_gzip(reply: Reply) -> Reply {
    let compressed = reply.headers.iter().any(|(name, _)| *name == "content-encoding");
    let mut reply = if compressed { reply } else { reply.gzip() };
    reply.body.truncate(reply.body.len() / 2);
    reply
}

/// An answer that is not compressed, so that its text can be spoiled.
fn plain(mut reply: Reply) -> Reply {
    if reply.headers.iter().any(|(name, _)| *name == "content-encoding") {
        let mut decoder = flate2::write::GzDecoder::new(vec![]);
        std::io::Write::write_all(&mut decoder, &reply.body).ok();
        reply.body = decoder.finish().unwrap_or_default();
        reply.headers.retain(|(name, _)| *name != "content-encoding");
    }
    reply
}

fn handle_of(call: &Call) -> &str {
    call.path.iter().find(|part| part.len() == 36).map_or("", String::as_str)
}

/// Names the statement before this one, wherever this one is named.
fn duplicate_handle(service: &Service, reply: Reply) -> Reply {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let named = service.history.all().into_iter().map(|query| query.order.handle.clone());
    let Some(own) = named.into_iter().find(|handle| text.contains(handle)) else { return reply };
    let other = service.history.previous(&own).unwrap_or_else(|| own.clone());
    Reply { body: text.replace(&own, &other).into_bytes(), ..reply }
}

fn response(reply: Reply, body: impl FnOnce(Vec<u8>) -> Pieces) -> Response<Pieces> {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(body(reply.body)).unwrap_or_else(|_| Response::new(Pieces::whole(vec![])))
}

/// A body in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    pause: Option<(Duration, Pin<Box<Sleep>>)>,
    /// Ends in an error, which ends the connection.
    breaks: bool,
    length_is_told: bool,
}

impl Pieces {
    pub(super) fn whole(body: Vec<u8>) -> Self {
        let pieces = [Bytes::from(body)].into_iter().filter(|piece| !piece.is_empty()).collect();
        Self { pieces, pause: None, breaks: false, length_is_told: true }
    }

    fn slow(body: &[u8], pause: Duration) -> Self {
        let size = body.len().div_ceil(10).max(1);
        let pieces = body.chunks(size).map(Bytes::copy_from_slice).collect();
        Self { pieces, pause: Some((pause, Box::pin(sleep(pause)))), breaks: false, length_is_told: true }
    }

    fn cut(mut body: Vec<u8>) -> Self {
        body.truncate(body.len() / 2);
        // The pauses let the head and the half go out before the connection ends.
        Self { breaks: true, length_is_told: false, ..Self::slow(&body, Duration::from_millis(5)) }
    }

    /// A JSON string that goes on and on.
    fn huge(bytes: usize) -> Self {
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        let mut pieces = VecDeque::from([Bytes::from_static(b"{\"message\":\"")]);
        pieces.extend(std::iter::repeat_n(piece, bytes >> 16));
        pieces.push_back(Bytes::from_static(b"\"}"));
        Self { pieces, pause: None, breaks: false, length_is_told: false }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some((pause, timer)) = &mut self.pause {
            std::task::ready!(timer.as_mut().poll(context));
            *timer = Box::pin(sleep(*pause));
        }
        match self.pieces.pop_front() {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if self.breaks => Poll::Ready(Some(Err(Cut::Closed))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && !self.breaks
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        if self.length_is_told { SizeHint::with_exact(length) } else { SizeHint::default() }
    }
}
