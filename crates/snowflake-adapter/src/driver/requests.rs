//! What became of the submissions that this process made: a repeat is to find its first try.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use registry_core::id::{RemoteHandle, RequestId};

use super::session::{SnowflakeSession, lock};

/// Older submissions are forgotten; nobody repeats those.
const CAPACITY: usize = 4096;

/// One submission.
#[derive(Debug, Clone)]
pub(super) enum Attempt {
    /// Nothing of it has left.
    NotSent,
    /// Sent over this session, which alone recognises a repeat; not answered.
    Sent(Arc<SnowflakeSession>),
    /// Taken by Snowflake.
    Taken(RemoteHandle),
}

#[derive(Debug, Default)]
pub(super) struct Requests(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    attempts: HashMap<RequestId, Attempt>,
    order: VecDeque<RequestId>,
}

impl Requests {
    pub(super) fn get(&self, id: RequestId) -> Option<Attempt> {
        lock(&self.0).attempts.get(&id).cloned()
    }

    pub(super) fn set(&self, id: RequestId, attempt: Attempt) {
        let mut known = lock(&self.0);
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
            requests.set(id, Attempt::NotSent);
        }
        assert!(requests.get(ids[0]).is_none());
        assert!(requests.get(ids[1]).is_some() && requests.get(ids[CAPACITY]).is_some());
    }
}
