//! Why a statement is to end early, and the check that the engine makes while it works.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::spill::Written;

/// Instructions of SQLite's machine between two looks: a few microseconds of ordinary work.
pub(crate) const PACE: i32 = 1_000;

/// How often the bytes written are looked up; they cost a read of a file in `/proc`.
const WRITTEN_PACE: Duration = Duration::from_millis(200);

/// Why a statement is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// Somebody asked for it, or the process is going away.
    Canceled = 1,
    /// Its time is up.
    Deadline = 2,
    /// It filled the disk too far.
    Written = 3,
}

/// The wish to stop one statement; the first reason stays.
#[derive(Debug, Default)]
pub(crate) struct Stop(AtomicU8);

impl Stop {
    pub(crate) fn ask(&self, reason: Reason) {
        // Losing the exchange means that an earlier reason stands.
        let _ = self.0.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        match self.0.load(Ordering::Acquire) {
            1 => Some(Reason::Canceled),
            2 => Some(Reason::Deadline),
            3 => Some(Reason::Written),
            _ => None,
        }
    }
}

/// Looks at the clock and the disk on behalf of one statement, on its thread.
#[derive(Debug)]
pub(crate) struct Watch {
    deadline: Option<Instant>,
    max_written: u64,
    written: Written,
    look_again: Instant,
}

impl Watch {
    /// A watch that starts now, on the thread of the statement.
    pub(crate) fn start(time_limit: Duration, max_written: u64) -> Self {
        let now = Instant::now();
        Self {
            // A limit beyond what the clock can count is none.
            deadline: now.checked_add(time_limit),
            max_written,
            written: Written::by_this_thread(),
            look_again: now + WRITTEN_PACE,
        }
    }

    /// Whether the statement must end now; `stop` then says why.
    pub(crate) fn must_end(&mut self, stop: &Stop) -> bool {
        if stop.reason().is_none() {
            let now = Instant::now();
            if self.deadline.is_some_and(|deadline| now >= deadline) {
                stop.ask(Reason::Deadline);
            } else if now >= self.look_again {
                self.look_again = now + WRITTEN_PACE;
                if self.written.bytes() > self.max_written {
                    stop.ask(Reason::Written);
                }
            }
        }
        stop.reason().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let stop = Stop::default();
        assert_eq!(stop.reason(), None);
        stop.ask(Reason::Deadline);
        stop.ask(Reason::Canceled);
        assert_eq!(stop.reason(), Some(Reason::Deadline));
    }

    #[test]
    fn an_endless_time_limit_never_strikes() {
        let stop = Stop::default();
        assert!(!Watch::start(Duration::MAX, u64::MAX).must_end(&stop));
        assert!(Watch::start(Duration::ZERO, u64::MAX).must_end(&stop));
        assert_eq!(stop.reason(), Some(Reason::Deadline));
    }
}
