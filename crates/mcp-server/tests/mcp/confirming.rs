//! Statements that write, and the person who must say yes to each of them.

use std::sync::{Arc, Mutex};

use mcp_server::config::Settings;
use mcp_server::lazy::LazyRegistry;
use mcp_server::policy::{Mode, Policy};
use registry_core::testing::scripted::Script;
use rmcp::ErrorData;
use rmcp::handler::client::ClientHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig,
    ElicitRequestParams, ElicitResult, ElicitationAction, Implementation, ProtocolVersion,
};
use rmcp::service::{
    ClientLifecycleMode, ClientServiceExt, RequestContext, RoleClient, RunningService, ServiceExt,
};
use serde_json::{Value, json};

use crate::world::{World, engine, serve, text};

/// A client whose user answers each question in the same way, and which remembers the questions.
#[derive(Debug, Clone)]
struct Person {
    answer: Option<(ElicitationAction, Value)>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Person {
    fn who_says(action: ElicitationAction, run: bool) -> Self {
        Self { answer: Some((action, json!({ "run_statement": run }))), asked: Arc::default() }
    }

    fn out_of_reach() -> Self {
        Self { answer: None, asked: Arc::default() }
    }

    fn questions(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl ClientHandler for Person {
    fn get_info(&self) -> ClientConfig {
        let capabilities = match self.answer {
            Some(_) => ClientCapabilities::builder().enable_elicitation().build(),
            None => ClientCapabilities::default(),
        };
        ClientConfig::new(capabilities, Implementation::new("person", "1"))
    }

    async fn create_elicitation(
        &self,
        request: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let ElicitRequestParams::FormElicitationParams { message, .. } = request else {
            return Err(ErrorData::invalid_params("a form is expected", None));
        };
        self.asked.lock().unwrap().push(message);
        let (action, content) = self.answer.clone().expect("nobody can be asked");
        Ok(ElicitResult::new(action).with_content(content))
    }
}

fn writing() -> Settings {
    let policy = Policy { mode: Mode::ReadWrite, ..Policy::default() };
    Settings { policy, ..Settings::default() }
}

type Client = RunningService<RoleClient, Person>;

fn keyed(sql: &str) -> CallToolRequestParams {
    let arguments = json!({ "sql": sql, "idempotency_key": "k" }).as_object().cloned().unwrap();
    CallToolRequestParams::new("async_execute_query").with_arguments(arguments)
}

/// A client of either era before a server that allows writes.
async fn client(world: &World, person: &Person, modern: bool) -> Client {
    let (pipe, _, _served) = serve(writing(), LazyRegistry::opened(world.registry.clone()));
    if !modern {
        return person.clone().serve(pipe).await.unwrap();
    }
    let mode = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    person.clone().serve_with_lifecycle(pipe, mode).await.unwrap()
}

fn statement(sql: &str) -> CallToolRequestParams {
    let arguments = json!({ "sql": sql }).as_object().cloned().unwrap();
    CallToolRequestParams::new("async_execute_query").with_arguments(arguments)
}

async fn run(client: &Client, sql: &str) -> CallToolResult {
    client.call_tool(statement(sql)).await.unwrap()
}

fn sent(world: &World) -> Vec<String> {
    world.engine.submissions().into_iter().map(|sent| sent.sql).collect()
}

const DELETE: &str = "delete from orders where id = 7";

#[tokio::test]
async fn a_statement_that_writes_runs_once_the_person_has_said_yes_to_it() {
    for modern in [false, true] {
        let world = World::new().await;
        let person = Person::who_says(ElicitationAction::Accept, true);
        let client = client(&world, &person, modern).await;
        let result = run(&client, DELETE).await;
        assert_ne!(result.is_error, Some(true), "{}", text(&result));
        let questions = person.questions();
        assert_eq!(questions.len(), 1, "modern: {modern}");
        assert!(
            questions[0].contains(DELETE) && questions[0].contains("connection main"),
            "{}",
            questions[0]
        );
        assert_eq!(sent(&world), [DELETE]);
    }
}

#[tokio::test]
async fn without_a_clear_yes_nothing_is_sent() {
    let people = [
        (Person::who_says(ElicitationAction::Accept, false), "did not confirm"),
        (Person::who_says(ElicitationAction::Decline, true), "did not confirm"),
        (Person::who_says(ElicitationAction::Cancel, true), "did not confirm"),
        (Person::out_of_reach(), "cannot ask its user"),
    ];
    for (person, reason) in people {
        for modern in [false, true] {
            let world = World::new().await;
            let client = client(&world, &person, modern).await;
            let result = run(&client, DELETE).await;
            assert_eq!(result.is_error, Some(true));
            assert!(text(&result).contains(reason), "modern {modern}: {}", text(&result));
            assert_eq!(sent(&world), [""; 0]);
        }
    }
}

#[tokio::test]
async fn reads_are_not_asked_about() {
    let world = World::new().await;
    let person = Person::who_says(ElicitationAction::Decline, false);
    let client = client(&world, &person, false).await;
    let result = run(&client, "select 1").await;
    assert_ne!(result.is_error, Some(true), "{}", text(&result));
    assert_eq!(person.questions(), [""; 0]);
}

#[tokio::test]
async fn what_no_mode_allows_is_refused_without_a_question() {
    let world = World::new().await;
    let person = Person::who_says(ElicitationAction::Accept, true);
    let client = client(&world, &person, false).await;
    let result = run(&client, "delete from a; delete from b").await;
    assert_eq!(result.is_error, Some(true));
    assert_eq!((person.questions(), sent(&world)), (vec![], vec![]));
}

#[tokio::test]
async fn a_statement_too_long_to_be_read_is_not_put_to_a_person() {
    let world = World::new().await;
    let person = Person::who_says(ElicitationAction::Accept, true);
    let client = client(&world, &person, false).await;
    let long = format!("insert into t values ('{}')", "x".repeat(9000));
    let result = run(&client, &long).await;
    assert!(text(&result).contains("8000 characters"), "{}", text(&result));
    assert_eq!((person.questions(), sent(&world)), (vec![], vec![]));
}

/// The question of a first call, as a client that answers by itself sees it.
async fn question(client: &Client, sql: &str) -> String {
    match client.call_tool_once(statement(sql)).await.unwrap() {
        CallToolResponse::InputRequired(question) => question.request_state.expect("a ticket"),
        other => panic!("no question: {other:?}"),
    }
}

async fn answer(client: &Client, sql: &str, ticket: &str) -> CallToolResponse {
    let yes = json!({ "action": "accept", "content": { "run_statement": true } });
    reply(client, statement(sql), yes, ticket).await
}

async fn reply(
    client: &Client,
    call: CallToolRequestParams,
    answer: Value,
    ticket: &str,
) -> CallToolResponse {
    let responses = [("run_statement".to_owned(), answer)].into_iter().collect();
    client.call_tool_once(call.with_input_responses(responses).with_request_state(ticket)).await.unwrap()
}

fn asked_again(response: &CallToolResponse) -> bool {
    matches!(response, CallToolResponse::InputRequired(_))
}

#[tokio::test]
async fn a_yes_holds_for_one_call_with_the_same_statement_alone() {
    let world = World::new().await;
    let person = Person::who_says(ElicitationAction::Accept, true);
    let client = client(&world, &person, true).await;

    let ticket = question(&client, DELETE).await;
    assert!(asked_again(&answer(&client, "drop table orders", &ticket).await), "another statement");
    assert!(asked_again(&answer(&client, DELETE, &ticket).await), "a ticket is used up by a wrong use");
    assert!(asked_again(&answer(&client, DELETE, "made up").await));
    assert_eq!(sent(&world), [""; 0]);

    let ticket = question(&client, DELETE).await;
    assert!(!asked_again(&answer(&client, DELETE, &ticket).await));
    assert!(asked_again(&answer(&client, DELETE, &ticket).await), "used twice");
    assert_eq!(sent(&world), [DELETE]);
}

#[tokio::test]
async fn whatever_a_ticket_comes_with_uses_it_up() {
    let world = World::new().await;
    let person = Person::who_says(ElicitationAction::Accept, true);
    let client = client(&world, &person, true).await;
    let yes = json!({ "action": "accept", "content": { "run_statement": true } });
    let other = |tool: &'static str| CallToolRequestParams::new(tool);
    let uses = [
        ("a no", statement(DELETE), json!({ "action": "decline" })),
        ("a cancel", statement(DELETE), json!({ "action": "cancel" })),
        ("an empty box", statement(DELETE), json!({ "action": "accept" })),
        ("no form", statement(DELETE), json!({})),
        ("no action", statement(DELETE), json!({ "action": "maybe" })),
        ("no object", statement(DELETE), json!("yes")),
        ("another statement", statement("drop table orders"), yes.clone()),
        (
            "a statement too long to confirm",
            statement(&format!("delete from t -- {DELETE:9000}")),
            yes.clone(),
        ),
        ("a statement that no mode allows", statement("delete from a; delete from b"), yes.clone()),
        ("a read", statement("select quick"), yes.clone()),
        ("arguments that are wrong", other("async_execute_query"), yes.clone()),
        ("another tool", other("query_list"), yes),
    ];
    for (what, call, answer_to_it) in uses {
        let ticket = question(&client, DELETE).await;
        reply(&client, call, answer_to_it, &ticket).await;
        assert!(asked_again(&answer(&client, DELETE, &ticket).await), "after {what}");
    }
    let ticket = question(&client, DELETE).await;
    client.call_tool_once(statement(DELETE).with_request_state(&ticket)).await.unwrap();
    assert!(asked_again(&answer(&client, DELETE, &ticket).await), "after no answer");
    assert_eq!(sent(&world), ["select quick"]);
}

/// A person who says no to everything, and one whose client cannot ask, each in either era.
async fn repeaters(world: &World) -> Vec<(Client, Person)> {
    let mut all = Vec::new();
    for modern in [false, true] {
        for person in [Person::who_says(ElicitationAction::Decline, false), Person::out_of_reach()] {
            all.push((client(world, &person, modern).await, person));
        }
    }
    all
}

/// Runs `DELETE` under the key, confirmed: the id of its query, and the client, whose end would be the registry's.
async fn confirmed(world: &World) -> (Value, Client) {
    let person = Person::who_says(ElicitationAction::Accept, true);
    let client = client(world, &person, false).await;
    let first = client.call_tool(keyed(DELETE)).await.unwrap();
    assert_eq!(person.questions().len(), 1);
    (first.structured_content.expect("an answer")["query_id"].clone(), client)
}

#[tokio::test]
async fn a_repeat_under_its_key_answers_with_the_first_query_and_nobody_is_asked() {
    let world = World::new().await;
    let (first, _client) = confirmed(&world).await;
    for (client, person) in &repeaters(&world).await {
        let result = client.call_tool(keyed(DELETE)).await.unwrap();
        assert_ne!(result.is_error, Some(true), "{}", text(&result));
        let facts = result.structured_content.expect("an answer");
        assert_eq!((&facts["query_id"], &facts["deduplicated"]), (&first, &json!(true)), "{facts}");
        assert_eq!((&facts["status"], &facts["has_more"]), (&json!("succeeded"), &json!(false)), "{facts}");
        assert_eq!(person.questions(), [""; 0]);
    }
    assert_eq!(sent(&world), [DELETE]);
}

#[tokio::test]
async fn a_key_of_another_statement_is_refused_and_nobody_is_asked() {
    let world = World::new().await;
    let (first, _client) = confirmed(&world).await;
    for (client, person) in &repeaters(&world).await {
        let result = client.call_tool(keyed("drop table orders")).await.unwrap();
        let said = text(&result);
        assert!(said.contains("error.type: key_reused"), "{said}");
        assert!(said.contains(first.as_str().unwrap()), "{said}");
        assert_eq!(person.questions(), [""; 0]);
    }
    assert_eq!(sent(&world), [DELETE]);
}

#[tokio::test]
async fn an_equal_write_without_a_key_is_another_one_and_is_asked_about() {
    let world = World::over(engine().on(DELETE, Script::never_ends())).await;
    let person = Person::who_says(ElicitationAction::Accept, true);
    let client = client(&world, &person, false).await;
    let call = || {
        let arguments = json!({ "sql": DELETE, "wait_seconds": 0 }).as_object().cloned().unwrap();
        CallToolRequestParams::new("async_execute_query").with_arguments(arguments)
    };
    for times in 1..=2 {
        let result = client.call_tool(call()).await.unwrap();
        assert_eq!(result.structured_content.expect("an answer").get("deduplicated"), None);
        assert_eq!(person.questions().len(), times);
    }
}
