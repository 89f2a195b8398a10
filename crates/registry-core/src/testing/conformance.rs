//! The promises that every engine keeps, as one suite that any [`Backend`] can be put through.
//!
//! It runs in real time, because engines have clocks of their own, and every wait has a bound. A broken promise panics
//! with a sentence that says which one.

#![expect(clippy::panic, reason = "a broken promise ends the test that asked for it")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::backend::{
    Backend, BackendError, CancelReply, EngineLifetime, Lookup, Progress, Rows, Session, Submission,
    SubmitError,
};
use crate::error::{ErrorInfo, ErrorKind};
use crate::id::{QueryId, RemoteHandle, RequestId};
use crate::results::{ResultLimits, ResultStore, StoredRows};
use crate::testing::submission;

/// The longest wait for a call that should return at once.
const CALL: Duration = Duration::from_secs(30);
/// Between two checks of a statement.
const PACE: Duration = Duration::from_millis(20);

/// The suite's statements in an engine's own SQL.
#[derive(Debug, Clone)]
pub struct Statements {
    /// Gives one row, the integer 1 in a column called `one`, in whatever case the engine folds names to.
    pub quick: String,
    /// Gives a column called `one` and no row.
    pub empty: String,
    /// Cannot be compiled.
    pub wrong: String,
    /// Runs for hours unless it is stopped, and holds no lock that another of its kind would wait for.
    pub endless: String,
    /// Gives the integers from 1 to the argument, in order.
    pub many_rows: fn(u64) -> String,
    /// Gives one row: NULL, the text `Zoë 東京 🎁`, the integers 9007199254740993 and -9223372036854775808, and the
    /// text of two lines `a`, `b`.
    pub values: String,
    /// How long a stopped or timed-out statement may take to end.
    pub stop_bound: Duration,
}

/// Puts `backend` through the whole suite.
///
/// # Panics
///
/// When a promise is broken.
pub async fn exercise(backend: &dyn Backend, statements: &Statements) {
    a_quick_statement_gives_its_row(backend, statements).await;
    an_empty_result_keeps_its_columns(backend, statements).await;
    values_arrive_exactly(backend, statements).await;
    many_rows_keep_their_order(backend, statements).await;
    a_wrong_statement_is_told_in_words(backend, statements).await;
    a_stopped_statement_ends_as_aborted(backend, statements).await;
    an_ended_statement_cannot_be_stopped(backend, statements).await;
    the_time_limit_ends_a_statement(backend, statements).await;
    a_repeated_submission_runs_once(backend, statements).await;
    a_request_can_be_looked_up(backend, statements).await;
    an_unknown_handle_does_no_harm(backend).await;
    sessions_do_not_disturb_each_other(backend, statements).await;
    a_closed_session_leaves_its_statement_alone(backend, statements).await;
    a_change_is_announced_by_the_end_at_the_latest(backend, statements).await;
    the_fence_is_told_and_disturbs_nothing(backend, statements).await;
}

/// A quick statement succeeds, with its column and its row.
pub async fn a_quick_statement_gives_its_row(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let (id, stored) = bench.rows_of(&statements.quick).await;
    assert_eq!(column_names(&stored), ["one"], "the quick statement's columns");
    assert_eq!(bench.read(id, &stored), [[json!(1)]], "the quick statement's rows");
    assert_eq!(stored.truncated, None, "the quick statement's result is whole");
}

/// A result without rows still has columns.
pub async fn an_empty_result_keeps_its_columns(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let (_, stored) = bench.rows_of(&statements.empty).await;
    assert_eq!(column_names(&stored), ["one"], "the columns of an empty result");
    assert_eq!(stored.rows, 0, "the rows of an empty result");
}

