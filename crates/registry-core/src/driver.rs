//! The task that carries one query from its place in the line to its end.
//!
//! It owns the query's session and makes one call at a time; what comes next is always the pure function's decision.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::Instrument;

use crate::backend::{BackendError, FetchError, Progress, Rows, Session, Submission, SubmitError};
use crate::error::{ErrorInfo, ErrorKind};
use crate::fence;
use crate::id::RemoteHandle;
use crate::line::Place;
use crate::live::LiveQuery;
use crate::metrics::{EngineCall, Gauge};
use crate::pace::Pace;
use crate::record::{Lease, QueryRecord, StopReason};
use crate::records::ApplyError;
use crate::results::StoredRows;
use crate::session::OwnedSession;
use crate::shared::{Connection, Shared};
use crate::state::{Effect, Event};

/// A journal that cannot be written is tried again this often; until then nothing is sent.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);
/// A driver that ended by a fault of this program is started again so many times.
const RESTARTS: u32 = 3;
/// Characters of the client's own name in the tag; the rest of the tag must have room beside it.
const TAG_CLIENT: usize = 64;

/// Starts the driver of a query that this process owns. The place in the line is given back at its end.
pub(crate) fn start(shared: &Arc<Shared>, connection: &Arc<Connection>, query: Arc<LiveQuery>, place: Place) {
    let Some(record) = query.record() else { return };
    query.set_position(Some(place.position()));
    let span = query.span().clone();
    let driving = run(Arc::clone(shared), Arc::clone(connection), query, record.lease, place);
    shared.tasks.spawn(driving.instrument(span));
}

async fn run(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    query: Arc<LiveQuery>,
    lease: Lease,
    mut place: Place,
) {
    let _alive = Gauge::enter(&shared.metrics.drivers);
    if !reaches_its_turn(&shared, &query, &mut place).await {
        return;
    }
    for _ in 0..=RESTARTS {
        let driver = Driver::new(&shared, &connection, &query, lease);
        match tokio::spawn(driver.run().in_current_span()).await {
            Ok(()) => return,
            Err(fault) => {
                shared.metrics.driver_panics.add_one();
                tracing::error!(%fault, "the driver ended by a fault and starts again");
            }
        }
    }
}

/// Waits in the line; a query that ends there needs no driver.
async fn reaches_its_turn(shared: &Shared, query: &LiveQuery, place: &mut Place) -> bool {
    let reached = tokio::select! {
        biased;
        () = shared.stop.cancelled() => false,
        () = place.turn() => true,
        () = query.beyond(u64::MAX) => false,
    };
    query.set_position(None);
    reached
}

/// Why a driver ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The query has ended.
    Finished,
    /// The registry closes; the query is left as it is.
    Detached,
    /// T28: another process drives the query.
    LeaseLost,
    /// The record is gone.
    Removed,
}

/// What ended a rest between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Over,
    RecordChanged,
    EngineChanged,
    DeadlinePassed,
}

struct Driver {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    query: Arc<LiveQuery>,
    lease: Lease,
    session: Option<OwnedSession>,
    pace: Pace,
    /// The version behind the latest decision: anything newer is news.
    decided_on: u64,
    no_data: u32,
}

impl Driver {
    fn new(shared: &Arc<Shared>, connection: &Arc<Connection>, query: &Arc<LiveQuery>, lease: Lease) -> Self {
        let interval = query.record().map_or(Duration::from_secs(1), |record| record.options.poll_interval);
        Self {
            shared: Arc::clone(shared),
            connection: Arc::clone(connection),
            query: Arc::clone(query),
            lease,
            session: None,
            pace: Pace::new(interval),
            decided_on: 0,
            no_data: 0,
        }
    }

    /// Order at the end, whatever the end was: the last call is over, then the session is closed, once.
    async fn run(mut self) {
        let end = match self.live().await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        if let Some(session) = self.session.take() {
            session.close().await;
        }
        tracing::debug!(?end, "driver ended");
    }

