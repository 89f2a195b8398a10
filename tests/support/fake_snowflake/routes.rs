//! Which endpoint a call means.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::json;

use super::control;
use super::delivery::{Cut, Pieces, deliver};
use super::http::{Call, Reply};
use super::log::Entry;
use super::service::Service;
use super::{driver, login, results, sql_api};

/// An endpoint, with what the path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route<'a> {
    ApiSubmit,
    ApiCheck(&'a str),
    ApiCancel(&'a str),
    Login,
    Renew,
    Heartbeat,
    Logout,
    Submit,
    Check(&'a str),
    Fetch(&'a str),
    Cancel(&'a str),
    CancelRequest,
    Chunk(&'a str, &'a str),
    /// What clients send besides, and nobody reads.
    Telemetry,
    /// The path is there, the method is not.
    WrongMethod,
    Unknown,
}

/// Answers a request, with the fault that is due.
pub(super) async fn serve(
    service: Arc<Service>,
    request: Request<Incoming>,
) -> Result<Response<Pieces>, Cut> {
    let call = match Call::read(request).await {
        Ok(call) => call,
        Err(error) => return deliver_unread(&error),
    };
    if call.path.first().is_some_and(|first| first == "fake") {
        let reply = control::answer(&service, &call);
        return deliver(&service, &call, None, Some(reply)).await;
    }
    let route = route(&call);
    let event = event(route, &call);
    let mut entry = Entry::new(&service.log, event);
    describe(&service, &call, &mut entry);
    let fault = service.faults.take(event, &format!("{} {}", call.uri, call.body_text()));
    if let Some(fault) = &fault {
        entry.set("fault", fault.name());
    }
    let mut reply = None;
    if fault.as_ref().is_none_or(super::faults::Fault::has_effect) {
        let made = handle(&service, &call, route, &mut entry).await;
        entry.set("status", json!(made.status));
        reply = Some(made);
    }
    drop(entry);
    deliver(&service, &call, fault, reply).await
}

fn deliver_unread(error: &str) -> Result<Response<Pieces>, Cut> {
    let body = json!({ "code": "390142", "message": error }).to_string();
    let mut response = Response::new(Pieces::whole(body.into_bytes()));
    *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
    Ok(response)
}

fn describe(service: &Service, call: &Call, entry: &mut Entry) {
    let is_api = call.path.first().is_some_and(|first| first == "api");
    entry.set("call", json!(service.log.next_call()));
    entry.set("protocol", json!(if is_api { "sql_api" } else { "driver" }));
    entry.set("method", json!(call.method.as_str()));
    // Without the query string: chunk addresses are secrets, even false ones.
    entry.set("path", json!(format!("/{}", call.path.join("/"))));
    entry.set("request_id", json!(call.param("requestId").or(call.param("request_id"))));
}

fn route(call: &Call) -> Route<'_> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    let (post, get) = (call.method == Method::POST, call.method == Method::GET);
    match *path {
        ["api", "v2", "statements"] if post => Route::ApiSubmit,
        ["api", "v2", "statements", handle] if get => Route::ApiCheck(handle),
        ["api", "v2", "statements", handle, "cancel"] if post => Route::ApiCancel(handle),
        ["session", "v1", "login-request"] if post => Route::Login,
        ["session", "token-request"] if post => Route::Renew,
        ["session", "heartbeat"] if post => Route::Heartbeat,
        ["session"] if post && call.param("delete") == Some("true") => Route::Logout,
        ["queries", "v1", "query-request"] if post => Route::Submit,
        ["queries", "v1", "abort-request"] if post => Route::CancelRequest,
        ["queries", handle, "abort-request"] if post => Route::Cancel(handle),
        ["queries", handle, "result"] if get => Route::Fetch(handle),
        ["monitoring", "queries", handle] if get => Route::Check(handle),
        ["chunks", handle, number] if get => Route::Chunk(handle, number),
        ["telemetry", ..] => Route::Telemetry,
        ["api", "v2", "statements", ..] | ["session" | "queries" | "monitoring" | "chunks", ..] => {
            Route::WrongMethod
        }
        _ => Route::Unknown,
    }
}

/// The name in the log and in faults.
fn event(route: Route<'_>, call: &Call) -> &'static str {
    match route {
        Route::ApiSubmit | Route::Submit => "submit",
        Route::ApiCheck(_) if call.param("partition").is_some() => "fetch",
        Route::ApiCheck(_) | Route::Check(_) => "check",
        Route::Fetch(_) => "fetch",
        Route::ApiCancel(_) | Route::Cancel(_) | Route::CancelRequest => "cancel",
        Route::Login => "login",
        Route::Renew => "renew",
        Route::Heartbeat => "heartbeat",
        Route::Logout => "logout",
        Route::Chunk(..) => "chunk",
        Route::Telemetry | Route::WrongMethod | Route::Unknown => "other",
    }
}

async fn handle(service: &Arc<Service>, call: &Call, route: Route<'_>, entry: &mut Entry) -> Reply {
    match route {
        Route::ApiSubmit => sql_api::submit(service, call, entry).await,
        Route::ApiCheck(handle) => sql_api::check(service, call, handle, entry),
        Route::ApiCancel(handle) => sql_api::cancel(service, call, handle, entry),
        Route::Login => login::login(service, call, entry),
        Route::Renew => login::renew(service, call, entry),
        Route::Heartbeat => login::heartbeat(service, call, entry),
        Route::Logout => login::logout(service, call, entry),
        Route::Submit => driver::submit(service, call, entry).await,
        Route::Check(handle) => driver::check(service, call, handle, entry),
        Route::Fetch(handle) => driver::fetch(service, call, handle, entry).await,
        Route::Cancel(handle) => driver::cancel(service, call, handle, entry),
        Route::CancelRequest => driver::cancel_request(service, call, entry),
        Route::Chunk(handle, number) => {
            entry.set("handle", json!(handle));
            results::chunk(service, call, handle, number)
        }
        Route::Telemetry => driver::success(&json!("Log Received")),
        Route::WrongMethod => Reply::status(405, "method not allowed"),
        Route::Unknown => Reply::status(404, "not found"),
    }
}
