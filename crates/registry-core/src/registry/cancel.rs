//! The end of a query at a caller's wish, and what the engine said to it.

use std::sync::Arc;
use std::time::Duration;

use super::{QueryRegistry, seen};
use crate::error::{RegistryError, Result};
use crate::id::QueryId;
use crate::live::LiveQuery;
use crate::outcome::{CancelReason, Canceled};
use crate::record::{QueryRecord, StopReason};
use crate::records::ApplyError;
use crate::snapshot::QueryStatus;
use crate::state::Event;
use crate::upkeep::{self, Taking};

impl QueryRegistry {
    /// Asks for the query to be stopped and waits up to `patience` for the engine's word, if anybody asks the engine;
    /// also for its word on a statement whose query ended without one.
    pub async fn cancel(&self, id: QueryId, patience: Duration) -> Result<Canceled> {
        let query = self.query(id).await?;
        let before = seen(&query)?;
        if before.is_terminal() {
            return self.cancel_ended(&query, &before, patience).await;
        }
        match self.shared.records.apply(&query, Event::StopRequested(StopReason::User)).await {
            Ok(applied) => drop(self.shared.carry_out(&query, applied.effects).await),
            Err(ApplyError::Journal(error)) => return Err(error.into()),
            Err(ApplyError::Removed | ApplyError::LeaseLost) => return Err(RegistryError::NotFound(id)),
        }
        // The wish stands before the query is taken up, so what was never sent is not sent now.
        upkeep::take_over_one(&self.shared, &query, Taking::ToStop).await;
        let has_word = |record: &QueryRecord| record.is_terminal() || record.cancel.refused.is_some();
        let after = self.word(&query, has_word, patience).await?;
        Ok(self.canceled(achieved(&after), &after).await)
    }

    /// What an ended query still owes at the engine is taken up where its process is gone.
    async fn cancel_ended(
        &self,
        query: &Arc<LiveQuery>,
        before: &QueryRecord,
        patience: Duration,
    ) -> Result<Canceled> {
        if before.owes.is_empty() {
            return Ok(self.canceled(already(before), before).await);
        }
        upkeep::take_over_one(&self.shared, query, Taking::ToStop).await;
        let after = self.word(query, |record| record.owes.is_empty(), patience).await?;
        Ok(self.canceled(achieved(&after), &after).await)
    }

    async fn canceled(&self, reason: CancelReason, record: &QueryRecord) -> Canceled {
        self.shared.metrics.record_cancel(reason);
        Canceled { reason, snapshot: self.shared.view(record).await }
    }

    /// The record once the engine's word is in it, or as it is when the patience is over. An engine that nobody asks gives
    /// none.
    async fn word(
        &self,
        query: &Arc<LiveQuery>,
        is_in: impl Fn(&QueryRecord) -> bool,
        patience: Duration,
    ) -> Result<Arc<QueryRecord>> {
        let abandoned = upkeep::is_abandoned(&self.shared, query).await;
        self.once(query, is_in, if abandoned { Duration::ZERO } else { patience }).await
    }
}

/// What a cancel request finds when the query has ended before.
fn already(record: &QueryRecord) -> CancelReason {
    match (record.status, record.stop_confirmed) {
        (QueryStatus::Canceled, true) => CancelReason::AlreadyCanceled,
        (QueryStatus::Canceled, false) => CancelReason::Unconfirmed,
        _ => CancelReason::AlreadyCompleted,
    }
}

fn achieved(record: &QueryRecord) -> CancelReason {
    match (record.status, record.stop_confirmed) {
        (QueryStatus::Canceled, true) if record.is_unsent() => CancelReason::NeverSent,
        (QueryStatus::Canceled, true) => CancelReason::Canceled,
        (QueryStatus::Canceled, false) => CancelReason::Unconfirmed,
        (QueryStatus::Pending | QueryStatus::Running, _) if record.cancel.refused.is_some() => {
            CancelReason::Refused
        }
        (QueryStatus::Pending | QueryStatus::Running, _) => CancelReason::Requested,
        (QueryStatus::Succeeded | QueryStatus::Failed | QueryStatus::Timeout, _) => {
            CancelReason::AlreadyCompleted
        }
    }
}
