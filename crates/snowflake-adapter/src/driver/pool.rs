//! The sessions of one backend: opened when wanted, shared out one call at a time, put away when idle.

use std::cmp::Reverse;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use serde_json::{Map, Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::DriverOptions;
use super::error::CallError;
use super::secondary_roles;
use super::session::{SnowflakeSession, lock};
use super::sign_in::SignIn;
use super::stats::Counters;
use super::transport::{Call, Mark, Transport};
use crate::config::StatementContext;
use crate::wire::driver::QueryRequest;

/// New sessions in a row for one call, when Snowflake ends each of them.
const MAX_SIGN_INS: u32 = 2;
/// No statement of our own may take longer.
const OWN_LIMIT: Duration = Duration::from_secs(60);

/// The sessions of one backend.
#[derive(Debug)]
pub(super) struct Pool {
    sign_in: SignIn,
    transport: Arc<Transport>,
    counters: Arc<Counters>,
    options: DriverOptions,
    /// One permit is the right to use one session.
    work: Arc<Semaphore>,
    /// A place that ordinary work cannot take, so that a cancel never waits for it.
    reserved: Arc<Semaphore>,
    next_id: AtomicU64,
    /// Where and as whom statements run that say nothing about it.
    home: StatementContext,
    slots: Mutex<Slots>,
    upkeep: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug, Default)]
struct Slots {
    all: Vec<Slot>,
    /// Sessions that are being opened.
    opening: usize,
}

#[derive(Debug)]
struct Slot {
    session: Arc<SnowflakeSession>,
    /// As what it was opened, for ever: no statement shares it that wants another.
    context: StatementContext,
    leased: bool,
}

/// What the pool has for one who asks.
enum Offer {
    Session(Arc<SnowflakeSession>),
    /// A place for a new one, and the idle one that must go for it.
    Place(Opening, Option<Arc<SnowflakeSession>>),
}

/// The place of a session that is being opened.
struct Opening(Arc<Pool>);

impl Drop for Opening {
    fn drop(&mut self) {
        let mut slots = lock(&self.0.slots);
        slots.opening = slots.opening.saturating_sub(1);
    }
}

impl Slot {
    /// How little is lost with it; `None` while it is in use.
    fn worth(&self) -> Option<(bool, bool, Reverse<Duration>)> {
        let session = &self.session;
        (!self.leased).then(|| (session.has_debts(), !session.is_spent(), Reverse(session.idle_for())))
    }
}

/// The use of one session by one caller.
pub(super) struct Lease {
    pub(super) session: Arc<SnowflakeSession>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(
        sign_in: SignIn,
        home: StatementContext,
        transport: &Arc<Transport>,
        counters: &Arc<Counters>,
        options: DriverOptions,
    ) -> Arc<Self> {
        let max = options.max_sessions.max(1);
        let reserved = usize::from(max > 1);
        Arc::new(Self {
            sign_in,
            transport: Arc::clone(transport),
            counters: Arc::clone(counters),
            options,
            work: Arc::new(Semaphore::new(max - reserved)),
            reserved: Arc::new(Semaphore::new(reserved)),
            next_id: AtomicU64::new(1),
            home,
            slots: Mutex::default(),
            upkeep: Mutex::default(),
        })
    }

    /// How many sessions there may be.
    pub(super) fn limit(&self) -> usize {
        self.options.max_sessions.max(1)
    }

    pub(super) fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    pub(super) fn home(&self) -> &StatementContext {
        &self.home
    }

