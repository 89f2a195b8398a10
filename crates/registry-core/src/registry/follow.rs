//! The rows of a query before it has ended, for the process that runs it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::QueryRegistry;
use crate::error::{RegistryError, Result};
use crate::id::QueryId;
use crate::live::LiveQuery;
use crate::results::{ResultStore, RowsArrived};

/// Hands out the rows of a query in their order, each once, as they reach the disk. Whether they are the rows of a success
/// only the end of the query tells.
#[derive(Debug, Clone)]
pub struct RowFollower {
    results: ResultStore,
    query: Arc<LiveQuery>,
    /// The bytes of the rows handed out.
    position: u64,
}

impl QueryRegistry {
    /// Follows the rows of a query that this process runs, from the first one on.
    pub async fn follow_rows(&self, id: QueryId) -> Result<RowFollower> {
        Ok(RowFollower { results: self.shared.results.clone(), query: self.query(id).await?, position: 0 })
    }
}

impl RowFollower {
    /// The statement has succeeded at its engine, and nothing but rows is still on its way.
    pub fn is_fetching(&self) -> bool {
        self.query.is_fetching()
    }

    /// The next rows: up to `limit` of them that take no more than `max_bytes` on disk, but one at least; `None` while
    /// there is none.
    pub async fn next(&mut self, limit: u64, max_bytes: u64) -> Result<Option<RowsArrived>> {
        let Some(so_far) = self.query.rows_so_far() else { return Ok(None) };
        let (results, id, start) = (self.results.clone(), self.query.id(), self.position);
        let read = spawn_blocking(move || results.arrived(id, &so_far, start, limit, max_bytes)).await;
        let arrived = read
            .map_err(|fault| RegistryError::Results(fault.to_string()))?
            .map_err(|error| RegistryError::Results(error.to_string()))?;
        self.position = arrived.as_ref().map_or(start, |arrived| arrived.end);
        Ok(arrived)
    }
}