    async fn live(&mut self) -> Result<std::convert::Infallible, End> {
        let mut event = Event::Resumed;
        loop {
            event = match self.apply(event).await? {
                None | Some(Effect::WakeDriver | Effect::Reap | Effect::Forget) => Event::Resumed,
                Some(Effect::StopDriver) => return Err(End::Finished),
                Some(Effect::Submit { retry }) => self.submit(retry).await?,
                Some(Effect::Lookup) => self.look_up().await?,
                Some(Effect::Check) => self.check().await?,
                Some(Effect::SendCancel) => self.send_cancel().await?,
                Some(Effect::Fetch) => self.fetch().await?,
                Some(Effect::Wait(delay)) => self.wait(delay).await?,
            };
        }
    }

    /// A change that cannot be made durable did not happen, so it is tried until it can.
    async fn apply(&mut self, event: Event) -> Result<Option<Effect>, End> {
        loop {
            match self.shared.records.apply_as(self.lease, &self.query, event.clone()).await {
                Ok(applied) => {
                    self.decided_on = applied.version;
                    return Ok(self.shared.carry_out(&self.query, applied.effects).await);
                }
                Err(ApplyError::LeaseLost) => return Err(End::LeaseLost),
                Err(ApplyError::Removed) => return Err(End::Removed),
                Err(ApplyError::Journal(error)) => {
                    tracing::error!(%error, "the record cannot be written; trying again");
                    unless_stopped(&self.shared, sleep(JOURNAL_RETRY)).await?;
                }
            }
        }
    }

    // ---- calls to the engine

    async fn submit(&mut self, retry: bool) -> Result<Event, End> {
        let record = self.record()?;
        if let Err(error) = self.open_session().await? {
            return Ok(Event::NotSent(error.0));
        }
        // Signing in takes its time; a stop that came meanwhile still comes before the statement.
        if self.record()?.intent.is_some() {
            return Ok(Event::NotSent(ErrorInfo::new(ErrorKind::Internal, "stopped before it was sent")));
        }
        let submission = self.submission(&record, retry);
        self.query.set_rows_so_far(submission.rows.so_far());
        Ok(match self.call(EngineCall::Submit, |session| session.submit(submission)).await? {
            Some(Ok(handle)) => {
                // The engine can be reached and talks to us; whoever asks for the fence later need not wait.
                fence::begin(&self.shared, &self.connection);
                Event::Submitted(handle)
            }
            Some(Err(SubmitError::Rejected(error))) => Event::SubmitRejected(error),
            Some(Err(SubmitError::NotSent(error))) => Event::NotSent(error.0),
            Some(Err(SubmitError::Unclear(error))) => Event::SubmitUnclear(error.0),
            None => Event::SubmitUnclear(self.no_answer()),
        })
    }

    fn submission(&self, record: &QueryRecord, retry: bool) -> Submission {
        Submission {
            query_id: record.id,
            request_id: record.request_id,
            sql: record.sql.as_str().into(),
            context: record.options.context.clone(),
            time_limit: self.shared.records.timing().time_limit(record),
            // One more than is kept, so that the writer sees that there are more.
            row_limit: record.row_ceiling.map(|rows| rows.saturating_add(1)),
            tag: tag(record),
            retry,
            rows: self.shared.results.writer(record.id).at_most(record.row_ceiling),
        }
    }

    async fn look_up(&mut self) -> Result<Event, End> {
        let request_id = self.record()?.request_id;
        if let Err(error) = self.open_session().await? {
            return Ok(Event::LookupUnclear(error.0));
        }
        Ok(match self.call(EngineCall::Lookup, |session| session.lookup(request_id)).await? {
            Some(Ok(lookup)) => Event::LookedUp(lookup),
            Some(Err(error)) => Event::LookupUnclear(error.0),
            None => Event::LookupUnclear(self.no_answer()),
        })
    }

