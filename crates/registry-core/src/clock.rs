//! Time as records carry it: milliseconds of UTC, from a clock that tests can hold still.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A moment in UTC, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after the start of 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start of 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The time from `earlier` until this moment; zero when it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(moment) => f.write_str(&moment.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

/// Seconds as people and programs are told them: whole milliseconds, which a sum of fractions would print as
/// `1.1179999999999999`.
pub fn seconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

/// Where "now" comes from.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Runtime { start: Timestamp, origin: Instant },
}

impl Clock {
    /// The system's clock, which processes that share a state directory agree on.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Follows the runtime's clock from `start` on, so that paused time holds it still.
    pub fn runtime(start: Timestamp) -> Self {
        Self(Source::Runtime { start, origin: Instant::now() })
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match self.0 {
            Source::System => {
                let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp::default() + since_1970
            }
            Source::Runtime { start, origin } => start + origin.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339() {
        assert_eq!(Timestamp::from_millis(1_795_219_200_123).to_string(), "2026-11-21T00:00:00.123Z");
    }

    #[test]
    fn time_that_runs_backwards_counts_as_none() {
        let (early, late) = (Timestamp::from_millis(5), Timestamp::from_millis(9));
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn seconds_have_no_more_than_three_decimals() {
        for millis in (0..20_000).chain([86_400_001, 1_763_737_417_118]) {
            let printed = seconds(Duration::from_millis(millis)).to_string();
            let decimals = printed.split_once('.').map_or("", |(_, decimals)| decimals);
            assert!(decimals.len() <= 3, "{millis} ms: {printed}");
            let digits = format!("{}{decimals:0<3}", printed.split('.').next().unwrap_or_default());
            assert_eq!(digits.parse(), Ok(millis), "{printed}");
        }
        let finer = Duration::from_micros(1_117_600);
        assert_eq!((seconds(finer), seconds(Duration::from_micros(400))), (1.118, 0.0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_runtime_clock_moves_with_paused_time() {
        let clock = Clock::runtime(Timestamp::from_millis(1_000));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), Timestamp::from_millis(3_000));
    }
}
