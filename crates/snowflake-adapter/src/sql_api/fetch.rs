//! The rows of a statement, part by part: while one is stored, the next one travels. No more than two are in memory.

use std::sync::Arc;

use registry_core::backend::{BackendError, FetchError};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::results::{ResultStoreError, ResultWriter, StoredRows, Truncation};

use super::reply::{Meaning, Reply, ResultHead};
use super::service::{Handle, Service};
use crate::http::{Ceiling, Failure};
use crate::values::Column;
use crate::values::json::{DecodeError, Decoded, store_rows};
use crate::wire::sql_api::PartitionInfo;

/// The description of a result and its first rows, still as text.
#[derive(Debug)]
pub(super) struct FirstPart {
    pub(super) head: ResultHead,
    pub(super) body: Vec<u8>,
}

/// Why storing ends before the last part.
enum Stop {
    /// The writer takes no more.
    Full(Box<ResultWriter>),
    Error(FetchError),
}

impl From<FetchError> for Stop {
    fn from(error: FetchError) -> Self {
        Self::Error(error)
    }
}

pub(super) async fn fetch(
    service: &Service,
    handle: Handle,
    first: Option<FirstPart>,
    rows: ResultWriter,
) -> Result<StoredRows, FetchError> {
    let first = match first {
        Some(first) => first,
        None => first_part(service, handle).await?,
    };
    let head = first.head;
    let columns: Arc<[Column]> = head.columns.into();
    let rows = begin(rows, &columns).await?;
    let parts = Parts { service, handle, columns, infos: &head.parts };
    let rows = match parts.store_all(first.body, rows).await {
        Ok(rows) => rows,
        Err(Stop::Full(rows)) => *rows,
        Err(Stop::Error(error)) => return Err(error),
    };
    finish(rows, head.total, head.is_cut).await
}

async fn first_part(service: &Service, handle: Handle) -> Result<FirstPart, FetchError> {
    let reply = service.part(handle, 0, Ceiling::Announced).await.map_err(not_received)?;
    match reply {
        Reply { meaning: Meaning::Result(head), body, .. } => Ok(FirstPart { head, body }),
        reply => Err(no_rows(reply.meaning)),
    }
}

struct Parts<'f> {
    service: &'f Service,
    handle: Handle,
    columns: Arc<[Column]>,
    infos: &'f [PartitionInfo],
}

impl Parts<'_> {
    /// Stores the part at hand while the next one is on its way.
    async fn store_all(&self, first: Vec<u8>, rows: ResultWriter) -> Result<ResultWriter, Stop> {
        let (mut body, mut rows) = (first, rows);
        for (number, info) in self.infos.iter().enumerate() {
            let storing = self.store(body, *info, rows);
            match self.infos.get(number + 1) {
                None => return storing.await,
                Some(next) => {
                    let coming = self.get(number + 1, *next);
                    (rows, body) = overlapped(storing, coming).await?;
                }
            }
        }
        Ok(rows)
    }

    async fn get(&self, number: usize, info: PartitionInfo) -> Result<Vec<u8>, FetchError> {
        let ceiling = Ceiling::announced(info.uncompressed_size);
        let reply = self.service.part(self.handle, number, ceiling).await.map_err(not_received)?;
        match reply {
            // Should a part come with a description, it is the same one again.
            Reply { meaning: Meaning::Rows | Meaning::Result(_), body, .. } => Ok(body),
            reply => Err(no_rows(reply.meaning)),
        }
    }

    async fn store(
        &self,
        body: Vec<u8>,
        info: PartitionInfo,
        rows: ResultWriter,
    ) -> Result<ResultWriter, Stop> {
        let columns = Arc::clone(&self.columns);
        blocking(move || store_part(&body, info.row_count, &columns, rows)).await?
    }
}

/// Stores one part, and shows its rows if they are as many as were announced.
fn store_part(
    body: &[u8],
    announced: u64,
    columns: &[Column],
    mut rows: ResultWriter,
) -> Result<ResultWriter, Stop> {
    match store_rows(body, columns, &mut rows) {
        Ok(Decoded::All(count)) if count == announced => {
            rows.show().map_err(not_stored)?;
            Ok(rows)
        }
        Ok(Decoded::All(count)) => {
            Err(garbled(format!("a part of the result has {count} rows where {announced} were announced")))
        }
        Ok(Decoded::Full) => Err(Stop::Full(Box::new(rows))),
        Err(DecodeError::Malformed(text)) => {
            Err(garbled(format!("a part of the result cannot be read: {text}")))
        }
        Err(DecodeError::Store(error)) => Err(Stop::Error(not_stored(error))),
    }
}

/// A result that is full wants no further part, not even the error of one.
async fn overlapped(
    storing: impl Future<Output = Result<ResultWriter, Stop>>,
    coming: impl Future<Output = Result<Vec<u8>, FetchError>>,
) -> Result<(ResultWriter, Vec<u8>), Stop> {
    tokio::pin!(storing, coming);
    tokio::select! {
        stored = &mut storing => Ok((stored?, coming.await?)),
        body = &mut coming => Ok((storing.await?, body?)),
    }
}

/// Work on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        let text = format!("storing the rows broke off: {error}");
        FetchError::Retry(BackendError::new(ErrorKind::Internal, text))
    })
}

async fn begin(mut rows: ResultWriter, columns: &[Column]) -> Result<ResultWriter, FetchError> {
    let metas = columns.iter().map(|column| column.meta.clone()).collect();
    blocking(move || rows.columns(metas).map(|()| rows)).await?.map_err(not_stored)
}

async fn finish(rows: ResultWriter, total: Option<u64>, is_cut: bool) -> Result<StoredRows, FetchError> {
    let mut stored = blocking(move || rows.finish(total)).await?.map_err(not_stored)?;
    if is_cut {
        // The service kept only so many bytes of the result, and does not say how many rows there were.
        stored.total_rows = None;
        stored.truncated = stored.truncated.or(Some(Truncation::ByteCeiling));
    }
    Ok(stored)
}

fn garbled(text: String) -> Stop {
    Stop::Error(FetchError::Retry(BackendError::new(ErrorKind::Protocol, text)))
}

fn not_stored(error: ResultStoreError) -> FetchError {
    FetchError::Final(ErrorInfo::new(ErrorKind::ResultStore, error.to_string()))
}

fn not_received(failure: Failure) -> FetchError {
    match failure {
        // Asking again would bring the same.
        Failure::Unusable(_) | Failure::Redirected(_) => FetchError::Final(BackendError::from(failure).0),
        _ => FetchError::Retry(failure.into()),
    }
}

/// An answer that should have been rows.
fn no_rows(meaning: Meaning) -> FetchError {
    match meaning {
        Meaning::NotFound(error) | Meaning::Failed(error) => {
            let text = format!(
                "the rows are no longer at Snowflake; submit the statement again ({})",
                error.message
            );
            FetchError::Final(ErrorInfo { kind: ErrorKind::ResultFetch, message: text, ..error })
        }
        Meaning::Forbidden(error) | Meaning::Refused(error) | Meaning::Unauthenticated(error) => {
            FetchError::Final(error)
        }
        other => FetchError::Retry(other.into_error(ErrorKind::Protocol)),
    }
}
