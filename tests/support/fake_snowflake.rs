//! A stand-in for Snowflake on the loopback address: SQL API v2 and the drivers' protocol on one port.
//!
//! Statements live in real time and SQLite runs them; sessions, tokens, results and addresses expire; and every answer
//! can be made to go wrong. Statements may carry a script, `/* fake: queued=2 resuming=1 runs=5 rows=100000 types */`:
//!
//! | word | meaning |
//! |---|---|
//! | `no_data=s queued=s queued_reparing_warehouse=s resuming=s blocked=s restarted=s strange=s` | states before it runs |
//! | `runs=s` | runs at least so long |
//! | `rows=n width=n types` | made-up rows: numbered ones, or of every type |
//! | `fails=CODE incident disconnected` | ends so |
//! | `aborting=s ignores_cancel` | how a cancel goes |
//! | `at_once` | an asynchronous submission answers with the end |
//! | `cut` | the result is only a part |
//!
//! A time may be the word `held`: the state then lasts until [`FakeSnowflake::step`], so that a test need not hurry.
//!
//! A test in the same process holds a [`FakeSnowflake`]; one in another process uses `/fake/faults`, `/fake/options`,
//! `/fake/sessions`, `/fake/credentials`, `/fake/log` and `/fake/queries`.

mod arrow;
pub mod client;
mod control;
mod delivery;
mod driver;
mod engine;
pub mod faults;
mod history;
mod http;
mod json;
pub mod log;
mod login;
pub mod options;
pub mod process;
mod results;
mod routes;
mod service;
mod session;
mod sql_api;
mod sqlite;
mod statement;
mod table;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use self::delivery::Cut;
use self::faults::Faults;
use self::history::{History, lock};
use self::log::Log;
use self::options::Options;
use self::service::Service;

/// A running service, on a thread and a runtime of its own: tests may block as they like. Dropping it stops it.
#[derive(Debug)]
pub struct FakeSnowflake {
    /// `http://127.0.0.1:PORT`
    pub address: String,
    /// What it did.
    pub log: Log,
    /// What is to go wrong.
    pub faults: Faults,
    service: Arc<Service>,
    stop: CancellationToken,
    thread: Option<thread::JoinHandle<()>>,
}

impl FakeSnowflake {
    /// Starts the service.
    ///
    /// # Errors
    ///
    /// When the port is taken or a file cannot be used.
    #[expect(clippy::unused_async, reason = "starting a service is something to wait for")]
    pub async fn start(options: Options) -> io::Result<Self> {
        Self::start_blocking(options)
    }

    /// Starts the service from code that is not async.
    ///
    /// # Errors
    ///
    /// When the port is taken or a file cannot be used.
    pub fn start_blocking(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))?;
        listener.set_nonblocking(true)?;
        let address = format!("http://{}", listener.local_addr()?);
        let (history, unfinished) = History::open(options.state.as_deref())?;
        let service = Arc::new(Service {
            address: address.clone(),
            history: Arc::new(history),
            sessions: session::Sessions::default(),
            warehouse: sqlite::Warehouse::open().map_err(io::Error::other)?,
            faults: Faults::open(options.faults.as_deref())?,
            log: Log::open(options.log.as_deref())?,
            options: Mutex::new(options),
            revoked: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (serving, stopping) = (Arc::clone(&service), stop.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                unfinished.iter().for_each(|query| engine::resume(&serving, query));
                stopping.run_until_cancelled(accept(listener, &serving)).await;
            });
            runtime.shutdown_background();
        });
        let (log, faults) = (service.log.clone(), service.faults.clone());
        Ok(Self { address, log, faults, service, stop, thread: Some(thread) })
    }

    /// The port of the address.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    /// All statements: handle, request id, status, calls by kind.
    pub fn queries(&self) -> Vec<Value> {
        self.service.history.all().iter().map(|query| query.report()).collect()
    }

    /// One statement.
    pub fn query(&self, handle: &str) -> Option<Value> {
        self.service.history.get(handle).map(|query| query.report())
    }

    /// Ends the phase in which a statement's script holds it; says whether there is such a statement.
    pub fn step(&self, handle: &str) -> bool {
        self.service.history.get(handle).is_some_and(|query| {
            query.step();
            true
        })
    }

    /// Ends the phase in which any statement's script holds it.
    pub fn step_all(&self) {
        self.service.history.all().iter().for_each(|query| query.step());
    }

    /// Changes a setting.
    ///
    /// # Errors
    ///
    /// When there is no such setting, or it does not take the value.
    pub fn set(&self, name: &str, value: &str) -> Result<(), String> {
        lock(&self.service.options).set(name, value)
    }

    /// All session tokens expire now; a renewal helps.
    pub fn expire_sessions(&self) {
        self.service.sessions.all().iter().for_each(|session| session.expire_token());
    }

    /// All master tokens expire now; only a new sign-in helps.
    pub fn expire_masters(&self) {
        self.service.sessions.all().iter().for_each(|session| session.expire_master());
    }

    /// All sessions are gone.
    pub fn drop_sessions(&self) {
        self.service.sessions.all().iter().for_each(|session| session.close());
    }

    /// A password or token is no longer taken.
    pub fn revoke(&self, credential: &str) {
        lock(&self.service.revoked).insert(credential.to_owned());
    }
}

impl Drop for FakeSnowflake {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn accept(listener: TcpListener, service: &Arc<Service>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(service)));
        }
    }
}

/// One connection, to its end.
async fn converse(stream: TcpStream, service: Arc<Service>) {
    stream.set_nodelay(true).ok();
    let answer = service_fn(move |request| Box::pin(routes::serve(Arc::clone(&service), request)));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    let Err(error) = poll_fn(|context| connection.poll_without_shutdown(context)).await else { return };
    let cut = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Cut>());
    if cut == Some(&Cut::Reset) {
        // Without lingering, closing is a reset.
        connection.into_parts().io.into_inner().set_zero_linger().ok();
    }
}
