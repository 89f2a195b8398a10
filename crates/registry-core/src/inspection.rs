//! What the person who looks after a state directory wants to know and do beyond one query's life.

use std::sync::Arc;
use std::time::Duration;

use crate::QueryRegistry;
use crate::clock::Timestamp;
use crate::error::Result;
use crate::id::QueryId;
use crate::instance::Holder;
use crate::journal::ListFilter;
use crate::record::{Obligation, QueryRecord};
use crate::snapshot::QuerySnapshot;
use crate::upkeep;

/// One query with what stands behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The query.
    pub snapshot: QuerySnapshot,
    /// What it runs on, without secrets.
    pub target: String,
    /// It runs inside the process that holds it and dies with it.
    pub embedded: bool,
    /// What can be seen of the process that drives it; of an ended query the one that drove it.
    pub holder: Holder,
    /// When its time limit strikes; known from the first submission on.
    pub deadline_at: Option<Timestamp>,
    /// Tries to stop it at the engine.
    pub cancel_attempts: u32,
    /// What is still owed at the engine.
    pub owes: Vec<Obligation>,
    /// Its rows were removed before it was.
    pub rows_gone: bool,
    /// Bytes of its stored rows.
    pub stored_bytes: u64,
}

/// What was forgotten on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Queries.
    pub queries: u64,
    /// Bytes of rows.
    pub bytes: u64,
    /// Queries that would have gone too, but something of them may still run at their engine.
    pub kept_for_debts: u64,
}

impl QueryRegistry {
    /// Queries of every process on this state, newest first, with what stands behind each.
    pub async fn inspect(&self, filter: ListFilter) -> Result<Vec<Inspection>> {
        upkeep::take_over(&self.shared).await?;
        let records = self.shared.records.list(filter).await?;
        let holders = upkeep::holders(&self.shared, &records).await;
        let of = |(record, snapshot): (&Arc<QueryRecord>, QuerySnapshot)| {
            let holder = holders.get(&record.lease.owner).copied().unwrap_or(Holder::Gone);
            Inspection::of(record, snapshot, holder)
        };
        Ok(records.iter().zip(self.shared.views(&records).await).map(of).collect())
    }

    /// One query with what stands behind it; `None` if no record has this id.
    pub async fn inspect_one(&self, id: QueryId) -> Result<Option<Inspection>> {
        if self.get_snapshot(id).await?.is_none() {
            return Ok(None);
        }
        let found = self.shared.records.find(id).await?.and_then(|query| query.record());
        let Some(record) = found else { return Ok(None) };
        let holders = upkeep::holders(&self.shared, std::slice::from_ref(&record)).await;
        let holder = holders.get(&record.lease.owner).copied().unwrap_or(Holder::Gone);
        Ok(Some(Inspection::of(&record, self.shared.view(&record).await, holder)))
    }

    /// Forgets queries that ended at least `age` ago, with their rows. Those that run or owe something stay.
    pub async fn forget_ended(&self, age: Duration) -> Result<Forgotten> {
        let now = self.shared.config.clock.now();
        let mut forgotten = Forgotten::default();
        for record in self.shared.records.list(ListFilter::default()).await? {
            if record.finished_at.is_none_or(|end| now.since(end) < age) {
                continue;
            }
            if !record.owes.is_empty() {
                forgotten.kept_for_debts += 1;
                continue;
            }
            let bytes = stored_bytes(&record);
            if upkeep::expire(&self.shared, QueryRecord::clone(&record)).await {
                forgotten.queries += 1;
                forgotten.bytes += bytes;
            }
        }
        Ok(forgotten)
    }
}

impl Inspection {
    fn of(record: &QueryRecord, snapshot: QuerySnapshot, holder: Holder) -> Self {
        Self {
            snapshot,
            target: record.engine.target.clone(),
            embedded: record.engine.embedded,
            holder,
            deadline_at: record.deadline_at,
            cancel_attempts: record.cancel.attempts,
            owes: record.owes.iter().copied().collect(),
            rows_gone: record.rows_gone,
            stored_bytes: stored_bytes(record),
        }
    }

    /// Nobody drives it: its process is gone, and no other has taken it up.
    pub fn is_orphaned(&self) -> bool {
        self.holder == Holder::Gone && (!self.snapshot.status.is_terminal() || !self.owes.is_empty())
    }
}

fn stored_bytes(record: &QueryRecord) -> u64 {
    record.result.as_ref().filter(|_| !record.rows_gone).map_or(0, |rows| rows.bytes)
}