    /// A completion that is seen together with the deadline wins, so the deadline looks once more.
    async fn check(&mut self) -> Result<Event, End> {
        let handle = self.handle()?;
        let announced = self.session.as_mut().is_some_and(|session| session.get().announces_end());
        let delay = self.pace.next_delay(self.query.is_watched() && !announced);
        let rest = self.rest(delay, Some(&handle)).await?;
        if rest == Rest::RecordChanged {
            return Ok(Event::Resumed);
        }
        let event = self.look(&handle).await?;
        let is_open = matches!(event, Event::StillRunning(_) | Event::NoData(_) | Event::CheckUnclear(_));
        if rest == Rest::DeadlinePassed && is_open {
            Ok(Event::StopRequested(StopReason::Timeout))
        } else {
            Ok(event)
        }
    }

    async fn look(&mut self, handle: &RemoteHandle) -> Result<Event, End> {
        if let Err(error) = self.open_session().await? {
            return Ok(Event::CheckUnclear(error.0));
        }
        let progress = match self.call(EngineCall::Check, |session| session.check(handle)).await? {
            Some(Ok(progress)) => progress,
            Some(Err(error)) => return Ok(Event::CheckUnclear(error.0)),
            None => return Ok(Event::CheckUnclear(self.no_answer())),
        };
        self.no_data = if progress == Progress::NoData { self.no_data + 1 } else { 0 };
        Ok(match progress {
            Progress::Running(phase) => Event::StillRunning(phase),
            Progress::NoData => Event::NoData(self.no_data),
            Progress::Gone => Event::EngineGone,
            Progress::Succeeded(Rows::Stored(rows)) => Event::RowsStored(rows),
            Progress::Succeeded(Rows::AtEngine) => Event::RowsReady,
            Progress::Failed(error) => Event::RemoteFailed(error),
            Progress::Aborted => Event::RemoteAborted,
            Progress::TimedOut => Event::RemoteTimedOut,
        })
    }

    /// Over a connection of its own, never over the query's session.
    async fn send_cancel(&mut self) -> Result<Event, End> {
        let handle = self.handle()?;
        self.shared.metrics.cancels_sent.add_one();
        self.pace.hurry();
        let _timed = self.shared.metrics.engine_call(EngineCall::Cancel);
        let reply = timeout(self.shared.config.call_timeout, self.connection.backend.cancel(&handle));
        Ok(match unless_stopped(&self.shared, reply).await? {
            Ok(Ok(reply)) => Event::CancelAnswered(reply),
            Ok(Err(_)) | Err(_) => Event::CancelUnclear,
        })
    }

