//! What all connections of this process to one account share.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use registry_core::metrics::{EngineMetric, MetricKind};
use reqwest::Url;

use crate::breaker::Breaker;
use crate::retry::Bucket;

static ACCOUNTS: LazyLock<Mutex<HashMap<String, Weak<Account>>>> = LazyLock::new(Mutex::default);

/// The health of the way to an account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) breaker: Breaker,
    pub(crate) bucket: Bucket,
    /// Why the last call without an answer had none.
    silence: Mutex<String>,
}

impl Account {
    /// The account behind an address. Connections that differ only in user or role have it in common.
    pub(crate) fn of(base: &Url) -> Arc<Self> {
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| account.strong_count() > 0);
        let key = base.origin().ascii_serialization();
        if let Some(account) = accounts.get(&key).and_then(Weak::upgrade) {
            return account;
        }
        let account = Arc::new(Self::default());
        accounts.insert(key, Arc::downgrade(&account));
        account
    }

    /// Keeps why a call had no answer, for those that are held back after it.
    pub(crate) fn was_silent(&self, why: &str) {
        why.clone_into(&mut self.silence.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Why calls are held back, and for how long.
    pub(crate) fn pause_in_words(&self, host: &str, pause: Duration) -> String {
        let why = self.silence.lock().unwrap_or_else(PoisonError::into_inner);
        let why = if why.is_empty() { format!("{host} does not answer") } else { why.clone() };
        format!("{why}; the next try is made in {} s", pause.as_secs_f64().ceil())
    }

    /// What can be told of it to whoever watches the process.
    pub(crate) fn metrics(&self) -> Vec<EngineMetric> {
        let (breaker, bucket) = (&self.breaker, &self.bucket);
        vec![
            counter(
                "snowflake_repeats_total",
                "HTTP calls to the account that were made again.",
                bucket.repeats(),
            ),
            gauge(
                "snowflake_retry_budget",
                "What is left to spend on repeats, of 500.",
                bucket.left().into(),
            ),
            counter("snowflake_pauses_total", "Pauses after calls without an answer.", breaker.pauses()),
            gauge(
                "snowflake_paused",
                "1 while calls are held back because none was answered.",
                breaker.is_paused().into(),
            ),
        ]
    }
}

/// A number that only grows.
pub(crate) fn counter(name: &'static str, help: &'static str, value: u64) -> EngineMetric {
    EngineMetric { name, help, kind: MetricKind::Counter, value }
}

/// A number that goes up and down.
pub(crate) fn gauge(name: &'static str, help: &'static str, value: u64) -> EngineMetric {
    EngineMetric { name, help, kind: MetricKind::Gauge, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_one_host_share_their_account() {
        let url = |text: &str| Url::parse(text).unwrap();
        let first = Account::of(&url("https://shared.example/"));
        assert!(Arc::ptr_eq(&first, &Account::of(&url("https://shared.example:443/other"))));
        assert!(!Arc::ptr_eq(&first, &Account::of(&url("https://other.example/"))));
    }
}
