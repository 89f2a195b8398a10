//! SQL API v2.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::driver::{LOOKED_AT, bindings, timeout_of};
use super::engine::{self, Taken};
use super::history::{Context, Order, Outcome, Query, QueryError, now_ms};
use super::http::{Call, Reply};
use super::log::Entry;
use super::login::plain;
use super::results;
use super::service::Service;
use super::statement::needs_session;
use super::table::Table;

/// The statement parameters that a request may set.
const PARAMETERS: [&str; 13] = [
    "binary_output_format",
    "client_result_chunk_size",
    "date_output_format",
    "multi_statement_count",
    "query_tag",
    "rows_per_resultset",
    "time_output_format",
    "timestamp_output_format",
    "timestamp_ltz_output_format",
    "timestamp_ntz_output_format",
    "timestamp_tz_output_format",
    "timezone",
    "use_cached_result",
];

fn refusal(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "code": code, "message": message }))
}

/// Who asks, or the answer that refuses it.
fn user(service: &Service, call: &Call) -> Result<String, Reply> {
    let token = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
    let claims = claims(token);
    let expiry = claims["exp"].as_u64().map(|exp| if exp > 100_000_000_000 { exp } else { exp * 1000 });
    if token.is_empty() || service.is_revoked(token) || expiry.is_some_and(|exp| exp < now_ms()) {
        let kind = call.header("x-snowflake-authorization-token-type");
        return Err(match kind {
            "KEYPAIR_JWT" => refusal(401, "390144", "JWT token is invalid."),
            "PROGRAMMATIC_ACCESS_TOKEN" => refusal(401, "394304", "Programmatic access token is invalid."),
            _ => refusal(401, "390303", "Invalid OAuth access token."),
        });
    }
    if call.header("user-agent").is_empty() {
        return Err(refusal(400, "390142", "Incoming request has no User-Agent."));
    }
    if !call.header("content-type").starts_with("application/json") {
        return Err(refusal(415, "391902", "Unsupported content type: use application/json."));
    }
    let subject = claims["sub"].as_str().and_then(|subject| subject.split('.').next_back());
    Ok(subject.unwrap_or("TOKEN_USER").to_uppercase())
}

/// The claims of a JWT; null of any other token.
fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

/// `POST /api/v2/statements`
pub(super) async fn submit(service: &Arc<Service>, call: &Call, entry: &mut Entry) -> Reply {
    let user = match user(service, call) {
        Ok(user) => user,
        Err(reply) => return reply,
    };
    let Some(body) = call.json().filter(is_valid) else {
        return refusal(400, "390142", "Incoming request does not contain a valid payload.");
    };
    let retry = call.param("retry") == Some("true");
    entry.set("sql", body["statement"].clone());
    entry.set("retry", json!(retry));
    let before = service.history.of_request(call.param("requestId").unwrap_or_default(), None);
    // A statement that failed runs again: only what was executed is remembered.
    let before = before.filter(|query| retry && !matches!(query.outcome(), Some(Err(_))));
    entry.set("duplicate", json!(before.is_some()));
    let Taken { query, runs } = match before {
        Some(query) => Taken { query, runs: false },
        None => match accept(service, call, &user, &body).await {
            Ok(query) => query,
            Err(reply) => return reply,
        },
    };
    entry.set("handle", json!(query.order.handle));
    query.count("submit");
    let waits = call.param("async") != Some("true") || query.order.sql.contains("at_once");
    if waits {
        service.hold(&query).await;
    } else if runs {
        return in_progress(&query.order.handle, 202);
    }
    answer(service, call, &query, 0)
}

/// A text to execute, and nothing in it that the API does not know.
fn is_valid(body: &Value) -> bool {
    let known = |name: &String| PARAMETERS.contains(&name.to_lowercase().as_str());
    body["statement"].is_string()
        && (body["timeout"].is_null() || body["timeout"].is_u64())
        && body["parameters"].as_object().is_none_or(|parameters| parameters.keys().all(known))
}

async fn accept(service: &Arc<Service>, call: &Call, user: &str, body: &Value) -> Result<Taken, Reply> {
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let parameter = |name: &str| {
        let given = body["parameters"].as_object().into_iter().flatten();
        given.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| plain(value)).next()
    };
    let order = Order {
        handle: engine::new_handle(),
        request_id: call.param("requestId").map(str::to_owned),
        sql: text("statement").unwrap_or_default(),
        tag: parameter("query_tag").unwrap_or_default(),
        context: Context {
            user: user.to_owned(),
            role: text("role").or(Some("FAKE_ROLE".to_owned())),
            secondary_roles: service.options().secondary_roles,
            agent: service.options().agent,
            warehouse: text("warehouse"),
            database: text("database"),
            schema: text("schema"),
        },
        session: None,
        submitted_ms: now_ms(),
        timeout_seconds: timeout_of(body["timeout"].as_u64(), service),
        parameters: LOOKED_AT
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), parameter(&name.to_lowercase())?)))
            .collect(),
        bindings: bindings(&body["bindings"]),
        abort_detached: false,
    };
    if needs_session(&order.sql) {
        let error =
            QueryError::new("391911", "0A000", "The requested statement is not supported by the SQL API.");
        return Err(failed(&order.handle, &error, 422));
    }
    let wanted = parameter("multi_statement_count").and_then(|count| count.parse().ok()).unwrap_or(1);
    Ok(engine::submit(service, order, wanted).await)
}