/// NULL, text beyond ASCII and integers beyond 2^53 arrive as they are.
pub async fn values_arrive_exactly(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let (id, stored) = bench.rows_of(&statements.values).await;
    let rows = bench.read(id, &stored);
    let [row] = rows.as_slice() else { panic!("the values are one row, got {}", rows.len()) };
    let seen: Vec<Value> = row.iter().map(as_text).collect();
    let wanted = [
        Value::Null,
        json!("Zoë 東京 🎁"),
        json!("9007199254740993"),
        json!("-9223372036854775808"),
        json!("a\nb"),
    ];
    assert_eq!(seen, wanted, "values arrive exactly");
}

/// A result of many rows arrives whole and in order.
pub async fn many_rows_keep_their_order(backend: &dyn Backend, statements: &Statements) {
    const ROWS: u64 = 20_000;
    let bench = Bench::new(backend);
    let (id, stored) = bench.rows_of(&(statements.many_rows)(ROWS)).await;
    assert_eq!(stored.rows, ROWS, "the number of many rows");
    for (wanted, row) in (1..=ROWS).zip(bench.read(id, &stored)) {
        assert_eq!(as_text(&row[0]), json!(wanted.to_string()), "row {wanted} of {ROWS}");
    }
}

/// A statement with an error is rejected or fails, as the caller's to mend, with words to mend it by.
pub async fn a_wrong_statement_is_told_in_words(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let error = match bench.submit(&mut session, &statements.wrong).await {
        Err(SubmitError::Rejected(error)) => error,
        Err(SubmitError::NotSent(error) | SubmitError::Unclear(error)) => {
            panic!("a wrong statement has a clear answer, got {error:?}")
        }
        Ok(sent) => match bench.end(&mut session, &sent.handle, CALL).await {
            Progress::Failed(error) => error,
            other => panic!("a wrong statement fails, got {other:?}"),
        },
    };
    assert_eq!(error.kind, ErrorKind::Sql, "a wrong statement is an error of SQL: {error:?}");
    assert!(error.message.len() > 10, "a wrong statement is told in words: {error:?}");
    close(session).await;
}

/// A long statement runs until it is stopped, and then ends as aborted.
pub async fn a_stopped_statement_ends_as_aborted(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let sent = bench.started(&mut session, &statements.endless).await;
    bench.still_runs(&mut session, &sent.handle).await;
    assert_eq!(bench.cancel(&sent.handle).await, CancelReply::Accepted, "a running statement can be stopped");
    let end = bench.end(&mut session, &sent.handle, statements.stop_bound).await;
    assert_eq!(end, Progress::Aborted, "a stopped statement is aborted");
    close(session).await;
}

/// There is nothing to stop once a statement has ended.
pub async fn an_ended_statement_cannot_be_stopped(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let sent = bench.started(&mut session, &statements.quick).await;
    let before = bench.end(&mut session, &sent.handle, CALL).await;
    assert_eq!(
        bench.cancel(&sent.handle).await,
        CancelReply::NotRunning,
        "an ended statement is not running"
    );
    let after = bench.check(&mut session, &sent.handle).await;
    assert_eq!(after, before, "a late cancel changes nothing");
    close(session).await;
}

/// The engine itself ends a statement whose time is up.
pub async fn the_time_limit_ends_a_statement(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let request = Request { time_limit: Duration::from_secs(1), ..Request::new(&statements.endless) };
    let sent =
        bench.send(&mut session, &request).await.unwrap_or_else(|e| panic!("submission failed: {e:?}"));
    let end = bench.end(&mut session, &sent.handle, request.time_limit + statements.stop_bound).await;
    assert_eq!(end, Progress::TimedOut, "the engine's time limit ends a statement");
    close(session).await;
}

