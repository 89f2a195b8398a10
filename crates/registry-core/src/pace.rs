//! How often a running statement is asked after.

use std::time::Duration;

/// Half of the interval times these, then the last one for ever: quick statements are seen to end quickly, and long
/// ones cost few calls.
const WATCHED: [u32; 7] = [1, 1, 2, 3, 4, 8, 10];
/// While nobody waits, the pace slows down further.
const UNWATCHED: [u32; 9] = [1, 1, 2, 3, 4, 8, 10, 15, 20];

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

    /// The delay before the next check.
    pub(crate) fn next_delay(&mut self, watched: bool) -> Duration {
        if self.hurried > 0 {
            self.hurried -= 1;
            return self.interval / 10;
        }
        let factors: &[u32] = if watched { &WATCHED } else { &UNWATCHED };
        let factor = factors.get(self.checks).or(factors.last()).copied().unwrap_or(1);
        self.checks = self.checks.saturating_add(1);
        self.interval.saturating_mul(factor) / 2
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

    fn delays(pace: &mut Pace, watched: bool, count: usize) -> Vec<u128> {
        (0..count).map(|_| pace.next_delay(watched).as_millis()).collect()
    }

    #[test]
    fn the_delays_grow_to_five_intervals_while_somebody_waits() {
        let mut pace = Pace::new(Duration::from_secs(1));
        assert_eq!(delays(&mut pace, true, 9), [500, 500, 1000, 1500, 2000, 4000, 5000, 5000, 5000]);
    }

    #[test]
    fn the_delays_grow_to_ten_intervals_while_nobody_does() {
        let mut pace = Pace::new(Duration::from_secs(1));
        assert_eq!(delays(&mut pace, false, 10)[6..], [5000, 7500, 10_000, 10_000]);
    }

    #[test]
    fn a_hurried_pace_looks_quickly_and_then_starts_over() {
        let mut pace = Pace::new(Duration::from_secs(2));
        delays(&mut pace, true, 20);
        pace.hurry();
        assert_eq!(delays(&mut pace, true, 7), [200, 200, 200, 200, 1000, 1000, 2000]);
    }
}
