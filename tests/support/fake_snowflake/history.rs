//! Every statement the service has taken, where it stands, and what became of it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::table::Table;

/// The length of a phase that ends when it is told to.
pub(super) const HELD: Duration = Duration::MAX;

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A lock outlives a panic of its holder: the next test wants an answer, not a second panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where a statement runs, and as whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Context {
    pub(super) user: String,
    pub(super) role: Option<String>,
    /// The roles that count besides.
    #[serde(default)]
    pub(super) secondary_roles: Vec<String>,
    /// Whether it is an agent's, where the account knows such.
    #[serde(default)]
    pub(super) agent: Option<bool>,
    pub(super) warehouse: Option<String>,
    pub(super) database: Option<String>,
    pub(super) schema: Option<String>,
}

/// A statement as it was taken.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) handle: String,
    pub(super) request_id: Option<String>,
    pub(super) sql: String,
    pub(super) tag: String,
    pub(super) context: Context,
    pub(super) session: Option<u64>,
    pub(super) submitted_ms: u64,
    pub(super) timeout_seconds: u64,
    /// The parameters that it runs under, as far as the service looks at them.
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) bindings: Vec<(String, Option<String>)>,
    /// Ended when nobody of its session asks any more.
    pub(super) abort_detached: bool,
}

impl Order {
    /// Rows that its result has at most.
    pub(super) fn row_limit(&self) -> usize {
        let limit = self.parameters.get("ROWS_PER_RESULTSET").and_then(|rows| rows.parse().ok());
        limit.filter(|&rows| rows > 0).unwrap_or(usize::MAX)
    }
}

/// Why a statement failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct QueryError {
    pub(super) code: String,
    pub(super) sql_state: String,
    pub(super) message: String,
}

impl QueryError {
    pub(super) fn new(code: &str, sql_state: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), sql_state: sql_state.to_owned(), message: message.into() }
    }

    pub(super) fn canceled() -> Self {
        Self::new("000604", "57014", "SQL execution canceled")
    }

    pub(super) fn timed_out(seconds: u64) -> Self {
        let message = format!(
            "Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled."
        );
        Self::new("000630", "57014", message)
    }
}

/// How a statement ended.
pub(super) type Outcome = Result<Arc<Table>, QueryError>;

/// Where a statement stands.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// The word of the monitoring endpoint; `NO_DATA` is no word but an empty list.
    pub(super) status: String,
    pub(super) ended_ms: Option<u64>,
    pub(super) outcome: Option<Outcome>,
}

/// A statement.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) order: Order,
    pub(super) state: watch::Sender<State>,
    pub(super) cancel: CancellationToken,
    /// How many held phases may end.
    steps: Semaphore,
    calls: Mutex<BTreeMap<String, u64>>,
}

