//! Results cut into the parts that the protocols deliver.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::arrow;
use super::history::now_ms;
use super::http::{Call, Reply};
use super::json::{Dialect, row_type, rows};
use super::options::ChunkKeys;
use super::service::Service;
use super::session::Session;
use super::table::{SELECT, Table};

/// The key of every result.
const QRMK: &str = "ZmFrZSBxdWVyeSByZXN1bHQgbWFzdGVyIGtleSAhISE=";
const ALGORITHM_HEADER: &str = "x-amz-server-side-encryption-customer-algorithm";
const KEY_HEADER: &str = "x-amz-server-side-encryption-customer-key";

/// How rows travel to a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Arrow,
}

impl Format {
    /// Known drivers get Arrow unless their session says otherwise; everyone else gets JSON.
    pub(super) fn of(session: &Session, table: &Table) -> Self {
        let application = session.application.to_uppercase();
        let parameter = match application.as_str() {
            "PYTHONCONNECTOR" => "PYTHON_CONNECTOR_QUERY_RESULT_FORMAT",
            "GO" => "GO_QUERY_RESULT_FORMAT",
            "JDBC" => "JDBC_QUERY_RESULT_FORMAT",
            "ODBC" => "ODBC_QUERY_RESULT_FORMAT",
            _ => return Self::Json,
        };
        let wanted = session.parameter(parameter).unwrap_or_else(|| "ARROW".to_owned()).to_uppercase();
        // Only selections come as Arrow.
        if table.statement_type == SELECT && wanted.starts_with("ARROW") { Self::Arrow } else { Self::Json }
    }
}

/// Row ranges of at most `size` rows; an empty result is one empty part.
pub(super) fn partitions(table: &Table, size: usize) -> Vec<Range<usize>> {
    let total = table.rows.len();
    let starts = (0..total.max(1)).step_by(size.max(1));
    starts.map(|start| start..(start + size).min(total)).collect()
}

/// Rows for the SQL API.
pub(super) fn api_rows(table: &Table, range: Range<usize>) -> Vec<Value> {
    rows(&table.columns, table.rows.get(range).unwrap_or_default(), Dialect::SqlApi)
}

/// The metadata that comes with the first partition.
pub(super) fn api_metadata(table: &Table, parts: &[Range<usize>]) -> Value {
    let describe = |range: &Range<usize>| {
        // Near enough: what a client reads from it is where the rows are.
        let size = range.len() * table.columns.len() * 12;
        json!({ "rowCount": range.len(), "uncompressedSize": size, "compressedSize": size / 4 })
    };
    let parts: Vec<Value> = parts.iter().map(describe).collect();
    json!({
        "numRows": table.rows.len(), "format": "jsonv2", "partitionInfo": parts,
        "rowType": row_type(&table.columns),
    })
}

/// A driver's answer: the first rows in it, the rest in chunks.
pub(super) fn driver_data(service: &Service, handle: &str, table: &Table, format: Format) -> Value {
    let options = service.options();
    let total = table.rows.len();
    let inline = total.min(options.inline_rows);
    let mut data = json!({
        "rowtype": row_type(&table.columns), "total": total, "returned": total, "queryId": handle,
        "databaseProvider": null, "numberOfBinds": 0, "arrayBindSupported": false,
        "statementTypeId": table.statement_type, "version": 1, "sendResultTime": now_ms(),
        "stats": { "numRowsInserted": table.changed, "numRowsUpdated": 0, "numRowsDeleted": 0, "numDmlDuplicates": 0 },
    });
    let first = table.rows.get(..inline).unwrap_or_default();
    if format == Format::Arrow {
        data["queryResultFormat"] = json!("arrow");
        data["rowsetBase64"] = json!(arrow_text(table, 0..inline));
    } else {
        data["queryResultFormat"] = json!("json");
        data["rowset"] = json!(rows(&table.columns, first, Dialect::Driver));
    }
    if inline < total {
        add_chunks(service, handle, table, format, &mut data);
    }
    data
}

/// An empty set of rows has no stream at all.
fn arrow_text(table: &Table, range: Range<usize>) -> String {
    let rows = table.rows.get(range).unwrap_or_default();
    if rows.is_empty() {
        return String::new();
    }
    arrow::stream(&table.columns, rows).map_or_else(|error| error.to_string(), |bytes| BASE64.encode(bytes))
}

