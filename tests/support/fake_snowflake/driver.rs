//! The protocol of the drivers: submission, status, result, cancel.

use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::{self, Taken};
use super::history::{Order, Outcome, Query, QueryError, now_ms};
use super::http::{Call, Reply};
use super::log::Entry;
use super::login::{parameter_list, plain, session_of};
use super::results;
use super::service::Service;
use super::session::Session;

/// The envelope of a good answer.
pub(super) fn success(data: &Value) -> Reply {
    Reply::json(200, &json!({ "data": data, "message": null, "code": null, "success": true }))
}

/// The envelope of a bad answer, which is no bad HTTP status.
pub(super) fn failure(code: &str, message: &str, data: Value) -> Reply {
    Reply::json(200, &json!({ "data": data, "message": message, "code": code, "success": false }))
}

fn query_failure(query: &Query, error: &QueryError) -> Reply {
    let data = json!({
        "internalError": false, "errorCode": error.code, "age": 0, "sqlState": error.sql_state,
        "queryId": query.order.handle, "line": -1, "pos": -1, "type": "COMPILATION",
    });
    failure(&error.code, &error.message, data)
}

fn in_progress(query: &Query, code: &str) -> Reply {
    let handle = &query.order.handle;
    let message = "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.";
    Reply::json(
        200,
        &json!({
            "data": {
                "queryId": handle, "getResultUrl": format!("/queries/{handle}/result"),
                "queryAbortsAfterSecs": 300, "progressDesc": null,
            },
            "code": code, "message": message, "success": true,
        }),
    )
}

/// `POST /queries/v1/query-request`
pub(super) async fn submit(service: &Arc<Service>, call: &Call, entry: &mut Entry) -> Reply {
    let session = match session_of(service, call) {
        Ok(session) => session,
        Err(reply) => return reply,
    };
    let Some(body) = call.json().filter(|body| body["sqlText"].is_string()) else {
        return Reply {
            status: 400,
            ..failure("390142", "Incoming request has no valid payload.", Value::Null)
        };
    };
    let (order, wanted) = order(service, call, &session, &body);
    entry.set("session", json!(session.id));
    entry.set("sql", json!(order.sql));
    entry.set("retry", json!(call.param("retry") == Some("true") || call.param("retryCount").is_some()));
    if body["describeOnly"] == true {
        return described(service, &session, &order).await;
    }
    let before = order.request_id.as_deref().and_then(|id| service.history.of_request(id, Some(session.id)));
    entry.set("duplicate", json!(before.is_some()));
    let Taken { query, runs } = match before {
        Some(query) => Taken { query, runs: false },
        None => engine::submit(service, order, wanted).await,
    };
    entry.set("handle", json!(query.order.handle));
    query.count("submit");
    let asynchronous = body["asyncExec"] == true;
    if !asynchronous || query.order.sql.contains("at_once") {
        let attached = Attached(&query);
        service.hold(&query).await;
        attached.let_go();
    } else if runs {
        return in_progress(&query, "333334");
    }
    let tag = if asynchronous { "333334" } else { "333333" };
    answer(service, &session, &query, tag)
}

/// A synchronous statement ends with the connection that waits for it.
struct Attached<'a>(&'a Query);

impl Attached<'_> {
    fn let_go(self) {
        std::mem::forget(self);
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.0.cancel.cancel();
    }
}

/// Parameters that bound a statement.
pub(super) const LOOKED_AT: [&str; 4] = [
    "MULTI_STATEMENT_COUNT",
    "ROWS_PER_RESULTSET",
    "STATEMENT_QUEUED_TIMEOUT_IN_SECONDS",
    "STATEMENT_TIMEOUT_IN_SECONDS",
];

fn order(service: &Service, call: &Call, session: &Session, body: &Value) -> (Order, usize) {
    let parameter = |name: &str| {
        let given = body["parameters"].as_object().into_iter().flatten();
        let own =
            given.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| plain(value)).next();
        own.or_else(|| session.parameter(name))
    };
    let timeout = parameter("STATEMENT_TIMEOUT_IN_SECONDS").and_then(|text| text.parse().ok());
    let looked_at = LOOKED_AT.into_iter().filter_map(|name| Some((name.to_owned(), parameter(name)?)));
    let wanted = parameter("MULTI_STATEMENT_COUNT").and_then(|text| text.parse().ok()).unwrap_or(1);
    let order = Order {
        handle: engine::new_handle(),
        request_id: call.param("requestId").map(str::to_owned),
        sql: body["sqlText"].as_str().unwrap_or_default().to_owned(),
        tag: parameter("QUERY_TAG").unwrap_or_default(),
        context: session.context(),
        session: Some(session.id),
        submitted_ms: now_ms(),
        timeout_seconds: timeout_of(timeout, service),
        parameters: looked_at.collect(),
        bindings: bindings(&body["bindings"]),
        abort_detached: body["asyncExec"] == true
            && parameter("ABORT_DETACHED_QUERY").is_some_and(|text| text.eq_ignore_ascii_case("true")),
    };
    (order, wanted)
}

/// Seconds a statement may run; 0 is the most there is.
pub(super) fn timeout_of(given: Option<u64>, service: &Service) -> u64 {
    match given {
        Some(0) => 604_800,
        Some(seconds) => seconds.min(604_800),
        None => service.options().statement_timeout.as_secs(),
    }
}

