//! Results as MCP resources: a list of those that can be read, one page a read, and word of changes.
//!
//! A resource is the result of one query, which never changes; it comes when the query succeeds and goes when the query
//! is forgotten.

mod address;
mod changes;
mod list;
mod read;

use registry_core::QueryRegistry;
use registry_core::error::RegistryError;
use registry_core::journal::ListFilter;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use rmcp::ErrorData;

use crate::server::Shared;
use crate::visible::visible_lines;

pub use changes::watch;
pub use list::{list, template};
pub use read::read;

/// What a read answers.
const MEDIA_TYPE: &str = "application/json";
/// The latest results are listed, and no more than these.
const MOST_LISTED: usize = 1000;

/// The registry, opened by the first request that needs it.
async fn registry(shared: &Shared) -> Result<&QueryRegistry, ErrorData> {
    shared.registry.get().await.map_err(|error| {
        tracing::error!(%error, "the registry cannot be opened");
        internal(&format!("The server cannot work: {error}. Tell the user; once mended, ask again."))
    })
}

/// Queries whose result can be read, newest first.
async fn readable(registry: &QueryRegistry) -> Result<Vec<QuerySnapshot>, RegistryError> {
    let filter = ListFilter { status: Some(QueryStatus::Succeeded), limit: Some(MOST_LISTED) };
    let mut found = registry.list_queries(filter).await?;
    found.retain(QuerySnapshot::has_result);
    Ok(found)
}

fn internal(message: &str) -> ErrorData {
    ErrorData::internal_error(visible_lines(message).into_owned(), None)
}

fn invalid(message: &str) -> ErrorData {
    ErrorData::invalid_params(visible_lines(message).into_owned(), None)
}
