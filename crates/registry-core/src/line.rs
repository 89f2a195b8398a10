//! The line of queries that wait for a place to run on one connection: by priority, then in the order they came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::options::Priority;

/// Waiting queries in the order in which they start.
type Rank = (Priority, u64);

/// One connection's line.
#[derive(Debug)]
pub(crate) struct Line {
    max_running: usize,
    max_queued: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    arrivals: u64,
    waiting: BTreeMap<Rank, Arc<Notify>>,
}

impl Line {
    pub(crate) fn new(max_running: usize, max_queued: usize) -> Arc<Self> {
        Arc::new(Self { max_running: max_running.max(1), max_queued, state: Mutex::default() })
    }

    /// Running and waiting queries.
    pub(crate) fn load(&self) -> (usize, usize) {
        let state = self.state();
        (state.running, state.waiting.len())
    }

    /// Joins the line at the end of its priority, unless the line is full.
    pub(crate) fn try_join(self: &Arc<Self>, priority: Priority) -> Option<Place> {
        let state = self.state();
        let full = state.running >= self.max_running && state.waiting.len() >= self.max_queued;
        (!full).then(|| self.join_locked(state, priority))
    }

    /// Joins the line also when it is full: for queries that were accepted before.
    pub(crate) fn join(self: &Arc<Self>, priority: Priority) -> Place {
        self.join_locked(self.state(), priority)
    }

    fn join_locked(self: &Arc<Self>, mut state: MutexGuard<'_, State>, priority: Priority) -> Place {
        state.arrivals += 1;
        let rank = (priority, state.arrivals);
        let called = Arc::new(Notify::new());
        if state.running < self.max_running && state.waiting.is_empty() {
            state.running += 1;
            return Place { line: Arc::clone(self), rank, called, running: true };
        }
        state.waiting.insert(rank, Arc::clone(&called));
        drop(state);
        Place { line: Arc::clone(self), rank, called, running: false }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A query's place: first in the line, then among the running ones. Dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    rank: Rank,
    called: Arc<Notify>,
    running: bool,
}

impl Place {
    /// A view of the place that lives apart from it.
    pub(crate) fn position(&self) -> Position {
        Position { line: Arc::clone(&self.line), rank: self.rank }
    }

    /// Returns when the query may run. Safe to drop and to repeat.
    pub(crate) async fn turn(&mut self) {
        if !self.running {
            // The permit of `notify_one` waits for us, should the call come first.
            self.called.notified().await;
            self.running = true;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.line.state();
        // A call that was not heard yet counts as heard: the place was already given to us.
        let was_waiting = state.waiting.remove(&self.rank).is_some();
        if was_waiting {
            return;
        }
        state.running = state.running.saturating_sub(1);
        if let Some((_, next)) = state.waiting.pop_first() {
            state.running += 1;
            next.notify_one();
        }
    }
}

/// Tells where in the line a query stands.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    line: Arc<Line>,
    rank: Rank,
}

impl Position {
    /// The place counted from 1; `None` once the query may run.
    pub(crate) fn in_line(&self) -> Option<usize> {
        let state = self.line.state();
        state.waiting.contains_key(&self.rank).then(|| state.waiting.range(..=self.rank).count())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn is_called(place: &mut Place) -> bool {
        timeout(Duration::from_millis(1), place.turn()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_fit_run_at_once_and_the_others_wait_in_order() {
        let line = Line::new(2, 10);
        let mut places: Vec<Place> = (0..4).map(|_| line.join(Priority::Medium)).collect();
        assert!(is_called(&mut places[0]).await && is_called(&mut places[1]).await);
        assert!(!is_called(&mut places[2]).await);
        assert_eq!(places[3].position().in_line(), Some(2));
        drop(places.remove(0));
        assert!(is_called(&mut places[1]).await);
        assert_eq!(places[2].position().in_line(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_higher_priority_starts_first_and_equal_ones_in_the_order_they_came() {
        let line = Line::new(1, 10);
        let first = line.join(Priority::Low);
        let ranks = [Priority::Low, Priority::Medium, Priority::High, Priority::Medium, Priority::High];
        let mut waiting: Vec<(usize, Place)> =
            ranks.into_iter().map(|rank| line.join(rank)).enumerate().collect();
        let mut order = vec![];
        drop(first);
        while !waiting.is_empty() {
            for i in 0..waiting.len() {
                if is_called(&mut waiting[i].1).await {
                    order.push(waiting.remove(i).0);
                    break;
                }
            }
        }
        assert_eq!(order, [2, 4, 1, 3, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_leaves_the_line_frees_no_running_place() {
        let line = Line::new(1, 10);
        let mut running = line.join(Priority::Medium);
        assert!(is_called(&mut running).await);
        let leaver = line.join(Priority::Medium);
        let mut last = line.join(Priority::Medium);
        drop(leaver);
        assert!(!is_called(&mut last).await);
        assert_eq!(line.load(), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_heard_is_passed_on() {
        let line = Line::new(1, 10);
        let running = line.join(Priority::Medium);
        let called = line.join(Priority::Medium);
        let mut last = line.join(Priority::Medium);
        drop(running);
        drop(called);
        assert!(is_called(&mut last).await);
        drop(last);
        assert_eq!(line.load(), (0, 0));
    }

    #[test]
    fn a_line_is_full_when_all_places_and_all_waiting_places_are_taken() {
        let line = Line::new(1, 1);
        let _running = line.try_join(Priority::Medium).unwrap();
        let waiting = line.try_join(Priority::Medium);
        assert!(waiting.is_some());
        assert!(line.try_join(Priority::High).is_none());
        drop(waiting);
        assert!(line.try_join(Priority::High).is_some());
    }
}