/// `{"1": {"type": "FIXED", "value": "5"}}` in its order.
pub(super) fn bindings(given: &Value) -> Vec<(String, Option<String>)> {
    let mut numbered: Vec<(usize, &Value)> = given
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(place, value)| Some((place.parse().ok()?, value)))
        .collect();
    numbered.sort_by_key(|(place, _)| *place);
    let binding = |(_, binding): (usize, &Value)| {
        let value = Some(&binding["value"]).filter(|value| !value.is_null()).map(plain);
        (binding["type"].as_str().unwrap_or("TEXT").to_uppercase(), value)
    };
    numbered.into_iter().map(binding).collect()
}

async fn described(service: &Arc<Service>, session: &Session, order: &Order) -> Reply {
    match engine::describe(service, order).await {
        Ok(table) => {
            let format = results::Format::of(session, &table);
            success(&results::driver_data(service, &order.handle, &table, format))
        }
        Err(error) => failure(&error.code, &error.message, json!({ "sqlState": error.sql_state })),
    }
}

fn answer(service: &Service, session: &Session, query: &Query, running: &str) -> Reply {
    let outcome: Outcome = match query.outcome() {
        None => return in_progress(query, running),
        Some(outcome) => outcome,
    };
    match outcome {
        Err(error) => query_failure(query, &error),
        Ok(table) => {
            let format = results::Format::of(session, &table);
            let mut data = results::driver_data(service, &query.order.handle, &table, format);
            let context = session.context();
            data["parameters"] = parameter_list(session);
            data["finalDatabaseName"] = json!(context.database);
            data["finalSchemaName"] = json!(context.schema);
            data["finalWarehouseName"] = json!(context.warehouse);
            data["finalRoleName"] = json!(context.role);
            success(&data)
        }
    }
}

/// `GET /monitoring/queries/{id}`
pub(super) fn check(service: &Service, call: &Call, handle: &str, entry: &mut Entry) -> Reply {
    if let Err(reply) = session_of(service, call) {
        return reply;
    }
    entry.set("handle", json!(handle));
    let query = service.history.get(handle);
    if let Some(query) = &query {
        query.count("check");
    }
    let queries: Vec<Value> = query
        .filter(|query| query.state().status != "NO_DATA")
        .iter()
        .map(|query| monitored(query))
        .collect();
    success(&json!({ "queries": queries }))
}

fn monitored(query: &Query) -> Value {
    let (order, state) = (&query.order, query.state());
    let (code, message) = match &state.outcome {
        Some(Err(error)) => (json!(error.code), error.message.as_str()),
        // An integer when there is none, a text when there is one: as the service does it.
        _ => (json!(0), "No error reported"),
    };
    let end = state.ended_ms.unwrap_or(0);
    let duration = state.ended_ms.unwrap_or_else(now_ms).saturating_sub(order.submitted_ms);
    json!({
        "id": order.handle, "status": state.status, "state": state.status, "errorCode": code,
        "errorMessage": message, "startTime": order.submitted_ms, "endTime": end, "totalDuration": duration,
        "sqlText": order.sql, "sessionId": order.session, "warehouseId": 1,
        "warehouseName": order.context.warehouse,
    })
}

/// `GET /queries/{id}/result`
pub(super) async fn fetch(service: &Service, call: &Call, handle: &str, entry: &mut Entry) -> Reply {
    let session = match session_of(service, call) {
        Ok(session) => session,
        Err(reply) => return reply,
    };
    entry.set("handle", json!(handle));
    entry.set("session", json!(session.id));
    let kept = |query: &Arc<Query>| query.is_kept(service.options().result_validity);
    let Some(query) = service.history.get(handle).filter(kept) else {
        return failure("000612", "Result not found", json!({ "sqlState": "02000", "queryId": handle }));
    };
    query.count("fetch");
    service.hold(&query).await;
    answer(service, &session, &query, "333333")
}

/// `POST /queries/{id}/abort-request`
pub(super) fn cancel(service: &Service, call: &Call, handle: &str, entry: &mut Entry) -> Reply {
    if let Err(reply) = session_of(service, call) {
        return reply;
    }
    entry.set("handle", json!(handle));
    abort(service.history.get(handle))
}

/// `POST /queries/v1/abort-request`, by the request id of the submission
pub(super) fn cancel_request(service: &Service, call: &Call, entry: &mut Entry) -> Reply {
    let session = match session_of(service, call) {
        Ok(session) => session,
        Err(reply) => return reply,
    };
    let request_id = call.json().map(|body| plain(&body["requestId"])).unwrap_or_default();
    entry.set("cancelled_request_id", json!(request_id));
    let query = service.history.of_request(&request_id, Some(session.id));
    if let Some(query) = &query {
        entry.set("handle", json!(query.order.handle));
    }
    abort(query)
}

fn abort(query: Option<Arc<Query>>) -> Reply {
    if let Some(query) = &query {
        query.count("cancel");
    }
    match query.filter(|query| query.is_running()) {
        Some(query) => {
            query.cancel.cancel();
            success(&Value::Null)
        }
        None => failure("000605", "Identified SQL statement is not currently executing.", Value::Null),
    }
}
