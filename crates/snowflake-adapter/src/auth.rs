//! Bearer tokens: minted from a key, or read from where the user keeps them, and renewed when the server refuses one.

mod jwt;
mod key;
mod pem;
mod source;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::clock::{Clock, Timestamp};
use registry_core::error::ErrorKind;
use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::config::{ConfigError, Credentials, SnowflakeConfig};
use source::TokenSource;

/// A signed token is replaced this long after it was minted, well before its hour is over.
const RENEW_AFTER: Duration = Duration::from_secs(50 * 60);
/// No clock is further off than this; a server that says so is not believed.
const MOST_SKEW_MILLIS: i64 = 24 * 3600 * 1000;

/// Hands out the token of a connection. Many callers share one; whoever comes first does the work for all.
#[derive(Debug)]
pub struct Authenticator {
    source: Arc<TokenSource>,
    clock: Clock,
    /// How far the server's clock is ahead of ours.
    skew_millis: AtomicI64,
    slot: Mutex<Slot>,
}

/// The current token, or the place that it is about to fill.
#[derive(Debug, Default)]
struct Slot {
    generation: u64,
    cell: Arc<OnceCell<Obtained>>,
}

#[derive(Debug)]
struct Obtained {
    token: BearerToken,
    at: Timestamp,
}

/// A token as requests carry it. It does not print itself.
#[derive(Debug, Clone)]
pub struct BearerToken {
    /// Its kind.
    pub kind: TokenKind,
    /// The token.
    pub value: SecretString,
    /// Counts the tokens of one [`Authenticator`], so that [`Authenticator::rejected`] knows which one was meant.
    pub generation: u64,
}

/// The kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Signed here with the user's key.
    KeypairJwt,
    /// Issued by an authorisation server.
    OAuth,
    /// Issued by Snowflake for programs.
    ProgrammaticAccessToken,
}

impl TokenKind {
    /// The value of `X-Snowflake-Authorization-Token-Type`.
    pub fn header_value(self) -> &'static str {
        match self {
            Self::KeypairJwt => "KEYPAIR_JWT",
            Self::OAuth => "OAUTH",
            Self::ProgrammaticAccessToken => "PROGRAMMATIC_ACCESS_TOKEN",
        }
    }

    /// The value of `AUTHENTICATOR` in a driver's sign-in request.
    pub fn authenticator(self) -> &'static str {
        match self {
            Self::KeypairJwt => "SNOWFLAKE_JWT",
            Self::OAuth => "OAUTH",
            Self::ProgrammaticAccessToken => "PROGRAMMATIC_ACCESS_TOKEN",
        }
    }
}

impl Authenticator {
    /// Prepares to sign in. Keys and files are read when the first token is asked for.
    pub fn new(config: &SnowflakeConfig) -> Result<Self, ConfigError> {
        Self::with_clock(config, Clock::system())
    }

    /// The same with a clock that tests hold still.
    pub fn with_clock(config: &SnowflakeConfig, clock: Clock) -> Result<Self, ConfigError> {
        let source = Arc::new(TokenSource::new(config)?);
        Ok(Self { source, clock, skew_millis: AtomicI64::new(0), slot: Mutex::default() })
    }

    /// The password of a connection that signs in with one. Such a connection has no token.
    pub fn password(&self) -> Option<&SecretString> {
        match self.source.credentials() {
            Credentials::Password(password) => Some(password),
            Credentials::KeyPair { .. } | Credentials::OAuth(_) | Credentials::AccessToken(_) => None,
        }
    }

    /// The current token, made or read first where there is none.
    ///
    /// **Cancel safety:** a dropped call leaves the work to the next caller.
    pub async fn token(&self) -> Result<BearerToken, BackendError> {
        let (generation, cell) = self.current();
        let obtained = cell.get_or_try_init(|| self.obtain(generation)).await?;
        Ok(obtained.token.clone())
    }

    /// The server refused this token: the next one is signed anew, or read again from its file. A token that is
    /// no longer the current one changes nothing, so that many refusals of it lead to one renewal.
    pub async fn rejected(&self, token: &BearerToken) {
        let mut slot = self.slot();
        if slot.generation == token.generation {
            self.source.forget();
            slot.renew();
        }
    }

    /// Tells how far the server's clock is ahead of ours, in milliseconds; negative when it is behind. It counts for
    /// tokens that are signed from now on, so a caller that learned it from a refusal also calls
    /// [`rejected`](Self::rejected).
    pub fn set_clock_skew(&self, millis: i64) {
        self.skew_millis.store(millis.clamp(-MOST_SKEW_MILLIS, MOST_SKEW_MILLIS), Ordering::Relaxed);
    }

    /// The place of the token that is in force now; an ageing one makes room for its successor.
    fn current(&self) -> (u64, Arc<OnceCell<Obtained>>) {
        let mut slot = self.slot();
        if slot.cell.get().is_some_and(|obtained| self.is_due(obtained)) {
            slot.renew();
        }
        (slot.generation, Arc::clone(&slot.cell))
    }

    fn is_due(&self, obtained: &Obtained) -> bool {
        let now = self.clock.now();
        let aged = now < obtained.at || now.since(obtained.at) >= RENEW_AFTER;
        // Only what we sign has an age that we know.
        obtained.token.kind == TokenKind::KeypairJwt && aged
    }

    async fn obtain(&self, generation: u64) -> Result<Obtained, BackendError> {
        let at = self.clock.now();
        let skew = self.skew_millis.load(Ordering::Relaxed);
        let server_time = Timestamp::from_millis(at.as_millis().saturating_add(skew));
        let source = Arc::clone(&self.source);
        let (kind, value) = tokio::task::spawn_blocking(move || source.obtain(server_time))
            .await
            .map_err(|_| BackendError::new(ErrorKind::Internal, "the task that makes tokens stopped"))??;
        Ok(Obtained { token: BearerToken { kind, value, generation }, at })
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// A call that is under way fills the old place, which nobody looks at any more.
    fn renew(&mut self) {
        *self = Self { generation: self.generation + 1, cell: Arc::default() };
    }
}
