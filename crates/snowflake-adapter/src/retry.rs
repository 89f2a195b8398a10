//! When a call is made again, how often and how soon.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// `Retry-After` is obeyed up to here.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60);
const BUCKET: u32 = 500;
const TRANSIENT_COST: u32 = 14;
const THROTTLE_COST: u32 = 5;

/// How one call is repeated. Calls that only ask how a statement is doing are not: they come again by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    base: Duration,
    throttle_base: Duration,
    cap: Duration,
    jitter: bool,
}

impl RetryPolicy {
    /// Three tries, soon after one another, spread at random so that many clients do not come at once. The default.
    pub const fn jittered() -> Self {
        Self {
            attempts: 3,
            base: Duration::from_millis(50),
            throttle_base: Duration::from_secs(1),
            cap: Duration::from_secs(20),
            jitter: true,
        }
    }

    /// Four tries, after exactly 2, 4 and 8 seconds.
    pub const fn steady() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_secs(2),
            throttle_base: Duration::from_secs(2),
            cap: Duration::from_secs(8),
            jitter: false,
        }
    }

    /// The delay after the `number`th attempt, counted from 1; `fraction` is in 0..1.
    fn delay(&self, number: u32, verdict: Verdict, fraction: f64) -> Duration {
        let base = if verdict == Verdict::Throttled { self.throttle_base } else { self.base };
        let grown = base.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1))).min(self.cap);
        if self.jitter { grown.mul_f64(fraction) } else { grown }
    }

    /// For tests: as often as usual, at once.
    #[cfg(test)]
    pub(crate) const fn at_once() -> Self {
        Self { base: Duration::ZERO, throttle_base: Duration::ZERO, ..Self::jittered() }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::jittered()
    }
}

/// What an attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none.
    Done,
    /// Another may find the service well.
    Transient,
    /// Another may, after the service had its rest.
    Throttled,
}

/// What an attempt came to, and when the service wants the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) retry_after: Option<Duration>,
}

/// What an account may spend on repeats: when everything fails, repeats stop being made.
#[derive(Debug)]
pub(crate) struct Bucket {
    tokens: Mutex<u32>,
    repeats: AtomicU64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self { tokens: Mutex::new(BUCKET), repeats: AtomicU64::new(0) }
    }
}

impl Bucket {
    /// Repeats so far.
    pub(crate) fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// How much is left for repeats.
    pub(crate) fn left(&self) -> u32 {
        *self.lock()
    }

    fn take(&self, cost: u32) -> bool {
        let mut tokens = self.lock();
        let left = tokens.checked_sub(cost);
        *tokens = left.unwrap_or(*tokens);
        left.is_some()
    }

    fn give(&self, amount: u32) {
        let mut tokens = self.lock();
        *tokens = tokens.saturating_add(amount).min(BUCKET);
    }

    fn lock(&self) -> MutexGuard<'_, u32> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes attempts until one is done, the policy or the bucket has no more, or the next would come after `deadline`.
/// Returns the last one's outcome.
pub(crate) async fn repeat<T, F>(
    policy: &RetryPolicy,
    bucket: &Bucket,
    deadline: Instant,
    mut attempt: impl FnMut(u32) -> F,
    mut judge: impl FnMut(&T) -> Judgement,
) -> T
where
    F: Future<Output = T>,
{
    let mut paid = 1;
    let mut number = 1;
    loop {
        let outcome = attempt(number).await;
        let Judgement { verdict, retry_after } = judge(&outcome);
        let cost = match verdict {
            Verdict::Done => {
                bucket.give(paid);
                return outcome;
            }
            Verdict::Transient => TRANSIENT_COST,
            Verdict::Throttled => THROTTLE_COST,
        };
        let jittered = || policy.delay(number, verdict, random_fraction());
        let delay = retry_after.map_or_else(jittered, |wanted| wanted.min(MAX_RETRY_AFTER));
        if number >= policy.attempts || Instant::now() + delay >= deadline || !bucket.take(cost) {
            return outcome;
        }
        tracing::debug!(number, ?verdict, ?delay, "the call is made again");
        bucket.repeats.fetch_add(1, Ordering::Relaxed);
        sleep(delay).await;
        paid = cost;
        number += 1;
    }
}

/// Uniform in 0..1; the first 48 bits of a random UUID are all random.
fn random_fraction() -> f64 {
    let bits = (Uuid::new_v4().as_u128() >> 80) as u64;
    bits as f64 / (1_u64 << 48) as f64
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// The moments of the attempts, when every one of them comes to `verdict`.
    async fn moments(
        policy: RetryPolicy,
        bucket: &Bucket,
        judgement: Judgement,
        within: Duration,
    ) -> Vec<Duration> {
        let start = Instant::now();
        let seen = RefCell::new(vec![]);
        let attempt = |_| async { seen.borrow_mut().push(start.elapsed()) };
        repeat(&policy, bucket, start + within, attempt, |()| judgement).await;
        seen.into_inner()
    }

    fn judged(verdict: Verdict) -> Judgement {
        Judgement { verdict, retry_after: None }
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_tried_three_times_within_full_jitter() {
        let seen =
            moments(RetryPolicy::jittered(), &Bucket::default(), judged(Verdict::Transient), DAY).await;
        assert_eq!(seen.len(), 3);
        // Timers have a grain of a millisecond.
        assert!(seen[1] <= Duration::from_millis(51), "{seen:?}");
        assert!(seen[2] - seen[1] <= Duration::from_millis(101), "{seen:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_steady_contract_waits_2_4_and_8_seconds() {
        let seen = moments(RetryPolicy::steady(), &Bucket::default(), judged(Verdict::Transient), DAY).await;
        assert_eq!(seen, [0, 2, 6, 14].map(Duration::from_secs));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_is_not_tried_again() {
        let seen = moments(RetryPolicy::jittered(), &Bucket::default(), judged(Verdict::Done), DAY).await;
        assert_eq!(seen.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_wins_up_to_a_minute() {
        for (wanted, waited) in [(7, 7), (3600, 60)] {
            let judgement =
                Judgement { verdict: Verdict::Throttled, retry_after: Some(Duration::from_secs(wanted)) };
            let seen = moments(RetryPolicy::jittered(), &Bucket::default(), judgement, DAY).await;
            assert_eq!(seen[1], Duration::from_secs(waited));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_begins_after_the_deadline() {
        let within = Duration::from_secs(5);
        let seen =
            moments(RetryPolicy::steady(), &Bucket::default(), judged(Verdict::Transient), within).await;
        assert_eq!(seen, [0, 2].map(Duration::from_secs));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_runs_out_of_repeats_and_earns_them_back() {
        let bucket = Bucket::default();
        let mut tries = 0;
        for _ in 0..100 {
            tries += moments(RetryPolicy::jittered(), &bucket, judged(Verdict::Transient), DAY).await.len();
        }
        assert_eq!(tries as u32, 100 + BUCKET / TRANSIENT_COST);
        for _ in 0..TRANSIENT_COST {
            let _ = moments(RetryPolicy::jittered(), &bucket, judged(Verdict::Done), DAY).await;
        }
        assert_eq!(moments(RetryPolicy::jittered(), &bucket, judged(Verdict::Transient), DAY).await.len(), 2);
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let policy = RetryPolicy::jittered();
        let delays = [1, 2, 3, 9, 40].map(|number| policy.delay(number, Verdict::Transient, 1.0).as_millis());
        assert_eq!(delays, [50, 100, 200, 12_800, 20_000]);
        assert_eq!(policy.delay(2, Verdict::Throttled, 1.0), Duration::from_secs(2));
    }
}
