//! From a final answer to stored rows: the answer's own rows first, then the chunks in order.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use registry_core::backend::{BackendError, FetchError};
use registry_core::error::{ErrorInfo, ErrorKind};
use registry_core::id::RemoteHandle;
use registry_core::results::{ResultStoreError, ResultWriter, StoredRows};
use serde_json::Value;
use tokio::time::Instant;

use super::chunks::{Chunks, Format, Parcel};
use super::error::{Stopped, fault, stopped};
use super::pool::Pool;
use super::session::SnowflakeSession;
use super::statement::lost_rows;
use super::transport::Call;
use crate::error::Ending;
use crate::fence::Table;
use crate::values::Column;
use crate::values::arrow::store_batches;
use crate::values::json::{DecodeError, Decoded, store_rows};
use crate::wire::driver::{Envelope, ResultData};

/// Everything that the rows of one result need.
struct Opened {
    columns: Arc<[Column]>,
    total: Option<u64>,
    format: Format,
    inline: Vec<u8>,
    chunks: Chunks,
}

/// Fetches and stores the rows. `kept` is the final answer, where it has come already.
pub(super) async fn fetch_rows(
    pool: &Arc<Pool>,
    home: Option<&Arc<SnowflakeSession>>,
    handle: &RemoteHandle,
    kept: Option<Envelope>,
    mut writer: ResultWriter,
) -> Result<StoredRows, FetchError> {
    let envelope = match kept {
        Some(envelope) => envelope,
        None => final_answer(pool, home, handle).await?,
    };
    let Opened { columns, total, format, inline, mut chunks } = opened(&envelope, pool)?;
    drop(envelope);
    writer = blocking(writer, {
        let metas = columns.iter().map(|column| column.meta.clone()).collect();
        move |writer| writer.columns(metas).map_err(DecodeError::Store)
    })
    .await?
    .0;
    let mut parcel = Some(Parcel { format, rows: inline });
    let mut renewed = false;
    loop {
        if let Some(parcel) = parcel.take() {
            let columns = Arc::clone(&columns);
            let (back, decoded) = blocking(writer, move |writer| decode(&parcel, &columns, writer)).await?;
            writer = back;
            if decoded == Decoded::Full {
                break;
            }
        }
        match chunks.next().await {
            Ok(Some(next)) => parcel = Some(next),
            Ok(None) => break,
            // The addresses are good for some hours only; the result itself is there for longer.
            Err(error) if error.is_expired() && !renewed => {
                renewed = true;
                let envelope = final_answer(pool, home, handle).await?;
                chunks.renew(opened(&envelope, pool)?.chunks)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    finish(writer, total).await
}

/// The statement has ended, so "not yet" is a matter of moments; each answer has its own deadline.
async fn final_answer(
    pool: &Arc<Pool>,
    home: Option<&Arc<SnowflakeSession>>,
    handle: &RemoteHandle,
) -> Result<Envelope, FetchError> {
    let until = Instant::now() + pool.transport().deadlines().long_poll;
    loop {
        let envelope = pool.look(home, Call::Result(handle.as_str())).await.map_err(FetchError::Retry)?;
        if envelope.is_in_progress() {
            if Instant::now() >= until {
                let text = "Snowflake says that the statement has ended but holds back its result";
                return Err(FetchError::Retry(BackendError::new(ErrorKind::Unavailable, text)));
            }
            // A server that holds the question open makes this wait without meaning.
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            continue;
        }
        return if envelope.is_success() { Ok(envelope) } else { Err(refused(&envelope)) };
    }
}

fn refused(envelope: &Envelope) -> FetchError {
    let fault = fault(envelope);
    let code = envelope.code();
    if stopped(code, envelope.message.as_deref().unwrap_or_default()) == Some(Stopped::Canceled) {
        return FetchError::Final(lost_rows("the statement was stopped before its result could be had"));
    }
    match fault.ending() {
        Ending::NotFound => FetchError::Final(expired()),
        _ if code == 612 => FetchError::Final(expired()),
        Ending::Failed(error) if error.kind.is_retryable() => FetchError::Retry(BackendError(error)),
        _ => FetchError::Final(fault.explained(ErrorKind::ResultFetch, "Snowflake does not give the result")),
    }
}

fn expired() -> ErrorInfo {
    lost_rows("Snowflake keeps results for 24 hours and no longer has this one; run the statement again")
}

fn opened(envelope: &Envelope, pool: &Pool) -> Result<Opened, FetchError> {
    let raw = envelope.data.as_deref().ok_or_else(|| unreadable("it has no data"))?;
    let data: ResultData<'_> =
        serde_json::from_str(raw.get()).map_err(|_| unreadable("its data are not of the known form"))?;
    let columns: Arc<[Column]> = data
        .rowtype
        .iter()
        .flatten()
        .map(|column| Column::new(&column.name, &column.kind, column.scale, column.precision))
        .collect();
    let format = format_of(&data);
    let inline = inline_rows(&data, format)?;
    let transport = pool.transport();
    let chunks =
        Chunks::new(transport, format, data.chunks.unwrap_or_default(), data.chunk_headers, data.qrmk)?;
    Ok(Opened { columns, total: data.total, format, inline, chunks })
}

/// The answer decides, whatever was asked for.
pub(super) fn format_of(data: &ResultData<'_>) -> Format {
    match data.query_result_format.as_deref() {
        Some(word) if word.eq_ignore_ascii_case("arrow") => Format::Arrow,
        Some(_) => Format::Json,
        None if data.rowset_base64.is_some() => Format::Arrow,
        None => Format::Json,
    }
}

pub(super) fn inline_rows(data: &ResultData<'_>, format: Format) -> Result<Vec<u8>, FetchError> {
    Ok(match (format, &data.rowset_base64, data.rowset) {
        (Format::Arrow, Some(text), _) => {
            STANDARD.decode(text.as_bytes()).map_err(|_| unreadable("its rows are not base64"))?
        }
        (Format::Json, _, Some(rowset)) if rowset.get() != "null" => rowset.get().as_bytes().to_vec(),
        _ => Vec::new(),
    })
}

fn decode(parcel: &Parcel, columns: &[Column], writer: &mut ResultWriter) -> Result<Decoded, DecodeError> {
    if parcel.rows.is_empty() {
        return Ok(Decoded::All(0));
    }
    let decoded = match parcel.format {
        Format::Json => store_rows(&parcel.rows, columns, writer)?,
        Format::Arrow => store_batches(&parcel.rows, columns, writer)?,
    };
    writer.show().map_err(DecodeError::Store)?;
    Ok(decoded)
}

/// Decoding and writing are work for a thread that may block.
async fn blocking<T: Send + 'static>(
    mut writer: ResultWriter,
    work: impl FnOnce(&mut ResultWriter) -> Result<T, DecodeError> + Send + 'static,
) -> Result<(ResultWriter, T), FetchError> {
    let done = tokio::task::spawn_blocking(move || work(&mut writer).map(|value| (writer, value))).await;
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(undecoded(error)),
        Err(fault) => Err(FetchError::Final(ErrorInfo::new(ErrorKind::Internal, fault.to_string()))),
    }
}

async fn finish(writer: ResultWriter, total: Option<u64>) -> Result<StoredRows, FetchError> {
    match tokio::task::spawn_blocking(move || writer.finish(total)).await {
        Ok(stored) => stored.map_err(|error| not_stored(&error)),
        Err(fault) => Err(FetchError::Final(ErrorInfo::new(ErrorKind::Internal, fault.to_string()))),
    }
}

fn undecoded(error: DecodeError) -> FetchError {
    match error {
        DecodeError::Store(error) => not_stored(&error),
        DecodeError::Malformed(words) => {
            FetchError::Final(lost_rows(format!("the rows could not be read: {words}")))
        }
    }
}

fn not_stored(error: &ResultStoreError) -> FetchError {
    FetchError::Final(ErrorInfo::new(ErrorKind::ResultStore, error.to_string()))
}

fn unreadable(why: &str) -> FetchError {
    FetchError::Final(lost_rows(format!("Snowflake's answer with the result could not be read: {why}")))
}

/// All rows of a small answer, as text. Of one in Arrow the first value is enough: only selections of ours come so.
pub(super) async fn small_table(pool: &Pool, envelope: &Envelope) -> Result<Table, FetchError> {
    let Opened { columns, total, format, inline, mut chunks } = opened(envelope, pool)?;
    let columns = columns.iter().map(|column| column.meta.name.clone()).collect();
    if format == Format::Arrow {
        let first = first_text(envelope).map_err(FetchError::Retry)?;
        return Ok(Table { columns, rows: vec![vec![first]] });
    }
    let mut rows = json_rows(&inline)?;
    while let Some(parcel) = chunks.next().await? {
        rows.extend(json_rows(&parcel.rows)?);
    }
    if total.is_some_and(|total| total != rows.len() as u64) {
        return Err(unreadable("rows of it are missing"));
    }
    Ok(Table { columns, rows })
}

fn json_rows(text: &[u8]) -> Result<Vec<Vec<Option<String>>>, FetchError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(text).map_err(|_| unreadable("its rows are not of the known form"))
}

/// The first value of the first row of a small answer, as text.
pub(super) fn first_text(envelope: &Envelope) -> Result<Option<String>, BackendError> {
    let protocol = || BackendError::new(ErrorKind::Protocol, "Snowflake's answer could not be read");
    let Some(raw) = envelope.data.as_deref() else { return Ok(None) };
    let data: ResultData<'_> = serde_json::from_str(raw.get()).map_err(|_| protocol())?;
    if format_of(&data) == Format::Arrow {
        let stream = inline_rows(&data, Format::Arrow).map_err(|_| protocol())?;
        return if stream.is_empty() {
            Ok(None)
        } else {
            crate::values::arrow::first_text(&stream).ok_or_else(protocol)
        };
    }
    let Some(rowset) = data.rowset else { return Ok(None) };
    let rows: Vec<Vec<Value>> = serde_json::from_str(rowset.get()).map_err(|_| protocol())?;
    Ok(rows.first().and_then(|row| row.first()).and_then(|value| match value {
        Value::String(text) => Some(text.clone()),
        _ => None,
    }))
}