impl Query {
    fn new(order: Order) -> Self {
        let state = State { status: "QUEUED".to_owned(), ended_ms: None, outcome: None };
        Self {
            order,
            state: watch::Sender::new(state),
            cancel: CancellationToken::new(),
            steps: Semaphore::new(0),
            calls: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    pub(super) fn outcome(&self) -> Option<Outcome> {
        self.state.borrow().outcome.clone()
    }

    pub(super) fn is_running(&self) -> bool {
        self.state.borrow().outcome.is_none()
    }

    pub(super) fn enter(&self, status: &str) {
        self.state.send_modify(|state| status.clone_into(&mut state.status));
    }

    /// Lets one held phase end, the present one or the next.
    pub(super) fn step(&self) {
        self.steps.add_permits(1);
    }

    /// Stays in a phase for a time, or until it is told to go on.
    pub(super) async fn stay(&self, time: Duration) {
        if time < HELD {
            return tokio::time::sleep(time).await;
        }
        // The semaphore lives in this very object and is never closed.
        self.steps.acquire().await.into_iter().for_each(SemaphorePermit::forget);
    }

    /// Resolves with the end of the statement.
    pub(super) async fn ended(&self) {
        // The sender lives in this very object, so the wait cannot fail.
        self.state.subscribe().wait_for(|state| state.outcome.is_some()).await.ok();
    }

    /// The result is there and has not expired.
    pub(super) fn is_kept(&self, validity: Duration) -> bool {
        let age = self.state.borrow().ended_ms.map_or(0, |ended| now_ms().saturating_sub(ended));
        u128::from(age) <= validity.as_millis()
    }

    pub(super) fn count(&self, kind: &str) {
        *lock(&self.calls).entry(kind.to_owned()).or_default() += 1;
    }

    /// Everything about it, for tests.
    pub(super) fn report(&self) -> Value {
        let state = self.state();
        let error = match &state.outcome {
            Some(Err(error)) => json!(error),
            _ => Value::Null,
        };
        json!({
            "handle": self.order.handle, "request_id": self.order.request_id, "sql": self.order.sql,
            "query_tag": self.order.tag, "session": self.order.session, "status": state.status,
            "context": self.order.context, "parameters": self.order.parameters, "timeout_seconds": self.order.timeout_seconds,
            "cancel_requested": self.cancel.is_cancelled(), "error": error, "calls": *lock(&self.calls),
        })
    }
}

/// All statements.
#[derive(Debug, Default)]
pub(super) struct History {
    inner: Mutex<Inner>,
    file: Mutex<Option<File>>,
}

#[derive(Debug, Default)]
struct Inner {
    queries: HashMap<String, Arc<Query>>,
    order: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
enum Line {
    Taken(Box<Order>),
    Ended { handle: String, status: String, ended_ms: u64, outcome: Outcome },
}

impl History {
    /// The history of a file, which need not exist; and the statements in it that have not ended.
    pub(super) fn open(path: Option<&Path>) -> std::io::Result<(Self, Vec<Arc<Query>>)> {
        let history = Self::default();
        let Some(path) = path else { return Ok((history, vec![])) };
        if path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                // The last line may be half a line when the service was killed.
                serde_json::from_str(&line?).into_iter().for_each(|line| history.load(line));
            }
        }
        *lock(&history.file) = Some(File::options().create(true).append(true).open(path)?);
        let unfinished = history.all().into_iter().filter(|query| query.is_running()).collect();
        Ok((history, unfinished))
    }

    fn load(&self, line: Line) {
        match line {
            Line::Taken(order) => self.insert(Query::new(*order)),
            Line::Ended { handle, status, ended_ms, outcome } => {
                if let Some(query) = self.get(&handle) {
                    let ended = State { status, ended_ms: Some(ended_ms), outcome: Some(outcome) };
                    query.state.send_replace(ended);
                }
            }
        }
    }

    fn insert(&self, query: Query) {
        let mut inner = lock(&self.inner);
        inner.order.push(query.order.handle.clone());
        inner.queries.insert(query.order.handle.clone(), Arc::new(query));
    }

    pub(super) fn add(&self, order: Order) -> Arc<Query> {
        let handle = order.handle.clone();
        self.append(&Line::Taken(Box::new(order.clone())));
        let query = Query::new(order);
        self.insert(query);
        self.get(&handle).unwrap_or_else(|| unreachable!("it was just put there"))
    }

    /// Ends a statement, once.
    pub(super) fn end(&self, query: &Query, status: &str, outcome: Outcome) {
        if !query.is_running() {
            return;
        }
        let (handle, status, ended_ms) = (query.order.handle.clone(), status.to_owned(), now_ms());
        self.append(&Line::Ended { handle, status: status.clone(), ended_ms, outcome: outcome.clone() });
        query.state.send_replace(State { status, ended_ms: Some(ended_ms), outcome: Some(outcome) });
    }

    fn append(&self, line: &Line) {
        if let Some(file) = &mut *lock(&self.file) {
            let text = serde_json::to_string(line).unwrap_or_default() + "\n";
            file.write_all(text.as_bytes()).ok();
        }
    }

    pub(super) fn get(&self, handle: &str) -> Option<Arc<Query>> {
        lock(&self.inner).queries.get(&handle.to_ascii_lowercase()).cloned()
    }

    /// In the order they came.
    pub(super) fn all(&self) -> Vec<Arc<Query>> {
        let inner = lock(&self.inner);
        inner.order.iter().filter_map(|handle| inner.queries.get(handle).cloned()).collect()
    }

    /// The latest statement with a request id, in one session or in none.
    pub(super) fn of_request(&self, request_id: &str, session: Option<u64>) -> Option<Arc<Query>> {
        let wanted = |query: &&Arc<Query>| {
            query.order.request_id.as_deref() == Some(request_id) && query.order.session == session
        };
        self.all().iter().rev().find(wanted).cloned()
    }

    /// The last but one: what a server that mixes up its answers would name.
    pub(super) fn previous(&self, handle: &str) -> Option<String> {
        lock(&self.inner).order.iter().rev().find(|other| *other != handle).cloned()
    }
}
