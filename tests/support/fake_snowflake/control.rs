//! `/fake/...`: what a test in another process tells the service and asks of it.

use hyper::Method;
use serde_json::{Value, json};

use super::faults::Fault;
use super::history::lock;
use super::http::{Call, Reply};
use super::login::plain;
use super::service::Service;

/// Answers a call of the control endpoint.
pub(super) fn answer(service: &Service, call: &Call) -> Reply {
    let path: Vec<&str> = call.path.iter().skip(1).map(String::as_str).collect();
    let body = call.json().unwrap_or(Value::Null);
    match (&call.method, &*path) {
        (&Method::POST, ["faults"]) => add_faults(service, body),
        (&Method::GET, ["faults"]) => Reply::json(200, &json!(service.faults.waiting())),
        (&Method::DELETE, ["faults"]) => {
            service.faults.clear();
            done()
        }
        (&Method::POST, ["options"]) => set_options(service, &body),
        (&Method::POST, ["sessions"]) => act_on_sessions(service, &body),
        (&Method::POST, ["credentials"]) => revoke(service, &body),
        (&Method::GET, ["log"]) => Reply::json(200, &json!(service.log.entries())),
        (&Method::GET, ["queries"]) => {
            Reply::json(200, &service.history.all().iter().map(|query| query.report()).collect())
        }
        (&Method::POST, ["queries", handle, "step"]) => match service.history.get(handle) {
            Some(query) => {
                query.step();
                done()
            }
            None => Reply::status(404, "no such statement"),
        },
        (&Method::GET, ["queries", handle]) => match service.history.get(handle) {
            Some(query) => Reply::json(200, &query.report()),
            None => Reply::status(404, "no such statement"),
        },
        _ => Reply::status(
            404,
            "the control endpoint has faults, options, sessions, credentials, log, queries",
        ),
    }
}

fn done() -> Reply {
    Reply::json(200, &json!({ "done": true }))
}

/// One fault or a list of them.
fn add_faults(service: &Service, body: Value) -> Reply {
    let list = if body.is_array() { body } else { json!([body]) };
    match serde_json::from_value::<Vec<Fault>>(list) {
        Ok(faults) => {
            faults.into_iter().for_each(|fault| service.faults.add(fault));
            done()
        }
        Err(error) => Reply::status(400, &error.to_string()),
    }
}

/// `{"inline_rows": 10}`
fn set_options(service: &Service, body: &Value) -> Reply {
    let mut options = lock(&service.options);
    for (name, value) in body.as_object().into_iter().flatten() {
        if let Err(error) = options.set(name, &plain(value)) {
            return Reply::status(400, &error);
        }
    }
    done()
}

/// `{"expire": "session" | "master"}`, `{"drop": true}`
fn act_on_sessions(service: &Service, body: &Value) -> Reply {
    for session in service.sessions.all() {
        match body["expire"].as_str() {
            Some("session") => session.expire_token(),
            Some("master") => session.expire_master(),
            _ if body["drop"] == true => session.close(),
            _ => {
                return Reply::status(
                    400,
                    "say what: {\"expire\": \"session\" | \"master\"} or {\"drop\": true}",
                );
            }
        }
    }
    done()
}

/// `{"revoke": ["token"], "restore": ["token"]}`
fn revoke(service: &Service, body: &Value) -> Reply {
    let list = |name: &str| body[name].as_array().into_iter().flatten().map(plain).collect::<Vec<_>>();
    let mut revoked = lock(&service.revoked);
    revoked.extend(list("revoke"));
    list("restore").iter().for_each(|credential| {
        revoked.remove(credential);
    });
    done()
}