/// A submission that is repeated gives the same handle, also from another session, and starts nothing.
pub async fn a_repeated_submission_runs_once(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let (mut first, mut second) = (bench.session().await, bench.session().await);
    let mut request = Request::new(&statements.endless);
    let sent = bench.send(&mut first, &request).await.unwrap_or_else(|e| panic!("submission failed: {e:?}"));
    request.retry = true;
    for session in [&mut first, &mut second] {
        let again =
            bench.send(session, &request).await.unwrap_or_else(|e| panic!("the repeat failed: {e:?}"));
        assert_eq!(again.handle, sent.handle, "a repeated submission gives the same handle");
    }
    assert_eq!(bench.cancel(&sent.handle).await, CancelReply::Accepted, "the one statement can be stopped");
    for session in [&mut first, &mut second] {
        let end = bench.end(session, &sent.handle, statements.stop_bound).await;
        assert_eq!(end, Progress::Aborted, "both sessions see the end of the one statement");
    }
    let late =
        bench.send(&mut second, &request).await.unwrap_or_else(|e| panic!("the late repeat failed: {e:?}"));
    let end = bench.check(&mut second, &late.handle).await;
    assert_eq!(end, Progress::Aborted, "a repeat after the end does not run the statement again");
    close(first).await;
    close(second).await;
}

/// A statement is found by its request id; a request that was never sent is not.
pub async fn a_request_can_be_looked_up(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let (mut session, mut other) = (bench.session().await, bench.session().await);
    let sent = bench.started(&mut session, &statements.endless).await;
    let found = bench.lookup(&mut other, sent.request_id).await;
    assert_eq!(found, Lookup::Found(sent.handle.clone()), "a request is found from another session");
    let unknown = bench.lookup(&mut other, RequestId::generate()).await;
    assert!(matches!(unknown, Lookup::Missing | Lookup::NeverArrived), "an unknown request, got {unknown:?}");
    bench.stop(&mut session, &sent.handle, statements).await;
    close(session).await;
    close(other).await;
}

/// Checking and stopping a handle that nobody knows is answered, not fatal.
pub async fn an_unknown_handle_does_no_harm(backend: &dyn Backend) {
    let bench = Bench::new(backend);
    let unknown = RemoteHandle::new(QueryId::generate().to_string());
    // An engine may also refuse with an error; what counts is that an answer comes and that nothing was stopped.
    let reply = bounded("cancel", backend.cancel(&unknown)).await;
    assert!(!matches!(reply, Ok(CancelReply::Accepted)), "an unknown handle cannot be stopped");
    let mut session = bench.session().await;
    let progress = bench.check(&mut session, &unknown).await;
    assert!(matches!(progress, Progress::NoData | Progress::Gone), "an unknown handle, got {progress:?}");
    close(session).await;
}

/// A statement ends well while another runs, and stopping one leaves the other alone.
pub async fn sessions_do_not_disturb_each_other(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let (mut one, mut two) = (bench.session().await, bench.session().await);
    let first = bench.started(&mut one, &statements.endless).await;
    let second = bench.started(&mut two, &statements.endless).await;
    assert_ne!(first.handle, second.handle, "two statements have two handles");
    let _rows = bench.rows_of(&statements.quick).await;
    bench.stop(&mut one, &first.handle, statements).await;
    bench.still_runs(&mut two, &second.handle).await;
    bench.stop(&mut two, &second.handle, statements).await;
    close(one).await;
    close(two).await;
}

/// Closing a session does not stop its statement; on a remote engine any session can go on with it.
pub async fn a_closed_session_leaves_its_statement_alone(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let sent = bench.started(&mut session, &statements.endless).await;
    close(session).await;
    let mut other = bench.session().await;
    if backend.lifetime() == EngineLifetime::Remote {
        bench.still_runs(&mut other, &sent.handle).await;
    }
    let reply = bench.cancel(&sent.handle).await;
    assert_eq!(reply, CancelReply::Accepted, "a statement outlives its session and can still be stopped");
    let end = bench.end(&mut other, &sent.handle, statements.stop_bound).await;
    let forgotten =
        matches!(end, Progress::Gone | Progress::NoData) && backend.lifetime() == EngineLifetime::Process;
    assert!(
        end == Progress::Aborted || forgotten,
        "a statement without a session ends as aborted, got {end:?}"
    );
    close(other).await;
}