    /// A session for one piece of work in the connection's own context.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, BackendError> {
        self.lease_as(&self.home).await
    }

    /// A session for one piece of work in this context and no other.
    pub(super) async fn lease_as(
        self: &Arc<Self>,
        context: &StatementContext,
    ) -> Result<Lease, BackendError> {
        let permit = self.permit(&self.work).await?;
        self.lease_with(permit, context, None).await
    }

    /// A session to stop a statement with; not the one called `except` if that can be.
    pub(super) async fn lease_for_cancel(
        self: &Arc<Self>,
        except: Option<u64>,
    ) -> Result<Lease, BackendError> {
        let semaphore = if self.options.max_sessions > 1 { &self.reserved } else { &self.work };
        let permit = self.permit(semaphore).await?;
        self.lease_with(permit, &self.home, except).await
    }

    async fn permit(&self, semaphore: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, BackendError> {
        let limit = self.transport.deadlines().request;
        match tokio::time::timeout(limit, Arc::clone(semaphore).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(BackendError::new(ErrorKind::Internal, "the sessions are closed")),
            Err(_) => {
                Err(BackendError::new(ErrorKind::Unavailable, "no session became free in time; try again"))
            }
        }
    }

    async fn lease_with(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        context: &StatementContext,
        except: Option<u64>,
    ) -> Result<Lease, BackendError> {
        let session = match self.offer(context, except) {
            Offer::Session(session) => session,
            Offer::Place(_opening, displaced) => {
                if let Some(displaced) = displaced {
                    displaced.retire().await;
                }
                self.open(context).await?
            }
        };
        self.counters.in_use.add_one();
        tracing::debug!(session = session.id, "session taken from the pool");
        Ok(Lease { session, pool: Arc::clone(self), _permit: permit })
    }

    fn offer(self: &Arc<Self>, context: &StatementContext, except: Option<u64>) -> Offer {
        let mut slots = lock(&self.slots);
        slots.all.retain(|slot| slot.leased || !slot.session.has_ended());
        let full = slots.all.len() + slots.opening >= self.limit();
        let fits = |slot: &&mut Slot| !slot.leased && !slot.session.is_spent() && slot.context == *context;
        let mut fitting = slots.all.iter_mut().filter(fits);
        // When there is no room, better the same one again than none.
        let slot = match fitting.next() {
            Some(slot) if Some(slot.session.id) == except => fitting.next().or(full.then_some(slot)),
            slot => slot,
        };
        if let Some(slot) = slot {
            slot.leased = true;
            return Offer::Session(Arc::clone(&slot.session));
        }
        let displaced = if full { displace(&mut slots.all) } else { None };
        slots.opening += 1;
        Offer::Place(Opening(Arc::clone(self)), displaced)
    }

    /// Any session that lives, for a call that only looks. It may be in use: looking disturbs nobody.
    pub(super) async fn shared(self: &Arc<Self>) -> Result<Arc<SnowflakeSession>, BackendError> {
        let living = lock(&self.slots)
            .all
            .iter()
            .find(|slot| !slot.session.has_ended())
            .map(|s| Arc::clone(&s.session));
        match living {
            Some(session) => Ok(session),
            None => Ok(Arc::clone(&self.lease().await?.session)),
        }
    }

    /// Makes a call that only looks, over another session should the first have ended.
    pub(super) async fn look(
        self: &Arc<Self>,
        home: Option<&Arc<SnowflakeSession>>,
        call: Call<'_>,
    ) -> Result<crate::wire::driver::Envelope, BackendError> {
        let mut first = home.filter(|session| !session.has_ended()).cloned();
        for _ in 0..=MAX_SIGN_INS {
            let session = match first.take() {
                Some(session) => session,
                None => self.shared().await?,
            };
            session.touch();
            match session.call(call, &Mark::new()).await {
                Err(CallError::SessionEnded) => {}
                Err(error) => return Err(error.into()),
                Ok(envelope) => return Ok(envelope),
            }
        }
        Err(no_session_lasts())
    }

    /// A statement has ended: its session may be put away.
    pub(super) fn settled(&self, handle: &str) {
        for slot in &lock(&self.slots).all {
            slot.session.settled(handle);
        }
    }

    // ---- opening and closing

    async fn open(
        self: &Arc<Self>,
        context: &StatementContext,
    ) -> Result<Arc<SnowflakeSession>, BackendError> {
        let signed_in = self.sign_in.sign_in(context).await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = SnowflakeSession::new(id, &self.transport, &self.counters, signed_in.tokens);
        if !self.options.secondary_roles {
            let rest = secondary_roles::switch_off(&session).await;
            if rest.is_err() {
                session.retire().await;
            }
            rest?;
        }
        let beat = self.options.heartbeat.unwrap_or_else(|| heartbeat_interval(signed_in.master_validity));
        session.start_heart(beat);
        self.start_upkeep();
        let slot = Slot { session: Arc::clone(&session), context: context.clone(), leased: true };
        lock(&self.slots).all.push(slot);
        Ok(session)
    }

    fn start_upkeep(self: &Arc<Self>) {
        let mut upkeep = lock(&self.upkeep);
        if upkeep.is_none() {
            let working = put_idle_away(Arc::downgrade(self), self.options.idle);
            *upkeep = Some(AbortOnDropHandle::new(tokio::spawn(working)));
        }
    }

    /// Says goodbye to every session that nothing depends on, and lets go of the others.
    pub(super) async fn shut_down(&self) {
        self.work.close();
        self.reserved.close();
        drop(lock(&self.upkeep).take());
        let slots = std::mem::take(&mut lock(&self.slots).all);
        retire_all(slots.into_iter().filter_map(|slot| {
            if slot.leased {
                slot.session.close();
                return None;
            }
            Some(slot.session)
        }))
        .await;
    }

    fn take_overdue(&self, idle: Duration) -> Vec<Arc<SnowflakeSession>> {
        let mut slots = lock(&self.slots);
        let overdue = |slot: &mut Slot| {
            let session = &slot.session;
            let unwanted = session.is_spent() || session.idle_for() >= idle;
            !slot.leased && (session.has_ended() || (!session.has_debts() && unwanted))
        };
        slots.all.extract_if(.., overdue).map(|slot| slot.session).collect()
    }

    fn give_back(&self, session: &Arc<SnowflakeSession>) {
        tracing::debug!(session = session.id, "session given back to the pool");
        session.touch();
        let mut slots = lock(&self.slots);
        if session.has_ended() {
            slots.all.retain(|slot| slot.session.id != session.id);
            session.close();
        } else if let Some(slot) = slots.all.iter_mut().find(|slot| slot.session.id == session.id) {
            slot.leased = false;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.counters.in_use.take_one();
        self.pool.give_back(&self.session);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("session", &self.session.id).finish_non_exhaustive()
    }
}

/// Takes out the idle session with which the least is lost.
fn displace(slots: &mut Vec<Slot>) -> Option<Arc<SnowflakeSession>> {
    let idle = slots.iter().enumerate().filter_map(|(place, slot)| Some((slot.worth()?, place)));
    let (_, place) = idle.min()?;
    Some(slots.swap_remove(place).session)
}

/// One error for a call whose every session ended under it.
pub(super) fn no_session_lasts() -> BackendError {
    BackendError::new(
        ErrorKind::Authentication,
        "Snowflake ended each of several new sessions at once; check the user's session policy and try again",
    )
}

pub(super) const SIGN_INS: u32 = MAX_SIGN_INS;

/// The rule of the drivers: between a sixteenth and a quarter of the time after which the session is forgotten.
fn heartbeat_interval(master_validity: Duration) -> Duration {
    const LONGEST: Duration = Duration::from_secs(3600);
    const SHORTEST: Duration = Duration::from_secs(900);
    // A session that lives for less than an hour needs it sooner than the usual shortest interval.
    let quarter = (master_validity / 4).max(Duration::from_secs(1));
    LONGEST.min(quarter).max(SHORTEST.min(quarter)).max(master_validity / 16)
}

async fn put_idle_away(pool: Weak<Pool>, idle: Duration) {
    loop {
        sleep((idle / 4).max(Duration::from_millis(10))).await;
        let Some(pool) = pool.upgrade() else { return };
        let overdue = pool.take_overdue(idle);
        retire_all(overdue.into_iter()).await;
    }
}

fn retire_all(sessions: impl Iterator<Item = Arc<SnowflakeSession>>) -> impl Future<Output = ()> {
    let mut goodbyes = tokio::task::JoinSet::new();
    for session in sessions {
        goodbyes.spawn(async move { session.retire().await });
    }
    async move { while goodbyes.join_next().await.is_some() {} }
}

/// A short statement of our own.
pub(super) fn own_statement(sql: &str, sequence_id: u64) -> QueryRequest<'_> {
    let limits = Limits { time: OWN_LIMIT, rows: None };
    QueryRequest { parameters: limits.parameters(), ..statement(sql, false, sequence_id) }
}

