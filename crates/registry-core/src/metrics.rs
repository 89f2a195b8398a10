//! Counters of what the registry did and gauges of what it does; an exporter reads them through [`MetricsSnapshot`].

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::outcome::CancelReason;
use crate::record::QueryRecord;
use crate::snapshot::QueryStatus;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_if(&self, condition: bool) {
        if condition {
            self.add_one();
        }
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Upper bounds of the buckets, in microseconds: from a tenth of a millisecond to a day.
const BOUNDS_MICROS: [u64; 11] = [
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    60_000_000,
    600_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
];

/// How long things took.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Observes the time from now until the value is dropped.
    pub(crate) fn start(&self) -> Timer<'_> {
        Timer { histogram: self, start: Instant::now() }
    }

    pub(crate) fn observe(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|&bound| bound < micros);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.add_one();
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.observe(start.elapsed());
        result
    }

    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let cumulative = self.buckets.iter().map(|bucket| {
            count += bucket.get();
            count
        });
        let counts: Vec<u64> = cumulative.collect();
        let bounds = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6);
        HistogramSnapshot {
            buckets: bounds.chain([f64::INFINITY]).zip(counts).collect(),
            sum_seconds: self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6,
            count,
        }
    }
}

/// The time of something under way, given up or not.
#[derive(Debug)]
pub(crate) struct Timer<'h> {
    histogram: &'h Histogram,
    start: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.histogram.observe(self.start.elapsed());
    }
}

/// A call of a driver to its engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineCall {
    /// Opening a session.
    Open,
    /// Handing over a statement.
    Submit,
    /// Looking for a statement whose handle never came.
    Lookup,
    /// Asking how a statement is doing.
    Check,
    /// Getting the rows.
    Fetch,
    /// Asking for a statement's end.
    Cancel,
}

impl EngineCall {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] =
        [Self::Open, Self::Submit, Self::Lookup, Self::Check, Self::Fetch, Self::Cancel];

    /// Its word in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Submit => "submit",
            Self::Lookup => "lookup",
            Self::Check => "check",
            Self::Fetch => "fetch",
            Self::Cancel => "cancel",
        }
    }
}

/// All counters of one registry.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    pub(crate) joined: Counter,
    ended: [Counter; QueryStatus::ALL.len()],
    execution_seconds: Histogram,
    cancels: [Counter; CancelReason::ALL.len()],
    pub(crate) cancels_sent: Counter,
    pub(crate) sessions_opened: Counter,
    pub(crate) sessions_closed: Counter,
    pub(crate) session_close_errors: Counter,
    pub(crate) driver_panics: Counter,
    pub(crate) taken_over: Counter,
    pub(crate) late_events: Counter,
    pub(crate) pruned: Counter,
    pub(crate) results_evicted: Counter,
    pub(crate) debts_paid: Counter,
    pub(crate) debts_given_up: Counter,
    engine_calls: [Histogram; EngineCall::ALL.len()],
    pub(crate) journal_seconds: Histogram,
    pub(crate) journal_errors: Counter,
    pub(crate) waiters: AtomicI64,
    pub(crate) drivers: AtomicI64,
}

impl Metrics {
    pub(crate) fn record_transition(&self, before: &QueryRecord, after: &QueryRecord) {
        if before.status == after.status || !after.is_terminal() {
            return;
        }
        if let Some(counter) = self.ended.get(after.status as usize) {
            counter.add_one();
        }
        if let (Some(start), Some(end)) = (after.started_at, after.finished_at) {
            self.execution_seconds.observe(end.since(start));
        }
    }

    pub(crate) fn record_cancel(&self, reason: CancelReason) {
        if let Some(counter) = self.cancels.get(reason as usize) {
            counter.add_one();
        }
    }

    /// Times a call to an engine until the value is dropped.
    pub(crate) fn engine_call(&self, call: EngineCall) -> Option<Timer<'_>> {
        self.engine_calls.get(call as usize).map(Histogram::start)
    }

    pub(crate) fn has_waiters(&self) -> bool {
        self.waiters.load(Ordering::Relaxed) > 0
    }

    /// All values at this moment, without those that others keep.
    pub(crate) fn snapshot(&self) -> MetricsSnapshot {
        let opened = self.sessions_opened.get();
        let closed = self.sessions_closed.get();
        MetricsSnapshot {
            queries_accepted: self.accepted.get(),
            queries_joined: self.joined.get(),
            queries_ended: QueryStatus::ALL
                .into_iter()
                .zip(&self.ended)
                .filter(|(status, _)| status.is_terminal())
                .map(|(status, counter)| (status, counter.get()))
                .collect(),
            query_execution_seconds: self.execution_seconds.snapshot(),
            query_timeouts: self.ended.get(QueryStatus::Timeout as usize).map_or(0, Counter::get),
            cancel_answers: CancelReason::ALL
                .into_iter()
                .zip(&self.cancels)
                .map(|(reason, counter)| (reason, counter.get()))
                .collect(),
            cancels_sent: self.cancels_sent.get(),
            sessions_opened: opened,
            sessions_closed: closed,
            sessions_open: opened.saturating_sub(closed),
            session_close_errors: self.session_close_errors.get(),
            driver_panics: self.driver_panics.get(),
            queries_taken_over: self.taken_over.get(),
            late_events: self.late_events.get(),
            queries_pruned: self.pruned.get(),
            results_evicted: self.results_evicted.get(),
            debts_paid: self.debts_paid.get(),
            debts_given_up: self.debts_given_up.get(),
            engine_call_seconds: EngineCall::ALL
                .into_iter()
                .zip(&self.engine_calls)
                .map(|(call, histogram)| (call, histogram.snapshot()))
                .collect(),
            journal_seconds: self.journal_seconds.snapshot(),
            registry_lock_wait_seconds: HistogramSnapshot::default(),
            journal_errors: self.journal_errors.get(),
            waiters: self.waiters.load(Ordering::Relaxed),
            drivers: self.drivers.load(Ordering::Relaxed),
            connections: Vec::new(),
        }
    }
}

