//! One session at Snowflake: its tokens, its heartbeat, and the statements that must not die with it.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::error::{CallError, SessionVerdict, session_verdict};
use super::stats::Counters;
use super::transport::{Call, Mark, Transport};
use crate::retry::{Judgement, Verdict, repeat};
use crate::wire::driver::{Envelope, RenewAnswer, RenewRequest};

/// A token that was renewed just now and has expired again is no token.
const MAX_RENEWALS: u32 = 2;
/// The longest wait for the answer to a goodbye.
const LOGOUT_LIMIT: Duration = Duration::from_secs(5);

/// What a sign-in or a renewal gave.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) session: SecretString,
    pub(super) master: SecretString,
    pub(super) generation: u64,
}

/// One session. It ends at Snowflake when that says so; a new sign-in makes a new one.
pub(super) struct SnowflakeSession {
    /// Ours, for logs; Snowflake's is not told.
    pub(super) id: u64,
    transport: Arc<Transport>,
    counters: Arc<Counters>,
    tokens: Mutex<Tokens>,
    renewing: tokio::sync::Mutex<()>,
    ended: AtomicBool,
    closed: AtomicBool,
    spent: AtomicBool,
    sequence: AtomicU64,
    debts: Mutex<Debts>,
    last_used: Mutex<Instant>,
    heart: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// A logout stops what still runs in the session, so it must not be said while there is any of these.
#[derive(Debug, Default)]
struct Debts {
    running: HashSet<String>,
    /// Submissions whose answer has not come.
    unanswered: HashSet<String>,
}

impl SnowflakeSession {
    pub(super) fn new(
        id: u64,
        transport: &Arc<Transport>,
        counters: &Arc<Counters>,
        tokens: Tokens,
    ) -> Arc<Self> {
        counters.opened.add_one();
        tracing::debug!(session = id, "session opened");
        Arc::new(Self {
            id,
            transport: Arc::clone(transport),
            counters: Arc::clone(counters),
            tokens: Mutex::new(tokens),
            renewing: tokio::sync::Mutex::default(),
            ended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            spent: AtomicBool::new(false),
            sequence: AtomicU64::new(0),
            debts: Mutex::default(),
            last_used: Mutex::new(Instant::now()),
            heart: Mutex::default(),
        })
    }

    /// Makes one call, without repeating it for anything but an expired token.
    pub(super) async fn call(&self, call: Call<'_>, mark: &Mark) -> Result<Envelope, CallError> {
        for _ in 0..=MAX_RENEWALS {
            if self.has_ended() {
                return Err(CallError::SessionEnded);
            }
            let tokens = lock(&self.tokens).clone();
            let answer = self.transport.call(call, mark, &tokens.session).await;
            match verdict(&answer) {
                SessionVerdict::Fine => return answer,
                SessionVerdict::Renew => self.renew(tokens.generation).await?,
                SessionVerdict::SignIn => break,
            }
        }
        self.end();
        Err(CallError::SessionEnded)
    }

    /// The same call until it is answered, as often as the policy has it. The second value tells whether an attempt
    /// without an answer may have arrived.
    pub(super) async fn persist(
        &self,
        call: Call<'_>,
        mark: &Mark,
        deadline: Instant,
    ) -> (Result<Envelope, CallError>, bool) {
        let (reason, may_have_arrived) = (AtomicU16::new(0), AtomicBool::new(false));
        let attempt = |number: u32| {
            let mark = mark.at(number - 1, reason.load(Ordering::Relaxed));
            async move { self.call(call, &mark).await }
        };
        let judge = |answer: &Result<Envelope, CallError>| {
            let Err(error) = answer else { return judged(Verdict::Done, None) };
            reason.store(error.reason(), Ordering::Relaxed);
            may_have_arrived.fetch_or(error.may_have_arrived(), Ordering::Relaxed);
            let verdict = match error {
                CallError::Status { status: 429, .. } => Verdict::Throttled,
                error if error.is_transient() => Verdict::Transient,
                _ => Verdict::Done,
            };
            judged(verdict, error.retry_after())
        };
        let (policy, bucket) = self.transport.retries();
        let answer = repeat(policy, bucket, deadline, attempt, judge).await;
        (answer, may_have_arrived.into_inner())
    }

    /// One renewal for all who ask for it at the same time.
    async fn renew(&self, seen: u64) -> Result<(), CallError> {
        let _turn = self.renewing.lock().await;
        let tokens = lock(&self.tokens).clone();
        if tokens.generation != seen {
            return Ok(());
        }
        let body = RenewRequest { old_session_token: tokens.session.expose_secret(), request_type: "RENEW" };
        let answer = self.transport.renew(&tokens.master, &Mark::new(), &body).await;
        let refused = match &answer {
            Ok(envelope) => !envelope.is_success(),
            Err(_) => verdict(&answer) != SessionVerdict::Fine,
        };
        if refused {
            self.end();
            return Err(CallError::SessionEnded);
        }
        let renewed = renewed(&answer?, &tokens)?;
        *lock(&self.tokens) = renewed;
        self.counters.renewals.add_one();
        tracing::debug!(session = self.id, "session token renewed");
        Ok(())
    }