/// What a statement may take, told to Snowflake with every one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) time: Duration,
    pub(super) rows: Option<u64>,
}

impl Limits {
    /// Without a limit of ours all rows come, whatever the account says: a result that was cut without a word would be
    /// taken for the whole.
    pub(super) fn parameters(self) -> Map<String, Value> {
        // Never zero, which would mean no limit.
        let seconds = json!(self.time.as_secs().clamp(1, 604_800));
        Map::from_iter([
            ("MULTI_STATEMENT_COUNT".to_owned(), json!(1)),
            ("ROWS_PER_RESULTSET".to_owned(), json!(self.rows.unwrap_or(0))),
            ("STATEMENT_QUEUED_TIMEOUT_IN_SECONDS".to_owned(), seconds.clone()),
            ("STATEMENT_TIMEOUT_IN_SECONDS".to_owned(), seconds),
        ])
    }
}

/// A submission without parameters.
pub(super) fn statement(sql: &str, async_exec: bool, sequence_id: u64) -> QueryRequest<'_> {
    QueryRequest {
        sql_text: sql,
        async_exec,
        sequence_id,
        query_submission_time: super::transport::now_millis(),
        is_internal: false,
        describe_only: false,
        parameters: serde_json::Map::new(),
        query_context_dto: serde_json::Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_comes_between_a_sixteenth_and_a_quarter_of_the_validity() {
        let interval = |seconds| heartbeat_interval(Duration::from_secs(seconds)).as_secs();
        assert_eq!(interval(4 * 3600), 3600);
        assert_eq!(interval(2 * 3600), 1800);
        assert_eq!(interval(24 * 3600), 5400);
        assert_eq!(interval(600), 150);
    }
}
