//! Counters of what the sessions at Snowflake do.

use std::sync::atomic::{AtomicU64, Ordering};

use registry_core::metrics::EngineMetric;

use crate::http::{counter, gauge};

/// Counters and gauges of one backend's sessions at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Sessions that were opened.
    pub opened: u64,
    /// Sessions that were closed, by whatever way; each once.
    pub closed: u64,
    /// Sign-ins that were sent.
    pub logins: u64,
    /// Goodbyes that were said to Snowflake.
    pub logouts: u64,
    /// Tokens that were renewed.
    pub renewals: u64,
    /// Heartbeats that were answered.
    pub heartbeats: u64,
    /// Sessions that serve a call now.
    pub in_use: u64,
}

impl SessionStats {
    pub(super) fn metrics(self, limit: usize) -> [EngineMetric; 8] {
        [
            counter("snowflake_sessions_opened_total", "Sessions opened in the pool.", self.opened),
            counter(
                "snowflake_sessions_closed_total",
                "Sessions of the pool that ended, each once.",
                self.closed,
            ),
            gauge(
                "snowflake_sessions_open",
                "Sessions in the pool.",
                self.opened.saturating_sub(self.closed),
            ),
            gauge("snowflake_sessions_in_use", "Sessions that serve a call.", self.in_use),
            gauge("snowflake_sessions_limit", "Sessions that there may be.", limit as u64),
            counter("snowflake_sign_ins_total", "Sign-ins that were sent.", self.logins),
            counter("snowflake_token_renewals_total", "Session tokens that were renewed.", self.renewals),
            counter("snowflake_heartbeats_total", "Heartbeats that were answered.", self.heartbeats),
        ]
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) opened: Counter,
    pub(super) closed: Counter,
    pub(super) logins: Counter,
    pub(super) logouts: Counter,
    pub(super) renewals: Counter,
    pub(super) heartbeats: Counter,
    pub(super) in_use: Counter,
}

impl Counters {
    pub(super) fn snapshot(&self) -> SessionStats {
        SessionStats {
            opened: self.opened.get(),
            closed: self.closed.get(),
            logins: self.logins.get(),
            logouts: self.logouts.get(),
            renewals: self.renewals.get(),
            heartbeats: self.heartbeats.get(),
            in_use: self.in_use.get(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take_one(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
