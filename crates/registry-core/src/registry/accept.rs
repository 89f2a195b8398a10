//! Taking a query, or finding the earlier one that stands for it.

use std::sync::Arc;

use super::{QueryRegistry, seen};
use crate::driver;
use crate::error::{RegistryError, Result};
use crate::journal::{Inserted, Uniqueness};
use crate::live::LiveQuery;
use crate::options::QueryRequest;
use crate::outcome::{Accepted, Joined};
use crate::record::QueryRecord;
use crate::shared::{Connection, Shared};

impl QueryRegistry {
    /// Accepts a query: its record is durable when this returns, its statement on its way.
    ///
    /// **Cancel safety:** a dropped call may still accept the query.
    pub async fn execute_query(&self, request: QueryRequest) -> Result<Accepted> {
        let connection = self.checked(&request)?;
        let accepting = accept(Arc::clone(&self.shared), connection, request);
        self.shared.tasks.spawn(accepting).await.unwrap_or(Err(RegistryError::Closed))
    }

    /// The earlier query that [`QueryRegistry::execute_query`] would answer with at this moment. Nothing is accepted.
    pub async fn find_earlier(&self, request: QueryRequest) -> Result<Option<Accepted>> {
        let connection = self.checked(&request)?;
        match offer(&self.shared, &connection, request, Offer::OnlyLook).await? {
            Offered::Earlier(accepted) => Ok(Some(*accepted)),
            Offered::New(_) | Offered::Refused => Ok(None),
        }
    }

    /// The connection of a request that may be accepted.
    fn checked(&self, request: &QueryRequest) -> Result<Arc<Connection>> {
        if self.shared.closing.is_cancelled() {
            return Err(RegistryError::Closed);
        }
        request.validate(self.shared.config.max_statement_bytes)?;
        let connection = self.shared.connection(request.connection.as_deref())?;
        connection.backend.check_context(&request.options.context).map_err(RegistryError::InvalidRequest)?;
        Ok(Arc::clone(connection))
    }
}

/// The record is durable before the driver starts, and the place in the line is taken before the record is.
async fn accept(shared: Arc<Shared>, connection: Arc<Connection>, request: QueryRequest) -> Result<Accepted> {
    let place = connection.line.try_join(request.options.priority);
    let how = if place.is_some() { Offer::Store } else { Offer::OnlyLook };
    match (offer(&shared, &connection, request, how).await?, place) {
        (Offered::New(record), Some(place)) => {
            shared.metrics.accepted.add_one();
            let query = shared.records.adopt(*record);
            query.span().in_scope(|| log_acceptance(&query));
            driver::start(&shared, &connection, Arc::clone(&query), place);
            let record = seen(&query)?;
            let options = record.options.clone();
            Ok(Accepted { snapshot: shared.view(&record).await, joined: None, options })
        }
        (Offered::Earlier(accepted), _) => Ok(*accepted),
        (Offered::Refused | Offered::New(_), _) => {
            let (running, queued) = connection.line.load();
            Err(RegistryError::QueueFull { running, queued })
        }
    }
}

/// What is to be done with a request that no earlier query stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offer {
    Store,
    OnlyLook,
}

/// What became of a request that was offered to the journal.
#[derive(Debug)]
enum Offered {
    /// Its record is stored.
    New(Box<QueryRecord>),
    /// An earlier query stands for it.
    Earlier(Box<Accepted>),
    /// No earlier query does, and it was not to be stored.
    Refused,
}

async fn offer(
    shared: &Arc<Shared>,
    connection: &Connection,
    request: QueryRequest,
    how: Offer,
) -> Result<Offered> {
    let unique = Uniqueness {
        identical_running: request.deduplicate.then(|| shared.instance()),
        refuse_new: how == Offer::OnlyLook,
    };
    let (now, ttl) = (shared.config.clock.now(), shared.config.ttl);
    let (name, facts) = (connection.name.clone(), connection.facts());
    let mut record = QueryRecord::accept(request, name, facts, shared.instance(), now, ttl);
    record.row_ceiling = Some(shared.results.max_rows());
    match shared.records.insert(record.clone(), unique).await? {
        Inserted::New => Ok(Offered::New(Box::new(record))),
        Inserted::Refused => Ok(Offered::Refused),
        Inserted::SameKey(earlier) => join(shared, &record, *earlier, Joined::SameKey).await,
        Inserted::Identical(earlier) => join(shared, &record, *earlier, Joined::Identical).await,
    }
}

async fn join(
    shared: &Arc<Shared>,
    record: &QueryRecord,
    earlier: QueryRecord,
    joined: Joined,
) -> Result<Offered> {
    if earlier.sql != record.sql || earlier.options.context != record.options.context {
        let key = record.idempotency_key.clone().unwrap_or_default();
        return Err(RegistryError::KeyReused { key, id: earlier.id });
    }
    shared.metrics.joined.add_one();
    tracing::info!(query_id = %earlier.id, "an earlier query stands for the new one");
    let snapshot = shared.view(&earlier).await;
    Ok(Offered::Earlier(Box::new(Accepted { snapshot, joined: Some(joined), options: earlier.options })))
}

/// The text itself may hold what is nobody's business, so it is told only to those who ask for details.
fn log_acceptance(query: &LiveQuery) {
    let Some(record) = query.record() else { return };
    tracing::info!(client = record.client, sql_bytes = record.sql.len(), "query accepted");
    tracing::debug!(sql = record.sql_preview(), "statement");
}
