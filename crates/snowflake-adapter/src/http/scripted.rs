//! A small HTTP server that answers from a script, over real connections.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These bytes, with the status and headers in them; then the connection closes.
    Raw(Vec<u8>),
    /// A whole answer.
    Respond { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// The answer comes when somebody says so.
    RespondAfter(Arc<Notify>, Box<Self>),
    /// The connection closes before the request was looked at.
    DropBefore,
    /// The request is taken and the connection closes.
    DropAfter,
    /// The request is taken and nothing comes.
    Hang,
}

impl Step {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Respond { status, headers, body: body.into().into_bytes() }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::json(status, "{}")
    }

    pub(crate) fn html(status: u16) -> Self {
        let headers = vec![("content-type", "text/html; charset=utf-8".to_owned())];
        Self::Respond { status, headers, body: b"<html>hello</html>".to_vec() }
    }

    pub(crate) fn gzip(status: u16, body: &str) -> Self {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("content-encoding", "gzip".to_owned())];
        Self::Respond { status, headers, body: gzip(body.as_bytes()) }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Respond { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }

    /// The answer without its last bytes, well-formed as HTTP.
    pub(crate) fn cut(mut self, missing: usize) -> Self {
        if let Self::Respond { body, .. } = &mut self {
            body.truncate(body.len().saturating_sub(missing));
        }
        self
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: serde_json::Value,
}

impl Seen {
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Script {
    steps: VecDeque<Step>,
    seen: Vec<Seen>,
    connections: usize,
}

/// The server; it ends with the runtime of its test.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) url: Url,
    script: Arc<Mutex<Script>>,
    pub(crate) arrived: Arc<Notify>,
}

impl Server {
    pub(crate) async fn start(steps: impl IntoIterator<Item = Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let script = Arc::new(Mutex::new(Script { steps: steps.into_iter().collect(), ..Script::default() }));
        let server = Self { url, script, arrived: Arc::default() };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.script.lock().unwrap().connections += 1;
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.script.lock().unwrap().seen.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut buffer).await {
            let step = {
                let mut script = self.script.lock().unwrap();
                let step = script.steps.pop_front().unwrap_or_else(|| Step::status(599));
                if !matches!(step, Step::DropBefore) {
                    script.seen.push(request);
                }
                step
            };
            self.arrived.notify_one();
            if !play(step, &mut stream).await {
                return;
            }
        }
    }
}

/// `false` when the connection is to close.
async fn play(step: Step, stream: &mut TcpStream) -> bool {
    let step = match step {
        Step::RespondAfter(signal, step) => {
            signal.notified().await;
            *step
        }
        step => step,
    };
    match step {
        Step::Respond { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
            for (name, value) in headers {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
            head.push_str("\r\n");
            // The client may have gone away; that is what some tests are about.
            stream.write_all(head.as_bytes()).await.is_ok() && stream.write_all(&body).await.is_ok()
        }
        Step::Raw(bytes) => {
            let _ = stream.write_all(&bytes).await;
            false
        }
        Step::Hang => std::future::pending().await,
        Step::DropBefore | Step::DropAfter | Step::RespondAfter(..) => false,
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Seen> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let whole = end + 4 + length;
    while buffer.len() < whole {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = serde_json::from_slice(&buffer[end + 4..whole]).unwrap_or_default();
    buffer.drain(..whole);
    let url = Url::parse("http://host/").unwrap().join(&target).unwrap();
    let query = url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    Some(Seen { method, path: url.path().to_owned(), query, headers, body })
}
