//! Why a statement is to end early, and the check that the engine makes while it works.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::ffi;

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

/// The wish to stop one statement, and its deadline; the first reason stays.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    reason: AtomicU8,
    deadline: OnceLock<Instant>,
}

impl Stop {
    pub(crate) fn ask(&self, reason: Reason) {
        // Losing the exchange means that an earlier reason stands.
        let _ = self.reason.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(crate) fn reason(&self) -> Option<Reason> {
        match self.reason.load(Ordering::Acquire) {
            1 => Some(Reason::Canceled),
            2 => Some(Reason::Deadline),
            3 => Some(Reason::Written),
            _ => None,
        }
    }

    /// Starts the clock; a limit beyond what it can count is none.
    pub(crate) fn limit(&self, time_limit: Duration) {
        if let Some(deadline) = Instant::now().checked_add(time_limit) {
            self.deadline.get_or_init(|| deadline);
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.get().copied()
    }

    /// Whether the statement must end now; the reason is then noted.
    pub(crate) fn must_end(&self) -> bool {
        if self.reason().is_none() && self.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
            self.ask(Reason::Deadline);
        }
        self.reason().is_some()
    }
}

/// What a function that takes long looks at. It belongs to a connection, and obeys the one statement that this runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Brake(Arc<OnceLock<Arc<Stop>>>);

impl Brake {
    pub(crate) fn obey(&self, stop: &Arc<Stop>) {
        self.0.get_or_init(|| Arc::clone(stop));
    }

    pub(crate) fn must_end(&self) -> bool {
        self.0.get().is_some_and(|stop| stop.must_end())
    }
}

/// Letters that a function goes through between two looks at the brake: a fraction of a millisecond.
const LETTERS: u32 = 1 << 16;

/// Looks at the brake every so many letters; once it has to end, it stays so.
#[derive(Debug)]
pub(crate) struct Looks<'a> {
    brake: &'a Brake,
    letters: u32,
    must_end: bool,
}

impl<'a> Looks<'a> {
    pub(crate) fn at(brake: &'a Brake) -> Self {
        Self { brake, letters: 0, must_end: false }
    }

    /// One letter more; tells whether to go on.
    pub(crate) fn goes_on(&mut self) -> bool {
        self.letters = self.letters.wrapping_add(1);
        if self.letters.is_multiple_of(LETTERS) {
            self.must_end |= self.brake.must_end();
        }
        !self.must_end
    }

    /// An error if it had to end.
    pub(crate) fn finished(&self) -> rusqlite::Result<()> {
        if self.must_end { Err(interrupted()) } else { Ok(()) }
    }
}

/// The error with which SQLite itself ends a statement that was told to.
fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

/// Looks at the clock and the disk on behalf of one statement, on its thread.
#[derive(Debug)]
pub(crate) struct Watch {
    max_written: u64,
    written: Written,
    look_again: Instant,
}

impl Watch {
    /// A watch that starts now, on the thread of the statement.
    pub(crate) fn start(max_written: u64) -> Self {
        let look_again = Instant::now() + WRITTEN_PACE;
        Self { max_written, written: Written::by_this_thread(), look_again }
    }

    /// Whether the statement must end now; `stop` then says why.
    pub(crate) fn must_end(&mut self, stop: &Stop) -> bool {
        if !stop.must_end() && Instant::now() >= self.look_again {
            self.look_again = Instant::now() + WRITTEN_PACE;
            if self.written.bytes() > self.max_written {
                stop.ask(Reason::Written);
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
        let (endless, nothing) = (Stop::default(), Stop::default());
        endless.limit(Duration::MAX);
        nothing.limit(Duration::ZERO);
        assert!(!Watch::start(u64::MAX).must_end(&endless));
        assert!(Watch::start(u64::MAX).must_end(&nothing));
        assert_eq!(nothing.reason(), Some(Reason::Deadline));
    }
}
