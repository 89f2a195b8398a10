//! The word of a person before a statement that writes: asked for through the client, never taken from an argument.
//!
//! Clients of the older revisions are sent a request while the call waits. Those of the newer one are answered with
//! the question, and call again with the person's answer and a ticket of ours, which is good for one call with the
//! same arguments.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use rmcp::model::{
    BooleanSchema, ClientCapabilities, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction,
    ElicitationSchema, InputRequest, InputRequiredResult, InputResponses, JsonObject, ProtocolVersion,
};
use rmcp::service::{Peer, RequestContext, RoleServer, ServiceError};
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::call::Call;
use crate::error::ToolError;
use crate::page::utf16;
use crate::visible::VisibleText;

/// A person may be away from the keyboard for so long.
const PATIENCE: Duration = Duration::from_secs(300);
/// Questions that may be open at the same time; the oldest is forgotten.
const MOST_OPEN: usize = 64;
/// What a person can be expected to read before saying yes.
const MOST_CHARS: usize = 8_000;
/// The name of the question and of its one field.
const FIELD: &str = "run_statement";

/// How the person behind a client can be asked.
#[derive(Debug)]
pub enum Asking {
    /// Not at all.
    Impossible,
    /// By a request, while the call waits.
    ByRequest(Peer<RoleServer>),
    /// By the answer to this call; the next call brings the reply.
    ByAnswer(Reply),
}

/// What a repeated call brings along.
#[derive(Debug, Default)]
pub struct Reply {
    /// What the person said.
    pub responses: Option<InputResponses>,
    /// The question that its ticket stood for.
    pub question: Option<OpenQuestion>,
}

/// Whether the statement may run.
#[derive(Debug)]
pub enum Consent {
    /// A person said yes to exactly this call.
    Given,
    /// The person is asked by this answer.
    AskedFor(Box<InputRequiredResult>),
}

/// What a person is asked to agree to.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The statement.
    pub sql: &'a str,
    /// Where it would run.
    pub connection: &'a str,
    /// All arguments of the call: the yes is to these alone.
    pub arguments: &'a JsonObject,
}

/// Questions that wait for their answer.
#[derive(Debug, Default)]
pub struct Confirmations {
    open: Mutex<HashMap<String, OpenQuestion>>,
}

/// A question that waits for its answer.
#[derive(Debug)]
pub struct OpenQuestion {
    client: Option<String>,
    arguments: JsonObject,
    until: Instant,
}

impl OpenQuestion {
    /// Whether an answer to it, given at this moment, is about this call.
    fn is_about(&self, client: Option<&str>, arguments: &JsonObject) -> bool {
        self.until > Instant::now() && self.client.as_deref() == client && self.arguments == *arguments
    }
}

impl Asking {
    /// How the client of `context` can be asked. `reply` is what its call brought along.
    pub fn of(context: &RequestContext<RoleServer>, reply: Reply) -> Self {
        if !context.client_capabilities().is_some_and(|client| shows_forms(&client)) {
            return Self::Impossible;
        }
        match context.protocol_version() {
            Some(version) if version >= ProtocolVersion::V_2026_07_28 => Self::ByAnswer(reply),
            Some(_) | None => Self::ByRequest(context.peer.clone()),
        }
    }
}

fn shows_forms(client: &ClientCapabilities) -> bool {
    // A client that names no kind of question means forms.
    client.elicitation.as_ref().is_some_and(|asked| asked.form.is_some() || asked.url.is_none())
}

/// Asks the person behind `call`, or finds the answer in the call.
pub async fn ask(call: &Call, question: Question<'_>) -> Result<Consent, ToolError> {
    if utf16(question.sql) > MOST_CHARS {
        return Err(too_long());
    }
    match &call.asking {
        Asking::Impossible => Err(impossible()),
        Asking::ByRequest(peer) => by_request(call, peer, question).await,
        Asking::ByAnswer(reply) => by_answer(call, reply, question),
    }
}

async fn by_request(
    call: &Call,
    peer: &Peer<RoleServer>,
    question: Question<'_>,
) -> Result<Consent, ToolError> {
    let form = form(question).ok_or_else(impossible)?;
    let answer = tokio::select! {
        biased;
        () = call.given_up() => return Err(unanswered()),
        answer = peer.create_elicitation_with_timeout(form, Some(PATIENCE)) => answer,
    };
    match answer {
        Ok(answer) => decision(&answer),
        Err(ServiceError::Timeout { .. }) => Err(unanswered()),
        Err(error) => {
            tracing::warn!(%error, "the client did not ask its user");
            Err(not_shown())
        }
    }
}

fn by_answer(call: &Call, reply: &Reply, question: Question<'_>) -> Result<Consent, ToolError> {
    let answer = reply.responses.as_ref().and_then(|responses| responses.get(FIELD));
    if let Some(answer) = answer {
        let answer: ElicitResult = serde_json::from_value(answer.clone()).map_err(|_| not_shown())?;
        let consent = decision(&answer)?;
        let asked = reply.question.as_ref();
        if asked.is_some_and(|asked| asked.is_about(call.client.as_deref(), question.arguments)) {
            return Ok(consent);
        }
        tracing::warn!("a confirmation came with no valid ticket; the user is asked again");
    }
    let form = form(question).ok_or_else(impossible)?;
    let ticket = call.shared.confirmations.issue(call.client.clone(), question.arguments.clone());
    let request = InputRequest::Elicitation(ElicitRequest::new(form));
    let requests = [(FIELD.to_owned(), request)].into_iter().collect();
    Ok(Consent::AskedFor(Box::new(InputRequiredResult::new(Some(requests), Some(ticket)))))
}

