//! One page of a result as a resource.

use registry_core::error::RegistryError;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use rmcp::ErrorData;
use rmcp::model::{ReadResourceResult, ResourceContents};
use serde::Serialize;
use serde_json::json;

use super::address::{Address, AddressError, TEMPLATE};
use super::{MEDIA_TYPE, internal, invalid, registry};
use crate::answer::RowFacts;
use crate::call::now;
use crate::jsonl;
use crate::page::cut_text;
use crate::server::Shared;
use crate::tools::rows;
use crate::visible::{visible, visible_lines};
use crate::words;

const DEFAULT_ROWS: u64 = 1000;
const SHOWN_CHARS: usize = 200;

/// A page. What is said about the rows comes before them.
#[derive(Debug, Serialize)]
struct Page {
    message: String,
    query_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<&'static str>,
    #[serde(flatten)]
    rows: RowFacts,
}

/// The page that `uri` names.
pub async fn read(shared: &Shared, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let address = match Address::parse(uri) {
        Ok(address) => address,
        Err(AddressError::Page(problem)) => {
            return Err(invalid(&format!("The address has a mistake: {problem}.")));
        }
        Err(AddressError::Unknown) => {
            return Err(not_found(
                uri,
                &format!("There is no such resource; addresses have the form {TEMPLATE}."),
            ));
        }
    };
    let registry = registry(shared).await?;
    let found = registry.get_snapshot(address.id).await.map_err(|error| internal(&error.to_string()))?;
    let Some(snapshot) = found else { return Err(not_found(uri, FORGOTTEN)) };
    if snapshot.status != QueryStatus::Succeeded {
        return Err(no_result(uri, &snapshot));
    }
    let limit = address.limit.unwrap_or(DEFAULT_ROWS);
    match rows::fetch(registry, address.id, address.offset, limit).await {
        Ok(page) => Ok(answer(address, &snapshot, rows::show(&shared.settings, &snapshot, page, 0))),
        Err(RegistryError::NotFound(_)) => Err(not_found(uri, FORGOTTEN)),
        Err(RegistryError::ResultExpired(_) | RegistryError::RowsEvicted { .. }) => {
            Err(not_found(uri, EXPIRED))
        }
        Err(error) => Err(internal(&error.to_string())),
    }
}

const FORGOTTEN: &str = "No query of this id is known here; its retention may be over. resources/list and query_list \
                         tell what there is.";
const EXPIRED: &str = "The query succeeded, but its rows are no longer stored. Call async_execute_query to run \
                       the statement again, without its old idempotency_key.";

fn answer(address: Address, snapshot: &QuerySnapshot, shown: rows::Shown) -> ReadResourceResult {
    let following = shown.rows.next_offset.map(|offset| Address { offset, ..address }.to_string());
    let page = Page {
        message: shown.message,
        query_id: address.id.to_string(),
        next: rows::next(&shown.rows, following.as_ref().map(|uri| format!("read {uri}"))),
        next_uri: following,
        truncated: snapshot.truncated.map(words::truncation),
        rows: shown.rows,
    };
    let mut text = String::new();
    // The page holds nothing that JSON cannot.
    jsonl::write_json(&mut text, &serde_json::to_value(&page).unwrap_or_default());
    let contents = ResourceContents::text(text, address.to_string()).with_mime_type(MEDIA_TYPE);
    ReadResourceResult::new(vec![contents])
}

/// What became of a query that has nothing to read.
fn no_result(uri: &str, snapshot: &QuerySnapshot) -> ErrorData {
    let state = words::state(snapshot, now());
    let next = words::next(snapshot).unwrap_or_default();
    let mut error = not_found(uri, &format!("{state} It has no result to read. {next}"));
    if let Some(data) = error.data.as_mut() {
        data["status"] = json!(snapshot.status.as_str());
    }
    error
}

/// The protocol's own code for it, which depends on its revision, is set on the way out.
fn not_found(uri: &str, message: &str) -> ErrorData {
    let shown = cut_text(uri, SHOWN_CHARS).unwrap_or_else(|| uri.to_owned());
    let data = json!({ "uri": visible(&shown) });
    ErrorData::resource_not_found(visible_lines(message).into_owned(), Some(data))
}
