//! What became of the submissions that this process made: a repeat is to find its first try.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use registry_core::id::RequestId;

/// Older submissions are forgotten; nobody repeats those.
const CAPACITY: usize = 4096;

/// The latest submissions, each with what is known of it.
#[derive(Debug)]
pub(crate) struct Requests<T>(Mutex<Known<T>>);

#[derive(Debug)]
struct Known<T> {
    attempts: HashMap<RequestId, T>,
    order: VecDeque<RequestId>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self(Mutex::new(Known { attempts: HashMap::new(), order: VecDeque::new() }))
    }
}

impl<T: Clone> Requests<T> {
    pub(crate) fn get(&self, id: RequestId) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).attempts.get(&id).cloned()
    }

    pub(crate) fn set(&self, id: RequestId, attempt: T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.attempts.insert(id, attempt).is_some() {
            return;
        }
        known.order.push_back(id);
        if known.order.len() > CAPACITY
            && let Some(oldest) = known.order.pop_front()
        {
            known.attempts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_submissions_are_forgotten_first() {
        let requests = Requests::default();
        let ids: Vec<RequestId> = (0..=CAPACITY).map(|_| RequestId::generate()).collect();
        for &id in &ids {
            requests.set(id, ());
        }
        assert!(requests.get(ids[0]).is_none());
        assert!(requests.get(ids[1]).is_some() && requests.get(ids[CAPACITY]).is_some());
    }
}