/// `changed` returns by the time a statement has ended, or never; it does not fail and does not hurt when dropped.
pub async fn a_change_is_announced_by_the_end_at_the_latest(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let sent = bench.started(&mut session, &statements.endless).await;
    // Dropping it half-way is what a driver does with every timer.
    let early = tokio::time::timeout(PACE, session.changed(&sent.handle)).await.is_ok();
    assert_eq!(bench.cancel(&sent.handle).await, CancelReply::Accepted, "the statement still runs");
    let announced = tokio::time::timeout(statements.stop_bound, session.changed(&sent.handle)).await.is_ok();
    if announced && !early {
        let progress = bench.check(&mut session, &sent.handle).await;
        assert_eq!(progress, Progress::Aborted, "after the one change the end is there");
    }
    bench.end(&mut session, &sent.handle, statements.stop_bound).await;
    close(session).await;
}

/// The engine tells within its deadline what holds writes back, says the same when asked again, and leaves the
/// statements alone that run meanwhile.
pub async fn the_fence_is_told_and_disturbs_nothing(backend: &dyn Backend, statements: &Statements) {
    let bench = Bench::new(backend);
    let mut session = bench.session().await;
    let sent = bench.started(&mut session, &statements.endless).await;
    let told = bounded("fence", backend.fence()).await;
    assert!(told.detail.len() > 10, "a fence is told in words: {told:?}");
    assert_eq!(bounded("fence", backend.fence()).await, told, "a fence asked for twice");
    bench.still_runs(&mut session, &sent.handle).await;
    bench.stop(&mut session, &sent.handle, statements).await;
    close(session).await;
    let _rows = bench.rows_of(&statements.quick).await;
}

/// One statement as the suite sends it.
struct Request {
    sql: String,
    request_id: RequestId,
    time_limit: Duration,
    retry: bool,
}

impl Request {
    fn new(sql: &str) -> Self {
        let time_limit = Duration::from_secs(600);
        Self { sql: sql.to_owned(), request_id: RequestId::generate(), time_limit, retry: false }
    }
}

/// A statement that was taken.
struct Sent {
    query_id: QueryId,
    request_id: RequestId,
    handle: RemoteHandle,
}

