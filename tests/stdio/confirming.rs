//! Questions to the person behind a client, and clients that do not pass them on.

use serde_json::{Value, json};

use crate::Server;
use support::server_process::PATIENCE;

/// A server that asks before it writes, with a client that says it can ask its user.
fn server() -> Server {
    let mut server = Server::spawn(&["--mode", "read-write"]);
    let hello = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": { "elicitation": {} },
        "clientInfo": { "name": "integration-tests", "version": "0" }
    });
    server.process.request("initialize", hello);
    server.process.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    server
}

/// What the server answers a call whose question the client replied to with `reply`.
fn answer_after(server: &mut Server, reply: Value) -> String {
    let sql = "insert into regions (name) values ('north')";
    let call = server.process.post_call("async_execute_query", json!({ "sql": sql }));
    let question = server.process.message(PATIENCE).unwrap();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    let mut message = json!({ "jsonrpc": "2.0", "id": question["id"] });
    message.as_object_mut().unwrap().extend(reply.as_object().unwrap().clone());
    server.process.send(&message);
    server.process.answer(call)["result"]["content"][0]["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_client_that_does_not_show_the_question_is_not_a_person_who_is_slow() {
    let mut server = server();
    for reply in [json!({ "error": { "code": -32601, "message": "not now" } }), json!({ "result": {} })] {
        let text = answer_after(&mut server, reply.clone());
        assert!(text.contains("did not put the question to its user"), "{reply}: {text}");
        assert!(text.contains("not_confirmed") && text.contains("Do not try again"), "{reply}: {text}");
        assert!(!text.contains("in time"), "{reply}: {text}");
    }
    let no = answer_after(&mut server, json!({ "result": { "action": "decline" } }));
    assert!(no.contains("the user did not confirm it"), "{no}");
}