fn add_chunks(service: &Service, handle: &str, table: &Table, format: Format, data: &mut Value) {
    let options = service.options();
    let until = u128::from(now_ms()) + options.url_validity.as_millis();
    let kind = if format == Format::Arrow { "arrow" } else { "json" };
    let ranges = chunk_ranges(service, table);
    let chunk = |(number, range): (usize, Range<usize>)| {
        let url = format!(
            "{}/chunks/{handle}/{number}?format={kind}&X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Expires=21600&X-Amz-SignedHeaders=host&until={until}&X-Amz-Signature=canary-signature",
            service.address
        );
        let size = range.len() * table.columns.len() * 12;
        json!({ "url": url, "rowCount": range.len(), "uncompressedSize": size, "compressedSize": size / 4 })
    };
    data["chunks"] = ranges.into_iter().enumerate().map(chunk).collect();
    match options.chunk_keys {
        ChunkKeys::Qrmk => data["qrmk"] = json!(QRMK),
        ChunkKeys::Headers => {
            data["chunkHeaders"] = json!({ ALGORITHM_HEADER: "AES256", KEY_HEADER: QRMK });
            data["qrmk"] = json!(QRMK);
        }
        ChunkKeys::EmptyHeaders => {
            data["chunkHeaders"] = json!({});
            data["qrmk"] = json!(QRMK);
        }
        ChunkKeys::None => {}
    }
}

fn chunk_ranges(service: &Service, table: &Table) -> Vec<Range<usize>> {
    let options = service.options();
    let total = table.rows.len();
    let starts = (options.inline_rows.min(total)..total).step_by(options.chunk_rows.max(1));
    starts.map(|start| start..(start + options.chunk_rows).min(total)).collect()
}

/// `GET /chunks/{handle}/{number}`, as a cloud store answers.
pub(super) fn chunk(service: &Service, call: &Call, handle: &str, number: &str) -> Reply {
    if !call.header("authorization").is_empty() {
        return store_error(400, "InvalidArgument", "Only one auth mechanism allowed");
    }
    let until: u64 = call.param("until").and_then(|until| until.parse().ok()).unwrap_or(0);
    if until < now_ms() {
        return store_error(403, "AccessDenied", "Request has expired");
    }
    if !has_key(service, call) {
        return store_error(403, "AccessDenied", "Access Denied");
    }
    let query = service.history.get(handle);
    if let Some(query) = &query {
        query.count("chunk");
    }
    let Some(Ok(table)) = query.and_then(|query| query.outcome()) else {
        return store_error(404, "NoSuchKey", "The specified key does not exist.");
    };
    let range =
        number.parse::<usize>().ok().and_then(|number| chunk_ranges(service, &table).get(number).cloned());
    match range {
        Some(range) => chunk_body(service, call, &table, range),
        None => store_error(404, "NoSuchKey", "The specified key does not exist."),
    }
}

fn has_key(service: &Service, call: &Call) -> bool {
    let (algorithm, key) = (call.header(ALGORITHM_HEADER), call.header(KEY_HEADER));
    match service.options().chunk_keys {
        ChunkKeys::Qrmk | ChunkKeys::Headers => algorithm == "AES256" && key == QRMK,
        // A key that was not asked for breaks the signature.
        ChunkKeys::EmptyHeaders | ChunkKeys::None => algorithm.is_empty() && key.is_empty(),
    }
}

fn chunk_body(service: &Service, call: &Call, table: &Table, range: Range<usize>) -> Reply {
    let rows = table.rows.get(range).unwrap_or_default();
    let body = if call.param("format") == Some("arrow") {
        arrow::stream(&table.columns, rows).unwrap_or_default()
    } else {
        let text = json!(super::json::rows(&table.columns, rows, Dialect::Driver)).to_string();
        // The rows without the brackets around them.
        text.get(1..text.len() - 1).unwrap_or_default().as_bytes().to_vec()
    };
    let mut reply = Reply { status: 200, headers: vec![], body }.gzip();
    if !service.options().chunk_encoding_header {
        reply.headers.clear();
    }
    reply.with("content-type", "application/octet-stream".to_owned())
}

fn store_error(status: u16, code: &str, message: &str) -> Reply {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    Reply { status, headers: vec![], body: body.into_bytes() }
        .with("content-type", "application/xml".to_owned())
}
