//! The sessions of one backend: opened when wanted, shared out one call at a time, put away when idle.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::DriverOptions;
use super::error::{CallError, fault};
use super::session::{SnowflakeSession, lock};
use super::sign_in::SignIn;
use super::stats::Counters;
use super::transport::{Call, Mark, Transport};
use crate::wire::driver::QueryRequest;

/// New sessions in a row for one call, when Snowflake ends each of them.
const MAX_SIGN_INS: u32 = 2;

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
    slots: Mutex<Vec<Slot>>,
    upkeep: Mutex<Option<AbortOnDropHandle<()>>>,
}

#[derive(Debug)]
struct Slot {
    session: Arc<SnowflakeSession>,
    leased: bool,
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

    /// A session for one piece of work.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, BackendError> {
        let permit = self.permit(&self.work).await?;
        self.lease_with(permit, None).await
    }

    /// A session to stop a statement with; not the one called `except` if that can be.
    pub(super) async fn lease_for_cancel(
        self: &Arc<Self>,
        except: Option<u64>,
    ) -> Result<Lease, BackendError> {
        let semaphore = if self.options.max_sessions > 1 { &self.reserved } else { &self.work };
        let permit = self.permit(semaphore).await?;
        self.lease_with(permit, except).await
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
        except: Option<u64>,
    ) -> Result<Lease, BackendError> {
        let session = match self.take_idle(except) {
            Some(session) => session,
            None => self.open().await?,
        };
        self.counters.in_use.add_one();
        tracing::debug!(session = session.id, "session taken from the pool");
        Ok(Lease { session, pool: Arc::clone(self), _permit: permit })
    }

    fn take_idle(&self, except: Option<u64>) -> Option<Arc<SnowflakeSession>> {
        let mut slots = lock(&self.slots);
        slots.retain(|slot| slot.leased || !slot.session.has_ended());
        let full = slots.len() >= self.options.max_sessions.max(1);
        let free = |slot: &&mut Slot| !slot.leased;
        let wanted = slots.iter_mut().filter(free).find(|slot| Some(slot.session.id) != except);
        let slot = match wanted {
            Some(slot) => slot,
            // Better the same one again than none.
            None if full => slots.iter_mut().find(|slot| !slot.leased)?,
            None => return None,
        };
        slot.leased = true;
        Some(Arc::clone(&slot.session))
    }

    /// Any session that lives, for a call that only looks. It may be in use: looking disturbs nobody.
    pub(super) async fn shared(self: &Arc<Self>) -> Result<Arc<SnowflakeSession>, BackendError> {
        let living =
            lock(&self.slots).iter().find(|slot| !slot.session.has_ended()).map(|s| Arc::clone(&s.session));
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
        for slot in &*lock(&self.slots) {
            slot.session.settled(handle);
        }
    }

    // ---- opening and closing

    async fn open(self: &Arc<Self>) -> Result<Arc<SnowflakeSession>, BackendError> {
        let signed_in = self.sign_in.sign_in().await?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let session = SnowflakeSession::new(id, &self.transport, &self.counters, signed_in.tokens);
        if !self.options.secondary_roles {
            let rest = no_secondary_roles(&session).await;
            if rest.is_err() {
                session.retire().await;
            }
            rest?;
        }
        let beat = self.options.heartbeat.unwrap_or_else(|| heartbeat_interval(signed_in.master_validity));
        session.start_heart(beat);
        self.start_upkeep();
        lock(&self.slots).push(Slot { session: Arc::clone(&session), leased: true });
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
        let slots = std::mem::take(&mut *lock(&self.slots));
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
            !slot.leased && (session.has_ended() || (!session.has_debts() && session.idle_for() >= idle))
        };
        slots.extract_if(.., overdue).map(|slot| slot.session).collect()
    }

    fn give_back(&self, session: &Arc<SnowflakeSession>) {
        tracing::debug!(session = session.id, "session given back to the pool");
        session.touch();
        let mut slots = lock(&self.slots);
        if session.has_ended() {
            slots.retain(|slot| slot.session.id != session.id);
            session.close();
        } else if let Some(slot) = slots.iter_mut().find(|slot| slot.session.id == session.id) {
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

/// A role is what the configuration names, not the sum of all roles that the user has.
async fn no_secondary_roles(session: &SnowflakeSession) -> Result<(), BackendError> {
    let body = statement("USE SECONDARY ROLES NONE", false, session.next_sequence());
    let deadline = Instant::now() + Duration::from_secs(30);
    let (answer, _) = session.persist(Call::Submit(&body), &Mark::new(), deadline).await;
    let envelope = answer.map_err(BackendError::from)?;
    if envelope.is_success() && !envelope.is_in_progress() {
        return Ok(());
    }
    let advice =
        "secondary roles could not be switched off; allow them in the connection's settings if that is meant";
    Err(BackendError(fault(&envelope).explained(ErrorKind::Configuration, advice)))
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