    /// The rows may take as long as they take; each call for them has its deadline inside the engine's adapter.
    async fn fetch(&mut self) -> Result<Event, End> {
        let handle = self.handle()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let error = match self.fetch_once(&handle).await? {
                Ok(rows) => return Ok(Event::RowsStored(rows)),
                Err(FetchError::Final(error)) => return Ok(Event::RowsLost(error)),
                Err(FetchError::Retry(error)) => error,
            };
            let timing = self.shared.records.timing();
            if tries > timing.backoff.len() {
                let message = format!("the statement succeeded but its rows could not be fetched: {error}");
                return Ok(Event::RowsLost(ErrorInfo { kind: ErrorKind::ResultFetch, message, ..error.0 }));
            }
            let delay = timing.backoff_after(u32::try_from(tries).unwrap_or(u32::MAX));
            tracing::warn!(%error, tries, "the rows could not be fetched; trying again");
            unless_stopped(&self.shared, sleep(delay)).await?;
        }
    }

    async fn fetch_once(&mut self, handle: &RemoteHandle) -> Result<Result<StoredRows, FetchError>, End> {
        if let Err(error) = self.open_session().await? {
            return Ok(Err(FetchError::Retry(error)));
        }
        // The rows must survive what the record of their success survives.
        let ceiling = self.record()?.row_ceiling;
        let writer = self.shared.results.writer(self.query.id()).at_most(ceiling).sync_on_finish(true);
        self.query.begin_fetch(writer.so_far());
        let Some(session) = &mut self.session else { return Err(End::Detached) };
        let _timed = self.shared.metrics.engine_call(EngineCall::Fetch);
        unless_stopped(&self.shared, session.get().fetch(handle, writer)).await
    }

    async fn wait(&mut self, delay: Duration) -> Result<Event, End> {
        match self.rest(delay, None).await? {
            Rest::DeadlinePassed => Ok(Event::StopRequested(StopReason::Timeout)),
            Rest::Over | Rest::RecordChanged | Rest::EngineChanged => Ok(Event::Resumed),
        }
    }

    // ---- waiting

    /// Rests between two calls, until the delay is over or there is news.
    async fn rest(&mut self, delay: Duration, handle: Option<&RemoteHandle>) -> Result<Rest, End> {
        let until_deadline = self.time_to_deadline()?;
        let session = self.session.as_mut();
        let engine_changed = async {
            match (session, handle) {
                (Some(session), Some(handle)) => session.get().changed(handle).await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => Err(End::Detached),
            () = self.query.beyond(self.decided_on) => Ok(Rest::RecordChanged),
            () = engine_changed => Ok(Rest::EngineChanged),
            () = sleep(until_deadline) => Ok(Rest::DeadlinePassed),
            () = sleep(delay) => Ok(Rest::Over),
        }
    }

    /// Time until we stop what the engine did not; without end when a stop is under way already.
    fn time_to_deadline(&self) -> Result<Duration, End> {
        let record = self.record()?;
        Ok(match (self.shared.records.timing().strikes_at(&record), record.intent) {
            (Some(strike), None) => strike.since(self.shared.config.clock.now()),
            _ => Duration::from_secs(u64::from(u32::MAX)),
        })
    }

    async fn open_session(&mut self) -> Result<Result<(), BackendError>, End> {
        if self.session.is_some() {
            return Ok(Ok(()));
        }
        let _timed = self.shared.metrics.engine_call(EngineCall::Open);
        let opening = timeout(self.shared.config.call_timeout, self.connection.backend.open_session());
        match unless_stopped(&self.shared, opening).await? {
            Ok(Ok(session)) => self.session = Some(OwnedSession::new(session, &self.shared.metrics)),
            Ok(Err(error)) => return Ok(Err(error)),
            Err(_) => return Ok(Err(BackendError(self.no_answer()))),
        }
        Ok(Ok(()))
    }

    /// One call on the session, within its deadline; `None` when that passed.
    async fn call<'a, T, F>(
        &'a mut self,
        kind: EngineCall,
        call: impl FnOnce(&'a mut dyn Session) -> F,
    ) -> Result<Option<T>, End>
    where
        F: Future<Output = T>,
    {
        let Some(session) = &mut self.session else { return Err(End::Detached) };
        let _timed = self.shared.metrics.engine_call(kind);
        let answer = timeout(self.shared.config.call_timeout, call(session.get()));
        Ok(unless_stopped(&self.shared, answer).await?.ok())
    }

    fn no_answer(&self) -> ErrorInfo {
        let seconds = self.shared.config.call_timeout.as_secs();
        ErrorInfo::new(ErrorKind::Unavailable, format!("the engine gave no answer within {seconds} s"))
    }

    fn record(&self) -> Result<Arc<QueryRecord>, End> {
        self.query.record().ok_or(End::Removed)
    }

    /// The pure function asks for nothing that needs a handle before there is one.
    fn handle(&self) -> Result<RemoteHandle, End> {
        self.record()?.handle.clone().ok_or(End::LeaseLost)
    }
}

async fn unless_stopped<T>(shared: &Shared, work: impl Future<Output = T>) -> Result<T, End> {
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => Err(End::Detached),
        result = work => Ok(result),
    }
}

/// Lets an operator find the statement, and its server, in the engine's own history.
fn tag(record: &QueryRecord) -> String {
    let client = record.client.as_deref().unwrap_or("unknown");
    let client: String = client.chars().filter(|c| !c.is_control()).take(TAG_CLIENT).collect();
    serde_json::json!({ "app": "async-query-mcp", "query_id": record.id, "client": client }).to_string()
}