/// Adds one to a gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct Gauge<'a>(&'a AtomicI64);

impl<'a> Gauge<'a> {
    pub(crate) fn enter(gauge: &'a AtomicI64) -> Self {
        gauge.fetch_add(1, Ordering::Relaxed);
        Self(gauge)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counters of a registry at one moment. The default is what a registry that was never opened did.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsSnapshot {
    /// Queries that got a record.
    pub queries_accepted: u64,
    /// Requests answered with an earlier query.
    pub queries_joined: u64,
    /// Ended queries by status.
    pub queries_ended: Vec<(QueryStatus, u64)>,
    /// From the engine's taking a statement to its end.
    pub query_execution_seconds: HistogramSnapshot,
    /// Queries that ended by their time limit.
    pub query_timeouts: u64,
    /// Answers to cancel requests by reason.
    pub cancel_answers: Vec<(CancelReason, u64)>,
    /// Cancel requests sent to engines.
    pub cancels_sent: u64,
    /// Sessions opened in all.
    pub sessions_opened: u64,
    /// Sessions closed in all.
    pub sessions_closed: u64,
    /// Sessions open now.
    pub sessions_open: u64,
    /// Closings that reported an error.
    pub session_close_errors: u64,
    /// Drivers that ended by a fault of this program.
    pub driver_panics: u64,
    /// Queries taken over from processes that are gone.
    pub queries_taken_over: u64,
    /// News of queries that had ended already; dropped.
    pub late_events: u64,
    /// Records removed at the end of their retention.
    pub queries_pruned: u64,
    /// Results removed to make room before their retention ended.
    pub results_evicted: u64,
    /// Debts at engines that were paid.
    pub debts_paid: u64,
    /// Debts at engines that were given up.
    pub debts_given_up: u64,
    /// Time of the drivers' calls to engines, their repeats included; also of those given up.
    pub engine_call_seconds: Vec<(EngineCall, HistogramSnapshot)>,
    /// Time of journal calls, the wait for its lock included.
    pub journal_seconds: HistogramSnapshot,
    /// Waits for the one lock that all readers and writers of records take.
    pub registry_lock_wait_seconds: HistogramSnapshot,
    /// Journal calls that failed.
    pub journal_errors: u64,
    /// Calls that wait for a change now.
    pub waiters: i64,
    /// Driver tasks alive now.
    pub drivers: i64,
    /// What each connection does now.
    pub connections: Vec<ConnectionMetrics>,
}

impl Default for MetricsSnapshot {
    fn default() -> Self {
        Metrics::default().snapshot()
    }
}

/// One connection at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionMetrics {
    /// Its name.
    pub connection: String,
    /// Queries that hold one of its places.
    pub running: usize,
    /// Queries that wait for a place.
    pub waiting: usize,
    /// What its engine tells about itself.
    pub engine: Vec<EngineMetric>,
}

/// A number that an engine tells about itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EngineMetric {
    /// Its name, as monitoring systems spell names: `snowflake_sessions_open`.
    pub name: &'static str,
    /// What it counts, in a sentence.
    pub help: &'static str,
    /// Whether it can fall.
    pub kind: MetricKind,
    /// Its value.
    pub value: u64,
}

/// Whether a number can fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A distribution of durations.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSnapshot {
    /// Upper bound in seconds, and how many were at most as long.
    pub buckets: Vec<(f64, u64)>,
    /// All durations added up.
    pub sum_seconds: f64,
    /// How many there were.
    pub count: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        Histogram::default().snapshot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_into_cumulative_buckets() {
        let histogram = Histogram::default();
        for millis in [0, 1, 5, 2_000, 100_000_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count, 5);
        assert_eq!(snapshot.buckets[0], (0.0001, 1));
        assert_eq!(snapshot.buckets[2], (0.01, 3));
        assert_eq!(snapshot.buckets[5], (10.0, 4));
        assert_eq!(snapshot.buckets.last(), Some(&(f64::INFINITY, 5)));
        assert!((snapshot.sum_seconds - 100_002.006).abs() < 1e-6);
    }
}