fn status_url(handle: &str) -> String {
    format!("/api/v2/statements/{handle}")
}

fn failed(handle: &str, error: &QueryError, status: u16) -> Reply {
    Reply::json(
        status,
        &json!({
            "code": error.code, "message": error.message, "sqlState": error.sql_state,
            "statementHandle": handle, "statementStatusUrl": status_url(handle),
        }),
    )
}

/// What says that a statement runs; a 429 may carry it too.
pub(super) fn in_progress(handle: &str, status: u16) -> Reply {
    let message = "Asynchronous execution in progress. Use provided query id to perform query monitoring and management.";
    Reply::json(
        status,
        &json!({
            "code": "333334", "message": message, "statementHandle": handle,
            "statementStatusUrl": status_url(handle),
        }),
    )
}

fn not_found(handle: &str) -> Reply {
    failed(handle, &QueryError::new("000709", "02000", format!("Statement {handle} not found")), 422)
}

fn answer(service: &Service, call: &Call, query: &Query, partition: usize) -> Reply {
    let handle = &query.order.handle;
    let outcome: Outcome = match query.outcome() {
        None => return in_progress(handle, 202),
        Some(outcome) => outcome,
    };
    match outcome {
        Err(error) if error.code == "000630" => failed(handle, &error, 408),
        Err(error) => failed(handle, &error, 422),
        Ok(table) => success(service, call, query, &table, partition),
    }
}

fn success(service: &Service, call: &Call, query: &Query, table: &Table, partition: usize) -> Reply {
    let parts = results::partitions(table, service.options().partition_rows);
    let Some(range) = parts.get(partition).cloned() else {
        return refusal(400, "391903", "There is no such partition.");
    };
    let mut rows = results::api_rows(table, range);
    if call.param("nullable") == Some("false") {
        rows.iter_mut().for_each(spell_nulls);
    }
    if partition > 0 {
        return Reply::json(200, &json!({ "data": rows })).gzip();
    }
    let handle = &query.order.handle;
    let (code, message) = if table.cut {
        ("391908", "The result is too large; not all of it is returned.")
    } else {
        ("090001", "Statement executed successfully.")
    };
    let body = json!({
        "resultSetMetaData": results::api_metadata(table, &parts),
        "data": rows, "code": code, "statementStatusUrl": status_url(handle), "sqlState": "00000",
        "message": message, "statementHandle": handle, "createdOn": query.order.submitted_ms,
        "stats": {
            "numRowsInserted": table.changed, "numRowsUpdated": 0, "numRowsDeleted": 0,
            "numDuplicateRowsUpdated": 0,
        },
    });
    Reply::json(200, &body).with("link", links(handle, parts.len()))
}

fn links(handle: &str, parts: usize) -> String {
    let link = |part: usize, name: &str| format!("<{}?partition={part}>;rel=\"{name}\"", status_url(handle));
    let mut links = vec![link(0, "first"), link(parts.saturating_sub(1), "last")];
    if parts > 1 {
        links.insert(1, link(1, "next"));
    }
    links.join(",")
}

/// Null as a word, for clients that asked for no nulls.
fn spell_nulls(row: &mut Value) {
    for cell in row.as_array_mut().into_iter().flatten().filter(|cell| cell.is_null()) {
        *cell = json!("null");
    }
}

fn find(service: &Service, handle: &str, validity: Duration) -> Option<Arc<Query>> {
    service.history.get(handle).filter(|query| query.is_kept(validity))
}

/// `GET /api/v2/statements/{handle}`
pub(super) fn check(service: &Service, call: &Call, handle: &str, entry: &mut Entry) -> Reply {
    if let Err(reply) = user(service, call) {
        return reply;
    }
    entry.set("handle", json!(handle));
    let Some(query) = find(service, handle, service.options().result_validity) else {
        return not_found(handle);
    };
    let partition = call.param("partition");
    query.count(if partition.is_some() { "fetch" } else { "check" });
    entry.set("partition", json!(partition));
    match partition.unwrap_or("0").parse() {
        Ok(partition) => answer(service, call, &query, partition),
        Err(_) => refusal(400, "390142", "The partition is no number."),
    }
}

/// `POST /api/v2/statements/{handle}/cancel`
pub(super) fn cancel(service: &Service, call: &Call, handle: &str, entry: &mut Entry) -> Reply {
    if let Err(reply) = user(service, call) {
        return reply;
    }
    // As proxies refuse it.
    if call.header("content-length").is_empty() {
        return refusal(411, "390142", "The request does not say how long it is.");
    }
    entry.set("handle", json!(handle));
    let query = service.history.get(handle);
    if let Some(query) = &query {
        query.count("cancel");
    }
    match query.filter(|query| query.is_running()) {
        Some(query) => {
            query.cancel.cancel();
            failed(handle, &QueryError::canceled(), 200)
        }
        None => not_found(handle),
    }
}
