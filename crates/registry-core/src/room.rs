//! Room for new rows: which stored results may go when it is needed.

use std::sync::Arc;

use crate::id::QueryId;
use crate::metrics::Metrics;
use crate::records::{GivenUp, Records};
use crate::results::Evictor;

/// Gives up the rows of queries that have ended, and says so in their records.
#[derive(Debug)]
pub(crate) struct RowRoom {
    records: Records,
    metrics: Arc<Metrics>,
    limit: u64,
}

impl RowRoom {
    pub(crate) fn new(records: &Records, metrics: &Arc<Metrics>, limit: u64) -> Self {
        Self { records: records.clone(), metrics: Arc::clone(metrics), limit }
    }
}

impl Evictor for RowRoom {
    fn gives_up(&self, id: QueryId) -> bool {
        match self.records.give_up_rows(id, self.limit) {
            Ok(GivenUp::Now) => {
                self.metrics.results_evicted.add_one();
                tracing::info!(query_id = %id, limit = self.limit, "rows removed to make room");
                true
            }
            Ok(GivenUp::Before) => true,
            Ok(GivenUp::No) => false,
            Err(error) => {
                self.metrics.journal_errors.add_one();
                tracing::warn!(query_id = %id, %error, "rows stay, because their record cannot be changed");
                false
            }
        }
    }
}
