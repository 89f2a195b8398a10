//! The client's messages, one a line. A line that cannot be read is answered, because whoever sent it waits; the
//! protocol's library drops it without a word.

mod call_id;

use std::future::Future;
use std::io;
use std::pin::Pin;

use rmcp::ErrorData;
use rmcp::model::RequestId;
use rmcp::service::{RoleServer, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde::de::IgnoredAny;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader, Empty};

use call_id::CallId;

/// The longest message; more is not kept.
const LONGEST: usize = 16 << 20;
/// What the buffer keeps between messages.
const KEPT: usize = 64 << 10;
/// Programs on Windows may begin a text with it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

type Message = RxJsonRpcMessage<RoleServer>;
type Sending = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// Messages over a pair of pipes.
pub(crate) struct LineTransport<R, W: AsyncWrite> {
    input: BufReader<R>,
    line: Line,
    output: AsyncRwTransport<RoleServer, Empty, W>,
    /// An answer of ours on its way. It is kept here because the wait for a message may be given up and taken up again.
    sending: Option<Sending>,
}

/// What has arrived of a line.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// The line is too long, and only this is kept of it.
    beyond: Option<CallId>,
}

/// What a whole line was.
#[derive(Debug)]
enum Read {
    Message(Box<Message>),
    /// Nothing that anybody waits for an answer to.
    Nothing,
    /// The answer to a line that cannot be read, and whose it is.
    Refused(ErrorData, Option<RequestId>),
}

impl<R, W> LineTransport<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// Messages that come from `reader` and go to `writer`.
    pub(crate) fn new(reader: R, writer: W) -> Self {
        let output = AsyncRwTransport::new_server(tokio::io::empty(), writer);
        Self { input: BufReader::new(reader), line: Line::default(), output, sending: None }
    }

    /// The next whole line; `None` at the end of the input. What has arrived stays when the wait is given up.
    async fn next(&mut self) -> io::Result<Option<Read>> {
        loop {
            let arrived = self.input.fill_buf().await?;
            if arrived.is_empty() {
                return Ok(None);
            }
            let end = arrived.iter().position(|byte| *byte == b'\n');
            let (piece, taken) = match end {
                Some(end) => (arrived.get(..end).unwrap_or_default(), end + 1),
                None => (arrived, arrived.len()),
            };
            self.line.push(piece);
            self.input.consume(taken);
            if end.is_some() {
                return Ok(Some(self.line.finish()));
            }
        }
    }
}

impl Line {
    fn push(&mut self, piece: &[u8]) {
        if let Some(id) = &mut self.beyond {
            return id.read(piece);
        }
        self.bytes.extend_from_slice(piece);
        if self.bytes.len() > LONGEST {
            self.beyond = Some(CallId::of(&self.bytes));
            self.bytes = Vec::new();
        }
    }

    fn finish(&mut self) -> Read {
        let read = match self.beyond.take() {
            Some(id) => too_long(id),
            None => read(&self.bytes),
        };
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
        read
    }
}

fn too_long(id: CallId) -> Read {
    tracing::warn!(longest = LONGEST, "a message was too long to be kept");
    if id.is_of_a_notification() {
        return Read::Nothing;
    }
    let message = format!("Invalid request: the message has more than {LONGEST} bytes");
    Read::Refused(ErrorData::invalid_request(message, None), id.found())
}

fn read(line: &[u8]) -> Read {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return Read::Nothing;
    }
    match serde_json::from_slice(line) {
        Ok(message) => Read::Message(Box::new(message)),
        Err(error) => unreadable(line, &error),
    }
}

/// What is no message of the protocol, and perhaps no JSON.
fn unreadable(line: &[u8], error: &serde_json::Error) -> Read {
    let id = CallId::of(line);
    // Nothing is built of what may be 16 MiB of brackets.
    let error = match serde_json::from_slice::<IgnoredAny>(line) {
        Ok(_) if id.is_of_a_notification() => return Read::Nothing,
        Ok(_) if id.has_odd_params() => {
            ErrorData::invalid_params("Invalid params: they must be an object", None)
        }
        Ok(_) => ErrorData::invalid_request(format!("Invalid request: {error}"), None),
        Err(error) => ErrorData::parse_error(format!("Parse error: the line is no JSON ({error})"), None),
    };
    tracing::debug!(%error, "a line of the client is no message");
    Read::Refused(error, id.found())
}

impl<R, W> Transport<RoleServer> for LineTransport<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.output.send(message)
    }

    async fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(sending) = &mut self.sending {
                let sent = sending.await;
                self.sending = None;
                sent.ok()?;
            }
            match self.next().await {
                Ok(Some(Read::Message(message))) => return Some(*message),
                Ok(Some(Read::Nothing)) => {}
                Ok(Some(Read::Refused(error, id))) => {
                    let answer = TxJsonRpcMessage::<RoleServer>::error(error, id);
                    self.sending = Some(Box::pin(self.output.send(answer)));
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(%error, "the client's messages cannot be read");
                    return None;
                }
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.output.close().await
    }
}