fn form(question: Question<'_>) -> Option<ElicitRequestParams> {
    let yes = BooleanSchema::new().title("Run this statement").with_default(false);
    let schema = ElicitationSchema::builder().required_bool_property(FIELD, |_| yes).build().ok()?;
    let message = VisibleText::new(format!(
        "The agent wants to run a statement that writes, on connection {}. It has not been run.\n\n{}",
        question.connection, question.sql
    ));
    Some(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.into_string(),
        requested_schema: schema,
    })
}

/// A yes is an accepted form with the box ticked; everything else is a no.
fn decision(answer: &ElicitResult) -> Result<Consent, ToolError> {
    let ticked = answer.content.as_ref().and_then(|content| content.get(FIELD)) == Some(&Value::Bool(true));
    match answer.action {
        ElicitationAction::Accept if ticked => Ok(Consent::Given),
        _ => Err(declined()),
    }
}

impl Confirmations {
    fn issue(&self, client: Option<String>, arguments: JsonObject) -> String {
        let ticket = Uuid::new_v4().simple().to_string();
        let now = Instant::now();
        let mut open = self.lock();
        open.retain(|_, question| question.until > now);
        if open.len() >= MOST_OPEN {
            let oldest =
                open.iter().min_by_key(|(_, question)| question.until).map(|(ticket, _)| ticket.clone());
            oldest.map(|ticket| open.remove(&ticket));
        }
        open.insert(ticket.clone(), OpenQuestion { client, arguments, until: now + PATIENCE });
        ticket
    }

    /// The question that `ticket` stands for. Every call that brings a ticket uses it up, before anything is known
    /// of the call or of the answer, so that no outcome leaves a ticket for another try.
    pub fn take(&self, ticket: &str) -> Option<OpenQuestion> {
        self.lock().remove(ticket)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, OpenQuestion>> {
        self.open.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

const NOT_RUN: &str = "The statement writes and was not run";
const RUN_BY_HAND: &str = "Do not try again. Show the statement to the user, who can run it with: async-query-mcp run --mode read-write \
     \"SQL\"";

fn not_confirmed(message: String) -> ToolError {
    ToolError::new("not_confirmed", message)
}

fn too_long() -> ToolError {
    not_confirmed(format!(
        "{NOT_RUN}: it has more than {MOST_CHARS} characters, which nobody reads before confirming them."
    ))
    .next("Split it into shorter statements, or load the data from a table or a stage.")
}

fn impossible() -> ToolError {
    not_confirmed(format!(
        "{NOT_RUN}: a person must confirm it, and this client cannot ask its user (it does not support elicitation)."
    ))
    .next(RUN_BY_HAND)
}

fn unanswered() -> ToolError {
    not_confirmed(format!("{NOT_RUN}: nobody confirmed it in time.")).next(
        "Ask the user whether the statement is wanted; if so, call the tool again and they are asked again.",
    )
}

fn not_shown() -> ToolError {
    not_confirmed(format!(
        "{NOT_RUN}: a person must confirm it, and the client did not put the question to its user."
    ))
    .next(RUN_BY_HAND)
}

fn declined() -> ToolError {
    not_confirmed(format!("{NOT_RUN}: the user did not confirm it."))
        .next("Do not repeat the statement. Ask the user what they want instead.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(sql: &str) -> JsonObject {
        serde_json::json!({ "sql": sql }).as_object().cloned().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_good_once_for_the_same_call_of_the_same_client() {
        let confirmations = Confirmations::default();
        let delete = arguments("delete from t");
        let issue = || confirmations.issue(Some("a".to_owned()), delete.clone());
        let good = |ticket: &str, client: &str, arguments: &JsonObject| {
            confirmations.take(ticket).is_some_and(|question| question.is_about(Some(client), arguments))
        };
        let ticket = issue();
        assert!(good(&ticket, "a", &delete));
        assert!(!good(&ticket, "a", &delete), "used twice");
        assert!(!good(&issue(), "b", &delete), "another client");
        assert!(!good(&issue(), "a", &arguments("drop table t")), "another statement");
        assert!(!good("x", "a", &delete), "made up");
        let late = issue();
        tokio::time::advance(PATIENCE).await;
        assert!(!good(&late, "a", &delete), "too late");
    }

    #[tokio::test(start_paused = true)]
    async fn open_questions_are_bounded_and_the_oldest_goes_first() {
        let confirmations = Confirmations::default();
        let delete = arguments("delete from t");
        let mut tickets = Vec::new();
        for _ in 0..=MOST_OPEN {
            tickets.push(confirmations.issue(None, delete.clone()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(confirmations.take(&tickets[0]).is_none());
        assert!(confirmations.take(&tickets[1]).is_some());
    }

    #[test]
    fn only_an_accepted_form_with_the_box_ticked_is_a_yes() {
        let answer = |action, content| ElicitResult::new(action).with_content(content);
        let yes = serde_json::json!({ FIELD: true });
        assert!(decision(&answer(ElicitationAction::Accept, yes.clone())).is_ok());
        for no in [
            answer(ElicitationAction::Accept, serde_json::json!({ FIELD: false })),
            answer(ElicitationAction::Accept, serde_json::json!({ FIELD: "true" })),
            ElicitResult::new(ElicitationAction::Accept),
            answer(ElicitationAction::Decline, yes.clone()),
            answer(ElicitationAction::Cancel, yes),
        ] {
            assert!(decision(&no).is_err(), "{no:?}");
        }
    }
}