/// A backend under test, with a store of its own for the rows.
struct Bench<'b> {
    backend: &'b dyn Backend,
    store: ResultStore,
    _directory: Scratch,
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl<'b> Bench<'b> {
    fn new(backend: &'b dyn Backend) -> Self {
        let path = std::env::temp_dir().join(format!("conformance-{}", QueryId::generate()));
        let store = ResultStore::open(path.clone(), ResultLimits::default())
            .unwrap_or_else(|error| panic!("no result store in {}: {error}", path.display()));
        Self { backend, store, _directory: Scratch(path) }
    }

    async fn session(&self) -> Box<dyn Session> {
        answered("open_session", self.backend.open_session()).await
    }

    async fn send(&self, session: &mut Box<dyn Session>, request: &Request) -> Result<Sent, SubmitError> {
        let submission = Submission {
            request_id: request.request_id,
            time_limit: request.time_limit,
            tag: "conformance".to_owned(),
            retry: request.retry,
            ..submission(&self.store, &request.sql)
        };
        let query_id = submission.query_id;
        let handle = bounded("submit", session.submit(submission)).await?;
        Ok(Sent { query_id, request_id: request.request_id, handle })
    }

    async fn submit(&self, session: &mut Box<dyn Session>, sql: &str) -> Result<Sent, SubmitError> {
        self.send(session, &Request::new(sql)).await
    }

    async fn started(&self, session: &mut Box<dyn Session>, sql: &str) -> Sent {
        self.submit(session, sql).await.unwrap_or_else(|error| panic!("{sql:?} was not taken: {error:?}"))
    }

    async fn check(&self, session: &mut Box<dyn Session>, handle: &RemoteHandle) -> Progress {
        answered("check", session.check(handle)).await
    }

    async fn lookup(&self, session: &mut Box<dyn Session>, request_id: RequestId) -> Lookup {
        answered("lookup", session.lookup(request_id)).await
    }

    async fn cancel(&self, handle: &RemoteHandle) -> CancelReply {
        answered("cancel", self.backend.cancel(handle)).await
    }

    async fn still_runs(&self, session: &mut Box<dyn Session>, handle: &RemoteHandle) {
        let started = Instant::now();
        loop {
            match self.check(session, handle).await {
                Progress::Running(_) => return,
                // A service may need a moment before it knows its own handle.
                Progress::NoData if started.elapsed() < CALL => tokio::time::sleep(PACE).await,
                other => panic!("an endless statement runs, got {other:?}"),
            }
        }
    }

    /// The end of a statement, which must come within `bound`.
    async fn end(&self, session: &mut Box<dyn Session>, handle: &RemoteHandle, bound: Duration) -> Progress {
        let started = Instant::now();
        loop {
            match self.check(session, handle).await {
                // A service may need a moment before it knows its own handle.
                Progress::Running(_) | Progress::NoData if started.elapsed() < bound => {}
                end => return end,
            }
            // Too early is no harm: the next check tells.
            let _ = tokio::time::timeout(PACE, session.changed(handle)).await;
        }
    }

    async fn stop(&self, session: &mut Box<dyn Session>, handle: &RemoteHandle, statements: &Statements) {
        assert_eq!(self.cancel(handle).await, CancelReply::Accepted, "a running statement can be stopped");
        let end = self.end(session, handle, statements.stop_bound).await;
        assert_eq!(end, Progress::Aborted, "a stopped statement is aborted");
    }

    /// Runs `sql` to its end and fetches its rows where they are not stored already.
    async fn rows_of(&self, sql: &str) -> (QueryId, StoredRows) {
        let mut session = self.session().await;
        let sent = self.started(&mut session, sql).await;
        let rows = match self.end(&mut session, &sent.handle, CALL).await {
            Progress::Succeeded(Rows::Stored(rows)) => rows,
            Progress::Succeeded(Rows::AtEngine) => {
                let writer = self.store.writer(sent.query_id);
                let fetched = bounded("fetch", session.fetch(&sent.handle, writer)).await;
                fetched.unwrap_or_else(|error| panic!("the rows of {sql:?} were not fetched: {error:?}"))
            }
            other => panic!("{sql:?} succeeds, got {other:?}"),
        };
        close(session).await;
        (sent.query_id, rows)
    }

    fn read(&self, id: QueryId, stored: &StoredRows) -> Vec<Vec<Value>> {
        let page = self.store.page(id, 0, stored.rows.max(1), u64::MAX);
        page.unwrap_or_else(|error| panic!("stored rows can be read: {error}")).rows
    }
}

async fn close(session: Box<dyn Session>) {
    answered("close", session.close()).await;
}

/// The answer to a call, which must come in time and be no error.
async fn answered<T>(call: &str, answer: impl Future<Output = Result<T, BackendError>>) -> T {
    match bounded(call, answer).await {
        Ok(value) => value,
        Err(BackendError(ErrorInfo { kind, message, .. })) => panic!("{call} failed ({kind}): {message}"),
    }
}

async fn bounded<T>(call: &str, answer: impl Future<Output = T>) -> T {
    match tokio::time::timeout(CALL, answer).await {
        Ok(value) => value,
        Err(_) => panic!("{call} did not return within {CALL:?}"),
    }
}

/// Engines fold names as they like.
fn column_names(stored: &StoredRows) -> Vec<String> {
    stored.columns.iter().map(|column| column.name.to_lowercase()).collect()
}

/// Numbers as text: an engine may deliver an exact number either way.
fn as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        other => other.clone(),
    }
}
