//! The list of results that can be read, page by page.

use registry_core::clock::Timestamp;
use registry_core::id::QueryId;
use registry_core::record::sql_preview;
use registry_core::snapshot::QuerySnapshot;
use rmcp::ErrorData;
use rmcp::model::{ListResourcesResult, Resource, ResourceTemplate};

use super::address::{Address, TEMPLATE};
use super::{MEDIA_TYPE, internal, invalid, readable, registry};
use crate::page::cut_text;
use crate::server::Shared;
use crate::visible::visible;
use crate::words::{count, stored_rows};

const PAGE: usize = 100;
const TITLE_CHARS: usize = 60;

/// How to make the address of any page of any result.
pub fn template() -> ResourceTemplate {
    ResourceTemplate::new(TEMPLATE, "result")
        .with_title("Result of a query")
        .with_description(
            "Rows of a query that succeeded, as JSON. A page ends early when it would get too long: has_more and \
             next_uri tell how to read on.",
        )
        .with_mime_type(MEDIA_TYPE)
}

/// The results after `cursor`, newest first.
pub async fn list(shared: &Shared, cursor: Option<String>) -> Result<ListResourcesResult, ErrorData> {
    let after = cursor.map(|cursor| parse_cursor(&cursor)).transpose()?;
    let mut found = readable(registry(shared).await?).await.map_err(|error| internal(&error.to_string()))?;
    // Where a page ended is told by its last result and not by a number, which newer results would move.
    found.retain(|snapshot| after.is_none_or(|after| place_of(snapshot) < after));
    let has_more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| has_more).map(cursor_after);
    let mut listed = ListResourcesResult::with_all_items(found.iter().map(resource).collect());
    listed.next_cursor = next;
    Ok(listed)
}

fn place_of(snapshot: &QuerySnapshot) -> (Timestamp, QueryId) {
    (snapshot.created_at, snapshot.query_id)
}

fn cursor_after(snapshot: &QuerySnapshot) -> String {
    format!("{}.{}", snapshot.created_at.as_millis(), snapshot.query_id)
}

fn parse_cursor(cursor: &str) -> Result<(Timestamp, QueryId), ErrorData> {
    let parts =
        cursor.split_once('.').and_then(|(millis, id)| Some((millis.parse().ok()?, id.parse().ok()?)));
    let (millis, id) =
        parts.ok_or_else(|| invalid("The cursor is none that this server gave; list from the start."))?;
    Ok((Timestamp::from_millis(millis), id))
}

fn resource(snapshot: &QuerySnapshot) -> Resource {
    let sql = sql_preview(&snapshot.sql);
    let title = snapshot.label.as_deref().unwrap_or(&sql);
    let title = cut_text(title, TITLE_CHARS).unwrap_or_else(|| title.to_owned());
    let columns = snapshot.columns.as_ref().map_or(0, Vec::len);
    let description = format!(
        "{} of {}, {}: {sql}",
        stored_rows(snapshot),
        count(columns as u64, "column"),
        snapshot.finished_at.unwrap_or(snapshot.updated_at),
    );
    Resource::new(Address::of(snapshot.query_id).to_string(), snapshot.query_id.to_string())
        .with_title(visible(&title))
        .with_description(visible(&description))
        .with_mime_type(MEDIA_TYPE)
}
