//! A pause for a service that does not answer: its queries do not queue up behind dead connections.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many calls in a row without an answer start the pause.
const THRESHOLD: u32 = 5;
/// In the pause one call is let through every so often, to see whether the service is back.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// A call that was given up after this long went without an answer; one that was given up earlier says nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Lets calls through while the service answers. An answer that refuses is an answer.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    pauses: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Calls in a row that went without an answer.
    failures: u32,
    /// When the next probe may leave; `None` outside of a pause.
    next_probe: Option<Instant>,
    probing: bool,
}

impl State {
    /// How long a call has to wait.
    fn delay(&self) -> Option<Duration> {
        let left = self.next_probe?.saturating_duration_since(Instant::now());
        match self.probing {
            true => Some(left.max(Duration::from_secs(1))),
            false => Some(left).filter(|left| !left.is_zero()),
        }
    }
}

impl Breaker {
    /// How long no call is let through; `None` when one would be.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.lock().delay()
    }

    /// Pauses so far.
    pub(crate) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::Relaxed)
    }

    /// Whether there is a pause now, be it interrupted by a probe.
    pub(crate) fn is_paused(&self) -> bool {
        self.lock().next_probe.is_some()
    }

    /// Lets a call through, or says how long the pause lasts.
    pub(crate) fn enter(&self) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        if let Some(delay) = state.delay() {
            return Err(delay);
        }
        let is_probe = state.next_probe.is_some();
        state.probing |= is_probe;
        Ok(Pass { breaker: self, is_probe, entered: Instant::now(), is_told: false })
    }

    fn count_failure(&self) {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= THRESHOLD {
            if state.next_probe.is_none() {
                self.pauses.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(
                    failures = state.failures,
                    "the service does not answer; calls are held back"
                );
            }
            state.next_probe = Some(Instant::now() + PROBE_INTERVAL);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way, which its caller may also drop without a word.
#[derive(Debug)]
#[must_use = "the end of the call is to be told"]
pub(crate) struct Pass<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    entered: Instant,
    is_told: bool,
}

impl Pass<'_> {
    /// The service answered, whatever it said.
    pub(crate) fn answered(mut self) {
        self.is_told = true;
        let before = std::mem::take(&mut *self.breaker.lock());
        if before.next_probe.is_some() {
            tracing::debug!("the service answers again");
        }
    }

    /// No answer came.
    pub(crate) fn failed(mut self) {
        self.is_told = true;
        self.breaker.count_failure();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_told && self.entered.elapsed() >= SILENCE {
            self.breaker.count_failure();
        }
        if self.is_probe {
            self.breaker.lock().probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Breaker, times: u32) {
        for _ in 0..times {
            breaker.enter().unwrap().failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn five_failures_in_a_row_start_a_pause() {
        let breaker = Breaker::default();
        fail(&breaker, 4);
        breaker.enter().unwrap().answered();
        fail(&breaker, 4);
        assert_eq!(breaker.pause(), None, "an answer in between starts the count anew");
        assert!(!breaker.is_paused());
        fail(&breaker, 1);
        assert_eq!(breaker.enter().unwrap_err(), PROBE_INTERVAL);
        assert_eq!((breaker.is_paused(), breaker.pauses()), (true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_pause_one_probe_leaves_every_five_seconds() {
        let breaker = Breaker::default();
        fail(&breaker, THRESHOLD);
        advance(PROBE_INTERVAL).await;
        let probe = breaker.enter().unwrap();
        assert!(breaker.enter().is_err(), "there is one probe, not one a query");
        probe.failed();
        assert_eq!(breaker.enter().unwrap_err(), PROBE_INTERVAL);
        advance(PROBE_INTERVAL).await;
        breaker.enter().unwrap().answered();
        assert_eq!(breaker.pause(), None, "an answered probe ends the pause");
        assert_eq!((breaker.is_paused(), breaker.pauses()), (false, 1), "a pause that went on is one pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_probe_makes_way_for_another() {
        let breaker = Breaker::default();
        fail(&breaker, THRESHOLD);
        advance(PROBE_INTERVAL).await;
        drop(breaker.enter().unwrap());
        assert!(breaker.enter().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_given_up_after_a_long_silence_are_failures() {
        let breaker = Breaker::default();
        for patience in [SILENCE / 2, SILENCE] {
            let calls: Vec<_> = (0..THRESHOLD).map(|_| breaker.enter().unwrap()).collect();
            advance(patience).await;
            drop(calls);
            assert_eq!(breaker.pause().is_some(), patience == SILENCE, "{patience:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_an_older_call_ends_the_pause() {
        let breaker = Breaker::default();
        let older = breaker.enter().unwrap();
        fail(&breaker, THRESHOLD);
        older.answered();
        assert_eq!(breaker.pause(), None);
    }
}
