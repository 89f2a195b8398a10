//! `query_status`: what became of a query; waits for a change if asked to.

use rmcp::model::{CallToolResult, JsonObject, Tool};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments::{self, Count, Seconds};
use crate::answer::{self, QueryFacts};
use crate::call::Call;
use crate::config::Settings;
use crate::error::ToolError;
use crate::schema;

const DEFAULT_WAIT: f64 = 25.0;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// As async_execute_query returned it.
    query_id: String,
    /// Wait this long for a change (default 25); 0 answers at once.
    #[serde(default)]
    #[schemars(with = "Seconds")]
    wait_seconds: Option<Seconds>,
    /// The version you saw last; a newer one answers at once.
    #[serde(default)]
    #[schemars(with = "Count<0>")]
    version: Option<Count<0>>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    #[serde(flatten)]
    query: QueryFacts,
    /// It is newer than the version you named, or changed during the wait.
    changed: bool,
}

pub(super) fn definition(settings: &Settings) -> Tool {
    let description = format!(
        "State of a query: time, rows so far, place in line, error. Waits until it changes or wait_seconds are over. \
         To get the rows call query_result instead, which waits by itself. Queries are kept for {}.",
        settings.retention_words()
    );
    Tool::new("query_status", description, schema::of_arguments::<Arguments>())
        .with_title("Query status")
        .with_raw_output_schema(schema::of_answer::<Answer>())
        .with_annotations(super::looking())
}

pub(super) async fn call(call: &Call, arguments: Option<JsonObject>) -> Result<CallToolResult, ToolError> {
    let arguments: Arguments = arguments::parse(arguments)?;
    let patience = call.patience(arguments.wait_seconds, DEFAULT_WAIT);
    let registry = call.registry().await?;
    let mut snapshot = call.find(registry, &arguments.query_id).await?;
    let since = arguments.version.map_or(snapshot.version, |version| version.0);
    if snapshot.version <= since && !snapshot.status.is_terminal() && !patience.limit.is_zero() {
        let id = snapshot.query_id;
        match call.while_wanted(registry, id, registry.wait(id, Some(since), patience.limit)).await {
            Some(Ok(waited)) => snapshot = waited.snapshot,
            Some(Err(error)) => return Err(call.failed(registry, &error).await),
            None => {}
        }
    }
    let mut query = call.facts(&snapshot);
    query.waited(patience.clamped_to);
    let answer = Answer { query, changed: snapshot.version > since };
    Ok(answer::success(&answer, None))
}
