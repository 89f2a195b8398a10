//! `query_cancel`: stops a query and tells what the engine said.

use std::time::Duration;

use registry_core::registry::{CancelReason, Canceled};
use rmcp::model::{CallToolResult, JsonObject, Tool, ToolAnnotations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arguments;
use crate::answer::{self, QueryFacts};
use crate::call::Call;
use crate::config::Settings;
use crate::error::ToolError;
use crate::schema;
use crate::words;

/// How long the engine's word is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Arguments {
    /// As async_execute_query returned it.
    query_id: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Answer {
    #[serde(flatten)]
    query: QueryFacts,
    /// Nothing of it runs any more.
    canceled: bool,
    #[schemars(extend("enum" = ["canceled", "never_sent", "requested", "already_completed", "already_canceled", "refused", "unconfirmed"]))]
    reason: &'static str,
}

pub(super) fn definition(_: &Settings) -> Tool {
    let description = "Stop a query at the database. Harmless if it has ended: the answer then says how. \
                       Cancel only what is no longer wanted; a slow query needs no cancel, only query_result again.";
    let hints = ToolAnnotations::new().read_only(false).destructive(true).idempotent(true).open_world(false);
    Tool::new("query_cancel", description, schema::of_arguments::<Arguments>())
        .with_title("Cancel query")
        .with_raw_output_schema(schema::of_answer::<Answer>())
        .with_annotations(hints)
}

pub(super) async fn call(call: &Call, arguments: Option<JsonObject>) -> Result<CallToolResult, ToolError> {
    let arguments: Arguments = arguments::parse(arguments)?;
    let registry = call.registry().await?;
    let found = call.find(registry, &arguments.query_id).await;
    let snapshot = found.map_err(|error| error.with("canceled", false).with("reason", "not_found"))?;
    let id = snapshot.query_id;
    let Canceled { reason, snapshot } =
        match call.while_wanted(registry, id, registry.cancel(id, PATIENCE)).await {
            Some(Ok(canceled)) => canceled,
            Some(Err(error)) => return Err(call.failed(registry, &error).await),
            // Nobody waits for the engine's word any more, but the wish stands.
            None => Canceled { reason: CancelReason::Requested, snapshot },
        };
    let mut query = call.facts(&snapshot);
    query.message = words::cancel(reason, &snapshot);
    query.next = words::after_cancel(reason, &snapshot);
    let answer = Answer { query, canceled: reason.is_canceled(), reason: reason.as_str() };
    Ok(answer::success(&answer, None))
}