    /// Snowflake forgets a session that is quiet for too long, and may stop what runs in it.
    pub(super) fn start_heart(self: &Arc<Self>, interval: Duration) {
        let beating = beat(Arc::downgrade(self), interval);
        *lock(&self.heart) = Some(AbortOnDropHandle::new(tokio::spawn(beating)));
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        if !self.ended.swap(true, Ordering::AcqRel) {
            tracing::debug!(session = self.id, "session ended at Snowflake");
        }
    }

    /// Takes no further statement: the one that comes may leave it with another role, database or setting.
    pub(super) fn spend(&self) {
        self.spent.store(true, Ordering::Release);
    }

    pub(super) fn is_spent(&self) -> bool {
        self.spent.load(Ordering::Acquire)
    }

    // ---- what must not die with the session

    pub(super) fn owes_answer(&self, request: &str) {
        lock(&self.debts).unanswered.insert(request.to_owned());
    }

    pub(super) fn answered(&self, request: &str) {
        lock(&self.debts).unanswered.remove(request);
    }

    pub(super) fn runs(&self, handle: &str) {
        lock(&self.debts).running.insert(handle.to_owned());
    }

    pub(super) fn settled(&self, handle: &str) {
        lock(&self.debts).running.remove(handle);
    }

    pub(super) fn has_debts(&self) -> bool {
        let debts = lock(&self.debts);
        !debts.running.is_empty() || !debts.unanswered.is_empty()
    }

    pub(super) fn touch(&self) {
        *lock(&self.last_used) = Instant::now();
    }

    pub(super) fn idle_for(&self) -> Duration {
        lock(&self.last_used).elapsed()
    }

    // ---- the end

    /// Says goodbye when nothing depends on the session, or else just lets go of it.
    pub(super) async fn retire(&self) {
        if !self.close() || self.has_ended() || self.has_debts() {
            return;
        }
        self.counters.logouts.add_one();
        let token = lock(&self.tokens).session.clone();
        let mark = Mark::new();
        let goodbye = self.transport.call(Call::Logout, &mark, &token);
        if !matches!(tokio::time::timeout(LOGOUT_LIMIT, goodbye).await, Ok(Ok(_))) {
            tracing::debug!(session = self.id, "the goodbye was not answered");
        }
    }

    /// Ends the heartbeat and counts the end, once.
    pub(super) fn close(&self) -> bool {
        drop(lock(&self.heart).take());
        let first = !self.closed.swap(true, Ordering::AcqRel);
        if first {
            self.counters.closed.add_one();
            tracing::debug!(session = self.id, "session closed");
        }
        first
    }
}

impl Drop for SnowflakeSession {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for SnowflakeSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnowflakeSession")
            .field("id", &self.id)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// The task holds no session: it ends with it, and a session is not kept for the sake of its heartbeat.
async fn beat(session: Weak<SnowflakeSession>, interval: Duration) {
    loop {
        sleep(interval).await;
        let Some(session) = session.upgrade() else { return };
        match session.call(Call::Heartbeat, &Mark::new()).await {
            Ok(_) => session.counters.heartbeats.add_one(),
            Err(CallError::SessionEnded) => return,
            Err(error) => tracing::debug!(session = session.id, %error, "a heartbeat was not answered"),
        }
    }
}

fn verdict(answer: &Result<Envelope, CallError>) -> SessionVerdict {
    match answer {
        Ok(envelope) => session_verdict(envelope.code()),
        Err(CallError::Status { status: 401, .. }) => SessionVerdict::SignIn,
        Err(CallError::Status { code: Some(code), .. }) => session_verdict(code.number().unwrap_or(0)),
        Err(_) => SessionVerdict::Fine,
    }
}

fn renewed(envelope: &Envelope, old: &Tokens) -> Result<Tokens, CallError> {
    let answer: RenewAnswer = envelope.data_or_default();
    let session =
        answer.session_token.ok_or_else(|| CallError::Protocol("a renewal gave no token".to_owned()))?;
    let master = answer.master_token.map_or_else(|| Ok(old.master.clone()), usable)?;
    Ok(Tokens { session: usable(session)?, master, generation: old.generation + 1 })
}

/// A token goes into a header and between quotes; anything else is refused before it can do harm there.
pub(super) fn usable(token: String) -> Result<SecretString, CallError> {
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if fits {
        Ok(token.into())
    } else {
        Err(CallError::Protocol("Snowflake gave a token of unknown form".to_owned()))
    }
}

fn judged(verdict: Verdict, retry_after: Option<Duration>) -> Judgement {
    Judgement { verdict, retry_after }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
