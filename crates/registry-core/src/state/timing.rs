//! How long to try and to wait: every number of the lifecycle in one place.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::record::QueryRecord;

/// How long to try and to wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// After a cancel request, how long the engine's confirmation is awaited.
    pub confirm_window: Duration,
    /// After a submission left, how long it may still arrive, and how long it may be repeated. Longer than two calls
    /// that never answer, so that one of those does not spend it all.
    pub resubmit_window: Duration,
    /// Delays between the tries of one call; the last one repeats.
    pub backoff: Vec<Duration>,
    /// Cancel requests that the driver sends before it only waits.
    pub max_cancel_attempts: u32,
    /// Checks in a row that may find no data.
    pub no_data_tolerance: u32,
    /// The limit for a query that names none.
    pub max_timeout: Duration,
    /// The engine stops a statement that it has by itself at its limit; past this much more, we do.
    pub deadline_grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            confirm_window: Duration::from_secs(30),
            resubmit_window: Duration::from_secs(150),
            backoff: [2, 4, 8].map(Duration::from_secs).to_vec(),
            max_cancel_attempts: 3,
            no_data_tolerance: 24,
            max_timeout: Duration::from_secs(24 * 3600),
            deadline_grace: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// The delay after the `tries`th try, counted from 1.
    pub fn backoff_after(&self, tries: u32) -> Duration {
        let place = (tries.max(1) as usize - 1).min(self.backoff.len().saturating_sub(1));
        self.backoff.get(place).copied().unwrap_or_default()
    }

    /// When we stop a query for its time limit: nothing else would stop what the engine never had.
    pub fn strikes_at(&self, record: &QueryRecord) -> Option<Timestamp> {
        let grace = if record.is_unsent() { Duration::ZERO } else { self.deadline_grace };
        record.deadline_at.map(|deadline| deadline + grace)
    }

    /// The time limit of a query, the ceiling included.
    pub fn time_limit(&self, record: &QueryRecord) -> Duration {
        record.options.query_timeout.unwrap_or(self.max_timeout).min(self.max_timeout)
    }
}
