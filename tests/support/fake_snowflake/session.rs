//! Sessions of the driver protocol and their tokens.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::history::{Context, lock};

/// Why a token is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Unknown,
    Expired,
    SessionGone,
    MasterUnknown,
    MasterExpired,
    MasterInvalid,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Mutex<HashMap<u64, Arc<Session>>>,
    taken: AtomicU64,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u64,
    /// The client's program, which decides the format of its results.
    pub(super) application: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tokens: Tokens,
    /// Tokens it had before a renewal.
    old: Vec<String>,
    closed: bool,
    seen: Instant,
    parameters: BTreeMap<String, String>,
    context: Context,
}

/// The two tokens of a session.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    pub(super) session: String,
    pub(super) session_until: Instant,
    pub(super) master: String,
    pub(super) master_until: Instant,
}

impl Tokens {
    fn new(session: Duration, master: Duration) -> Self {
        let now = Instant::now();
        Self {
            session: format!("canary-session-{}", Uuid::new_v4()),
            session_until: now + session,
            master: format!("canary-master-{}", Uuid::new_v4()),
            master_until: now + master,
        }
    }
}

impl Sessions {
    pub(super) fn open(
        &self,
        application: &str,
        context: Context,
        parameters: BTreeMap<String, String>,
        validity: (Duration, Duration),
    ) -> Arc<Session> {
        // Far apart from anything a test writes down by hand.
        let id = 1_000_000 + self.taken.fetch_add(1, Ordering::Relaxed);
        let inner = Inner {
            tokens: Tokens::new(validity.0, validity.1),
            old: vec![],
            closed: false,
            seen: Instant::now(),
            parameters,
            context,
        };
        let session = Arc::new(Session { id, application: application.to_owned(), inner: Mutex::new(inner) });
        lock(&self.all).insert(id, Arc::clone(&session));
        session
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Session>> {
        lock(&self.all).get(&id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.all).values().cloned().collect()
    }

    /// The session of a session token.
    pub(super) fn enter(&self, token: &str) -> Result<Arc<Session>, Refusal> {
        let known = |session: &Arc<Session>| {
            let inner = lock(&session.inner);
            inner.tokens.session == token || inner.old.iter().any(|old| old == token)
        };
        let session = self.all().into_iter().find(known).ok_or(Refusal::Unknown)?;
        session.check(token)?;
        Ok(session)
    }

    /// New tokens for a master token.
    pub(super) fn renew(
        &self,
        master: &str,
        validity: (Duration, Duration),
    ) -> Result<Arc<Session>, Refusal> {
        let all = self.all();
        let has = |wanted: fn(&Tokens) -> &str| {
            all.iter().find(|session| wanted(&lock(&session.inner).tokens) == master).cloned()
        };
        let Some(session) = has(|tokens| &tokens.master) else {
            let is_session_token = has(|tokens| &tokens.session).is_some();
            return Err(if is_session_token { Refusal::MasterInvalid } else { Refusal::MasterUnknown });
        };
        session.renew(validity)?;
        Ok(session)
    }
}

impl Session {
    fn check(&self, token: &str) -> Result<(), Refusal> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(Refusal::SessionGone);
        }
        if inner.tokens.session != token || inner.tokens.session_until <= Instant::now() {
            return Err(Refusal::Expired);
        }
        inner.seen = Instant::now();
        Ok(())
    }

    fn renew(&self, (session, master): (Duration, Duration)) -> Result<(), Refusal> {
        let mut inner = lock(&self.inner);
        if inner.closed {
            return Err(Refusal::SessionGone);
        }
        if inner.tokens.master_until <= Instant::now() {
            return Err(Refusal::MasterExpired);
        }
        let before = std::mem::replace(&mut inner.tokens, Tokens::new(session, master));
        inner.old.push(before.session);
        inner.seen = Instant::now();
        Ok(())
    }

    pub(super) fn tokens(&self) -> Tokens {
        lock(&self.inner).tokens.clone()
    }

    pub(super) fn expire_token(&self) {
        lock(&self.inner).tokens.session_until = Instant::now();
    }

    pub(super) fn expire_master(&self) {
        let mut inner = lock(&self.inner);
        inner.tokens.session_until = Instant::now();
        inner.tokens.master_until = Instant::now();
    }

    pub(super) fn close(&self) {
        lock(&self.inner).closed = true;
    }

    pub(super) fn silence(&self) -> Duration {
        lock(&self.inner).seen.elapsed()
    }

    pub(super) fn context(&self) -> Context {
        lock(&self.inner).context.clone()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        lock(&self.inner).parameters.get(name).cloned()
    }

    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let inner = lock(&self.inner);
        inner.parameters.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub(super) fn set_parameters(&self, pairs: &[(String, Option<String>)]) {
        let mut inner = lock(&self.inner);
        for (name, value) in pairs {
            match value {
                Some(value) => inner.parameters.insert(name.clone(), value.clone()),
                None => inner.parameters.remove(name),
            };
        }
    }

    /// `USE SECONDARY ROLES`
    pub(super) fn use_secondary_roles(&self, roles: Vec<String>) {
        lock(&self.inner).context.secondary_roles = roles;
    }

    pub(super) fn use_object(&self, object: &str, name: &str) {
        let mut inner = lock(&self.inner);
        let place = match object {
            "role" => &mut inner.context.role,
            "warehouse" => &mut inner.context.warehouse,
            "schema" => &mut inner.context.schema,
            _ => &mut inner.context.database,
        };
        *place = Some(name.to_owned());
    }
}
