//! A journal that lives as long as the process.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    Inserted, Journal, JournalError, ListFilter, Uniqueness, Updated, is_identical, is_same_revision,
};
use crate::clock::Timestamp;
use crate::id::QueryId;
use crate::metrics::{Histogram, HistogramSnapshot};
use crate::record::QueryRecord;

type Records = BTreeMap<QueryId, QueryRecord>;

/// Records in memory: for `--ephemeral` and for tests.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: Mutex<Records>,
    lock_waits: Histogram,
}

impl MemoryJournal {
    /// Every change is one operation on the map, so a thread that died inside has left it whole.
    fn records(&self) -> MutexGuard<'_, Records> {
        self.lock_waits.time(|| self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn select(&self, wanted: impl Fn(&QueryRecord) -> bool) -> Vec<QueryRecord> {
        self.records().values().filter(|record| wanted(record)).cloned().collect()
    }
}

impl Journal for MemoryJournal {
    fn insert(&self, record: &QueryRecord, unique: &Uniqueness) -> Result<Inserted, JournalError> {
        let mut records = self.records();
        if let Some(earlier) = same_key(&records, record) {
            return Ok(Inserted::SameKey(Box::new(earlier.clone())));
        }
        if let Some(earlier) = identical(&records, record, unique) {
            return Ok(Inserted::Identical(Box::new(earlier.clone())));
        }
        if unique.refuse_new {
            return Ok(Inserted::Refused);
        }
        if records.contains_key(&record.id) {
            let reason = format!("query {} is stored already", record.id);
            return Err(JournalError::Other { path: PathBuf::from("(memory)"), reason });
        }
        records.insert(record.id, record.clone());
        Ok(Inserted::New)
    }

    fn update(&self, before: &QueryRecord, after: &QueryRecord) -> Result<Updated, JournalError> {
        let mut records = self.records();
        match records.get_mut(&before.id) {
            Some(stored) if is_same_revision(stored, before) => {
                *stored = after.clone();
                Ok(Updated::Applied)
            }
            other => Ok(Updated::Conflict(other.map(|stored| Box::new(stored.clone())))),
        }
    }

    fn get(&self, id: QueryId) -> Result<Option<QueryRecord>, JournalError> {
        Ok(self.records().get(&id).cloned())
    }

    fn list(&self, filter: &ListFilter) -> Result<Vec<QueryRecord>, JournalError> {
        let mut found = self
            .select(|record| !record.forgotten && filter.status.is_none_or(|status| status == record.status));
        found.sort_by_key(|record| Reverse((record.created_at, record.id)));
        found.truncate(filter.limit.unwrap_or(usize::MAX));
        Ok(found)
    }

    fn unsettled(&self) -> Result<Vec<QueryRecord>, JournalError> {
        let mut found = self.select(QueryRecord::needs_a_driver);
        found.sort_by_key(|record| (record.created_at, record.id));
        Ok(found)
    }

    fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<QueryRecord>, JournalError> {
        let mut found = self
            .select(|record| record.ttl_expires_at <= now && !(record.forgotten && record.needs_a_driver()));
        found.sort_by_key(|record| (record.ttl_expires_at, record.id));
        found.truncate(limit);
        Ok(found)
    }

    fn delete(&self, id: QueryId, version: u64) -> Result<bool, JournalError> {
        let mut records = self.records();
        let found = records.get(&id).is_some_and(|stored| stored.version == version);
        if found {
            records.remove(&id);
        }
        Ok(found)
    }

    fn change_hint(&self) -> Result<i64, JournalError> {
        Ok(0)
    }

    fn lock_waits(&self) -> HistogramSnapshot {
        self.lock_waits.snapshot()
    }

    fn is_shared(&self) -> bool {
        false
    }
}

fn same_key<'a>(records: &'a Records, new: &QueryRecord) -> Option<&'a QueryRecord> {
    new.idempotency_key.as_ref()?;
    records.values().find(|stored| {
        !stored.forgotten
            && stored.connection == new.connection
            && stored.idempotency_key == new.idempotency_key
    })
}

fn identical<'a>(records: &'a Records, new: &QueryRecord, unique: &Uniqueness) -> Option<&'a QueryRecord> {
    let owner = unique.identical_running?;
    records
        .values()
        .filter(|stored| is_identical(stored, new, owner))
        .min_by_key(|stored| (stored.created_at, stored.id))
}
