//! Errors as tools answer them: everything in the text, because some clients show their model nothing else.

use registry_core::error::RegistryError;
use registry_core::snapshot::QuerySnapshot;
use rmcp::model::{CallToolResponse, CallToolResult};
use serde_json::{Map, Value};

use crate::answer::short;
use crate::page::cut_text;
use crate::visible::{VisibleText, visible};
use crate::words;

/// The longest error text.
const ERROR_CHARS: usize = 4000;
/// Room for the mark of a cut.
const CUT_MARK: usize = 24;

/// An error that the model can read and act on.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolError {
    message: String,
    facts: Map<String, Value>,
}

impl ToolError {
    /// What went wrong: its class, one of the words that the documents explain, and the message.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), facts: Map::new() }.with("error.type", kind)
    }

    /// The same with one more fact.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    /// The same with what to do next.
    pub fn next(self, step: impl Into<String>) -> Self {
        self.with("next", step.into())
    }

    /// The error of a query that ended without a result, with all that is known of the query.
    pub fn of_query(facts: &impl serde::Serialize) -> Self {
        let mut facts = match serde_json::to_value(facts) {
            Ok(Value::Object(facts)) => facts,
            Ok(_) | Err(_) => Map::new(),
        };
        let message = match facts.remove("message") {
            Some(Value::String(message)) => message,
            Some(_) | None => String::new(),
        };
        // The message ends with the error's own words.
        facts.remove("error_message");
        if !facts.contains_key("error") {
            // It was stopped.
            facts.insert("error.type".to_owned(), Value::from("no_result"));
        }
        Self { message, facts }
    }

    /// The error of a registry call. `known` are the latest queries, for whoever mistook an id.
    pub fn of_registry(error: &RegistryError, known: &[QuerySnapshot]) -> Self {
        let message = error.to_string();
        let kind = error.kind_word();
        match error {
            RegistryError::InvalidRequest(_) => {
                Self::new(kind, message).next("Correct the argument and call the tool again.")
            }
            RegistryError::NotFound(id) => Self::unknown_id(&id.to_string(), known),
            RegistryError::NoResult { id, status, error } => {
                let mut answer = Self::new(kind, message).with("query_id", id.to_string()).with("status", status.as_str());
                if let Some(error) = error {
                    answer = answer
                        .with("error_message", short(&error.message))
                        .with("error.code", error.code.map_or(Value::Null, Value::from))
                        .with("error.retryable", error.kind.is_retryable());
                }
                let ended = error.as_ref().map(|error| error.kind);
                answer.next(if ended.is_some() { words::after_failure(ended) } else { AFTER_STOP })
            }
            RegistryError::ResultExpired(id) => Self::new(kind, message).with("query_id", id.to_string()).next(format!(
                "The query succeeded, but its rows are no longer stored. {}",
                words::RUN_AGAIN
            )),
            RegistryError::RowsEvicted { id, limit } => {
                let whose = format!("Query {id} succeeded, but its rows");
                Self::new(kind, words::made_room(&whose, *limit)).with("query_id", id.to_string()).next(words::RUN_AGAIN)
            }
            RegistryError::KeyReused { id, .. } => Self::new(kind, message).with("query_id", id.to_string()).next(
                "Use another idempotency_key for this statement, or read the earlier query with query_result.",
            ),
            RegistryError::QueueFull { running, queued } => Self::new(kind, message)
                .with("running", *running)
                .with("queued", *queued)
                .with("known_queries", known_ids(known))
                .next("Wait for a query (query_result) or cancel one (query_cancel), then call async_execute_query again."),
            RegistryError::UnknownConnection { .. } => {
                Self::new(kind, message).next("Call the tool again with one of the configured connections.")
            }
            RegistryError::Closed => Self::new(kind, message).next("Call the tool again once the server has been restarted."),
            RegistryError::Journal(_) | RegistryError::StateDir(_) => Self::new(kind, message).next(
                "Nothing was sent to the database. Tell the user; once mended, the same call works without a restart.",
            ),
            RegistryError::Results(_) => Self::new(kind, message).next("Call the tool again; if that fails too, run the query again."),
        }
    }

    /// No record has this id.
    pub fn unknown_id(id: &str, known: &[QuerySnapshot]) -> Self {
        let shown = cut_text(id, 60).unwrap_or_else(|| id.to_owned());
        let message = format!(
            "No query \"{shown}\" is known here: its retention is over, it belongs to another state directory, or the \
             id is not one that async_execute_query returned."
        );
        Self::new("not_found", message)
            .with("known_queries", known_ids(known))
            .next("Use one of the known ids, or run the statement again with async_execute_query.")
    }

    /// The text a model reads.
    pub fn text(&self) -> String {
        let mut fields = Map::new();
        // The next step is what matters most, so that a long message cannot push it out.
        let next = self.facts.get("next").and_then(Value::as_str).unwrap_or_default();
        let room = ERROR_CHARS.saturating_sub(next.len() + CUT_MARK);
        fields.insert("message".to_owned(), Value::from(self.message.as_str()));
        for (name, value) in self.facts.iter().filter(|(name, value)| *name != "next" && !value.is_null()) {
            fields.insert(name.clone(), value.clone());
        }
        let text = crate::answer::text_of(&fields, None).into_string();
        let mut text = cut_text(&text, room).unwrap_or(text);
        if !next.is_empty() {
            text.push_str("\nnext: ");
            text.push_str(&visible(next));
        }
        text
    }
}

const AFTER_STOP: &str = "Call async_execute_query again if the result is still wanted.";

/// The latest ids with their status, for an answer.
fn known_ids(known: &[QuerySnapshot]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    let ids: Vec<String> =
        known.iter().map(|query| format!("{} ({})", query.query_id, query.status)).collect();
    ids.join(", ")
}

impl From<ToolError> for CallToolResult {
    fn from(error: ToolError) -> Self {
        crate::answer::failure(VisibleText::new(error.text()))
    }
}

impl From<ToolError> for CallToolResponse {
    fn from(error: ToolError) -> Self {
        CallToolResult::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_never_pushes_out_the_next_step() {
        let text = ToolError::new("x", "x".repeat(10_000)).next("Do this.").text();
        assert!(text.ends_with("chars]\nnext: Do this."), "{}", &text[text.len() - 60..]);
        assert!(text.chars().count() <= ERROR_CHARS);
    }

    #[test]
    fn hidden_characters_of_an_engine_are_spelled_out() {
        let text = ToolError::new("sql", "bad \u{1b}[2J thing\nline two").with("label", "a\nb").text();
        assert_eq!(text, "bad \\u{1b}[2J thing\\nline two\n\nerror.type: sql\nlabel: a\\nb");
    }
}
