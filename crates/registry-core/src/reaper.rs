//! Pays what ended queries still owe at their engine: a statement that may run on is stopped, or given up after a day.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use crate::backend::{BackendError, CancelReply, Lookup, Progress};
use crate::error::{ErrorInfo, ErrorKind};
use crate::id::RemoteHandle;
use crate::live::LiveQuery;
use crate::record::QueryRecord;
use crate::session::OwnedSession;
use crate::shared::{Connection, Shared};
use crate::state::Event;

/// Longer than any engine keeps a statement that nobody asks after.
const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// The delays between two tries, the last one for ever.
const DELAYS: [u64; 6] = [1, 2, 4, 8, 30, 60];

/// Starts to pay the debt of a query that this process owns.
pub(crate) fn start(shared: &Arc<Shared>, query: &Arc<LiveQuery>) {
    let Some(record) = query.record() else { return };
    if record.lease.owner != shared.instance() {
        return;
    }
    let Some(connection) = shared.connection_of(&record).map(Arc::clone) else { return };
    let tasks = shared.tasks.clone();
    let (shared, query) = (Arc::clone(shared), Arc::clone(query));
    let span = query.span().clone();
    let paying = async move {
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = pay(&shared, &connection, &query, &record) => {}
        }
    };
    tasks.spawn(paying.instrument(span));
}

async fn pay(shared: &Arc<Shared>, connection: &Connection, query: &Arc<LiveQuery>, record: &QueryRecord) {
    let start = Instant::now();
    let mut tries = 0;
    let event = loop {
        match try_once(shared, connection, record).await {
            Ok(Standing::Settled) => break Event::DebtPaid,
            Ok(Standing::Refused) => break Event::DebtGivenUp,
            Ok(Standing::Open) => {}
            Err(error) => {
                tracing::warn!(%error, "a statement may still run at the engine")
            }
        }
        if start.elapsed() > GIVE_UP_AFTER {
            break Event::DebtGivenUp;
        }
        sleep(delay(tries)).await;
        tries += 1;
    };
    settle(shared, query, event).await;
}

async fn settle(shared: &Arc<Shared>, query: &Arc<LiveQuery>, event: Event) {
    let counter = match event {
        Event::DebtGivenUp => &shared.metrics.debts_given_up,
        _ => &shared.metrics.debts_paid,
    };
    counter.add_one();
    match shared.records.apply(query, event).await {
        Ok(applied) => drop(shared.carry_out(query, applied.effects).await),
        Err(error) => tracing::warn!(%error, "cannot note that the debt is settled"),
    }
}

fn delay(tries: usize) -> Duration {
    Duration::from_secs(DELAYS.get(tries).or(DELAYS.last()).copied().unwrap_or(60))
}

/// How the debt stands after one try.
enum Standing {
    /// Nothing of the query runs any more.
    Settled,
    /// The engine will not stop it for us.
    Refused,
    /// Try again.
    Open,
}

async fn try_once(
    shared: &Shared,
    connection: &Connection,
    record: &QueryRecord,
) -> Result<Standing, BackendError> {
    let limit = shared.config.call_timeout;
    let mut session =
        OwnedSession::new(within(limit, connection.backend.open_session()).await?, &shared.metrics);
    let standing = match find_handle(shared, &mut session, record).await {
        Ok(Some(handle)) => stop(shared, connection, &mut session, &handle).await,
        Ok(None) if may_still_arrive(shared, record) => Ok(Standing::Open),
        Ok(None) => Ok(Standing::Settled),
        Err(error) => Err(error),
    };
    session.close().await;
    standing
}

async fn find_handle(
    shared: &Shared,
    session: &mut OwnedSession,
    record: &QueryRecord,
) -> Result<Option<RemoteHandle>, BackendError> {
    if let Some(handle) = &record.handle {
        return Ok(Some(handle.clone()));
    }
    match within(shared.config.call_timeout, session.get().lookup(record.request_id)).await? {
        Lookup::Found(handle) => Ok(Some(handle)),
        Lookup::Missing | Lookup::NeverArrived => Ok(None),
    }
}

/// Asks first: a statement that has ended needs no cancel.
async fn stop(
    shared: &Shared,
    connection: &Connection,
    session: &mut OwnedSession,
    handle: &RemoteHandle,
) -> Result<Standing, BackendError> {
    let limit = shared.config.call_timeout;
    match within(limit, session.get().check(handle)).await? {
        // A handle that is not known for a moment may be known in the next: the answer to the cancel decides.
        Progress::Running(_) | Progress::NoData => {}
        Progress::Gone
        | Progress::Succeeded(_)
        | Progress::Failed(_)
        | Progress::Aborted
        | Progress::TimedOut => return Ok(Standing::Settled),
    }
    shared.metrics.cancels_sent.add_one();
    Ok(match within(limit, connection.backend.cancel(handle)).await? {
        CancelReply::Accepted => Standing::Open,
        CancelReply::NotRunning => Standing::Settled,
        CancelReply::Refused(_) => Standing::Refused,
    })
}

fn may_still_arrive(shared: &Shared, record: &QueryRecord) -> bool {
    let window = shared.records.timing().resubmit_window;
    record.posts.last_at.is_some_and(|last| shared.config.clock.now().since(last) < window)
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, BackendError>>,
) -> Result<T, BackendError> {
    timeout(limit, call).await.unwrap_or_else(|_| {
        Err(BackendError(ErrorInfo::new(ErrorKind::Unavailable, "the engine gave no answer in time")))
    })
}
