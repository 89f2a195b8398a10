//! How often a running statement is asked after.

use std::time::Duration;

/// A quarter of the interval times these, then the last one for ever: quick statements are seen to end quickly, and
/// long ones cost few calls.
const PROMPT: [u32; 8] = [1, 1, 2, 4, 6, 8, 16, 20];
/// While nobody waits for a look, the pace slows down further.
const CALM: [u32; 10] = [1, 1, 2, 4, 6, 8, 16, 20, 30, 40];

/// So many quick looks, then the usual pace from its beginning.
const HURRIED: u32 = 4;

/// The delays between the checks of one query.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    checks: usize,
    hurried: u32,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, checks: 0, hurried: 0 }
    }

    /// The delay before the next check; `prompt` when somebody waits for what only a check can tell.
    pub(crate) fn next_delay(&mut self, prompt: bool) -> Duration {
        if self.hurried > 0 {
            self.hurried -= 1;
            return self.interval / 10;
        }
        let factors: &[u32] = if prompt { &PROMPT } else { &CALM };
        let factor = factors.get(self.checks).or(factors.last()).copied().unwrap_or(1);
        self.checks = self.checks.saturating_add(1);
        self.interval.saturating_mul(factor) / 4
    }

    /// A stop was sent: somebody waits for the engine's word, which mostly comes at once.
    pub(crate) fn hurry(&mut self) {
        self.checks = 0;
        self.hurried = HURRIED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(pace: &mut Pace, prompt: bool, count: usize) -> Vec<u128> {
        (0..count).map(|_| pace.next_delay(prompt).as_millis()).collect()
    }

    #[test]
    fn the_delays_grow_to_five_intervals_while_somebody_waits_for_them() {
        let mut pace = Pace::new(Duration::from_secs(1));
        assert_eq!(delays(&mut pace, true, 9), [250, 250, 500, 1000, 1500, 2000, 4000, 5000, 5000]);
    }

    #[test]
    fn the_delays_grow_to_ten_intervals_while_nobody_does() {
        let mut pace = Pace::new(Duration::from_secs(1));
        assert_eq!(delays(&mut pace, false, 11)[7..], [5000, 7500, 10_000, 10_000]);
    }

    #[test]
    fn a_hurried_pace_looks_quickly_and_then_starts_over() {
        let mut pace = Pace::new(Duration::from_secs(2));
        delays(&mut pace, true, 20);
        pace.hurry();
        assert_eq!(delays(&mut pace, true, 7), [200, 200, 200, 200, 500, 500, 1000]);
    }

    /// Checks until a statement of this length has been seen to end, and how late that is.
    fn checks(length: Duration, prompt: bool) -> (usize, Duration) {
        let mut pace = Pace::new(Duration::from_secs(1));
        let (mut looks, mut at) = (0, Duration::ZERO);
        while at < length {
            (looks, at) = (looks + 1, at + pace.next_delay(prompt));
        }
        (looks, at - length)
    }

    #[test]
    fn no_statement_costs_more_checks_than_its_length_allows() {
        let lengths = |most: u64| (1..=most * 8).map(|eighths| Duration::from_millis(eighths * 125));
        for length in lengths(3600) {
            let (looks, late) = checks(length, true);
            let most = match length.as_millis() {
                0..=200 => 1,
                201..=60_000 => 18,
                _ => 740,
            };
            assert!(looks <= most, "{looks} checks for {length:?}");
            assert!(looks >= checks(length, false).0, "{length:?}");
            let bound = Duration::from_millis(300).max(length.min(Duration::from_secs(5)));
            assert!(late < bound, "{length:?} is seen {late:?} late");
        }
        assert!(checks(Duration::from_millis(200), true).1 <= Duration::from_millis(300));
    }
}
