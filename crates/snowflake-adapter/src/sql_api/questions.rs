//! Short statements of our own: run, waited for, and read as text.

use std::time::Duration;

use async_trait::async_trait;
use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use serde::Deserialize;

use super::reply::{Meaning, Reply, ResultHead};
use super::service::{Handle, Service};
use crate::config::StatementContext;
use crate::fence::{self, Ask, Table};
use crate::http::Ceiling;

/// Between two looks at one that takes longer.
const PACE: Duration = Duration::from_millis(500);

/// The description of a result and the answer with its first rows, once the statement has ended.
pub(super) async fn rows(
    service: &Service,
    sql: &str,
    limit: Duration,
    tag: String,
    context: &StatementContext,
) -> Result<(Ended, Vec<u8>), BackendError> {
    let mut reply = service.run(sql, limit, tag, context).await?;
    let patience = tokio::time::Instant::now() + limit;
    // The service may answer before the statement has ended.
    while let (Meaning::Running, Some(handle)) = (&reply.meaning, reply.handle) {
        if tokio::time::Instant::now() >= patience {
            let text = "a question of the server's own takes too long; it is asked again";
            return Err(BackendError::new(ErrorKind::Unavailable, text));
        }
        tokio::time::sleep(PACE).await;
        reply = service.status(handle).await?;
        reply.handle = reply.handle.or(Some(handle));
    }
    match reply {
        Reply { meaning: Meaning::Result(head), handle, body, .. } => Ok((Ended { head, handle }, body)),
        Reply { meaning, .. } => Err(meaning.into_error(ErrorKind::Unavailable)),
    }
}

/// A statement that succeeded.
pub(super) struct Ended {
    head: ResultHead,
    handle: Option<Handle>,
}

#[derive(Deserialize)]
struct Rows {
    data: Vec<Vec<Option<String>>>,
}

#[async_trait]
impl Ask for Service {
    /// Without the connection's warehouse, which none of the questions needs.
    async fn ask(&self, sql: &str) -> Result<Table, BackendError> {
        let context = StatementContext { warehouse: None, ..self.context().clone() };
        let (ended, body) = rows(self, sql, fence::LIMIT, fence::tag(), &context).await?;
        let Ended { head, handle } = ended;
        let mut all = read(&body)?;
        for (number, info) in head.parts.iter().enumerate().skip(1) {
            let Some(handle) = handle else { return Err(unreadable()) };
            let reply = self.part(handle, number, Ceiling::announced(info.uncompressed_size)).await?;
            all.extend(read(&reply.body)?);
        }
        if head.is_cut || head.total.is_some_and(|total| total != all.len() as u64) {
            return Err(unreadable());
        }
        let columns = head.columns.into_iter().map(|column| column.meta.name).collect();
        Ok(Table { columns, rows: all })
    }
}

fn read(body: &[u8]) -> Result<Vec<Vec<Option<String>>>, BackendError> {
    serde_json::from_slice::<Rows>(body).map(|rows| rows.data).map_err(|_| unreadable())
}

fn unreadable() -> BackendError {
    BackendError::new(ErrorKind::Protocol, "the answer to a question of the server's own cannot be read")
}
