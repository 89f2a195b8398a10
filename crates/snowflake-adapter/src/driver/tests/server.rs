//! A service that answers what a test says, and remembers what it was asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Value,
    /// Which one of its path, counted from 1.
    pub(super) nth: usize,
}

impl Seen {
    pub(super) fn sql(&self) -> &str {
        self.body["sqlText"].as_str().unwrap_or_default()
    }

    pub(super) fn token(&self) -> &str {
        self.headers.get("authorization").map(String::as_str).unwrap_or_default()
    }
}

/// What is answered.
pub(super) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    hold: Option<Arc<Notify>>,
    lost: bool,
}

impl Reply {
    pub(super) fn json(body: impl Into<String>) -> Self {
        Self::bytes("application/json", body.into().into_bytes())
    }

    pub(super) fn bytes(kind: &str, body: Vec<u8>) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { status: 200, headers, body, hold: None, lost: false }
    }

    pub(super) fn status(status: u16, body: &str) -> Self {
        Self { status, ..Self::json(body) }
    }

    /// The request takes effect, its answer gets lost.
    pub(super) fn lost() -> Self {
        Self { lost: true, ..Self::json("") }
    }

    pub(super) fn held(self, until: &Arc<Notify>) -> Self {
        Self { hold: Some(Arc::clone(until)), ..self }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

type Answer = dyn Fn(&Seen) -> Reply + Send + Sync;

pub(super) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(super) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (answer, log): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&seen));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                connections.spawn(async move { serve(stream, answer, log).await });
            }
        });
        Self { port, seen, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}", self.port)).unwrap()
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path == path).cloned().collect()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    /// Submissions other than those of the backend's own housekeeping.
    pub(super) fn submissions(&self) -> Vec<Seen> {
        let all = self.seen("/queries/v1/query-request");
        all.into_iter().filter(|seen| !seen.sql().starts_with("USE ")).collect()
    }

    /// Waits, within a bound, until it was asked for `path` so often.
    pub(super) async fn asked(&self, path: &str, times: usize) {
        let bound = tokio::time::timeout(Duration::from_secs(10), async {
            while self.count(path) < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        bound.await.unwrap_or_else(|_| panic!("{path} was asked {} times, not {times}", self.count(path)));
    }
}

async fn serve(stream: TcpStream, answer: Arc<Answer>, log: Arc<Mutex<Vec<Seen>>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut seen = read(&mut stream).await?;
        {
            let mut log = log.lock().unwrap();
            seen.nth = log.iter().filter(|earlier| earlier.path == seen.path).count() + 1;
            log.push(seen.clone());
        }
        let reply = answer(&seen);
        if let Some(hold) = &reply.hold {
            hold.notified().await;
        }
        if reply.lost {
            return None;
        }
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        stream.write_all(&reply.body).await.ok()?;
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let url = Url::parse(&format!("http://x{target}")).ok()?;
    let query = url.query_pairs().into_owned().collect();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Some(Seen { method, path: url.path().to_owned(), query, headers, body, nth: 0 })
}
