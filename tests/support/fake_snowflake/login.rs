//! Sign-in, renewal, heartbeat and logout of the driver protocol.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::driver::{failure, success};
use super::history::Context;
use super::http::{Call, Reply};
use super::log::Entry;
use super::service::Service;
use super::session::{Refusal, Session};

/// What the server tells about parameters that no client set.
const PARAMETERS: [(&str, &str); 6] = [
    ("ABORT_DETACHED_QUERY", "false"),
    ("AUTOCOMMIT", "true"),
    ("CLIENT_PREFETCH_THREADS", "4"),
    ("CLIENT_SESSION_KEEP_ALIVE", "false"),
    ("CLIENT_TELEMETRY_ENABLED", "false"),
    ("TIMEZONE", "UTC"),
];

/// The session of a call, or the answer that refuses it.
pub(super) fn session_of(service: &Service, call: &Call) -> Result<Arc<Session>, Reply> {
    service.sessions.enter(&token(call)).map_err(refuse)
}

fn token(call: &Call) -> String {
    let header = call.header("authorization");
    let token = header.strip_prefix("Snowflake Token=").unwrap_or_default();
    token.trim_matches('"').to_owned()
}

fn refuse(refusal: Refusal) -> Reply {
    match refusal {
        // A dead token is the one refusal with a status of its own.
        Refusal::Unknown => {
            Reply { status: 401, ..failure("390104", "Session token not found or invalid data", Value::Null) }
        }
        Refusal::Expired => failure(
            "390112",
            "Your session has expired. Please login again.",
            json!({ "errorMessage": null }),
        ),
        Refusal::SessionGone => failure(
            "390111",
            "Session no longer exists. New login required to access the service.",
            Value::Null,
        ),
        Refusal::MasterUnknown => failure("390113", "Master token is not found.", Value::Null),
        Refusal::MasterExpired => failure(
            "390114",
            "Authentication token has expired. The user must authenticate again.",
            Value::Null,
        ),
        Refusal::MasterInvalid => failure("390115", "Master token is invalid.", Value::Null),
    }
}

/// `POST /session/v1/login-request`
pub(super) fn login(service: &Service, call: &Call, entry: &mut Entry) -> Reply {
    let Some(data) = call.json().map(|mut body| body["data"].take()).filter(Value::is_object) else {
        return Reply {
            status: 400,
            ..failure("390142", "Incoming request has no valid payload.", Value::Null)
        };
    };
    if let Some(reply) = rejection(service, &data) {
        return reply;
    }
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    let user = if text("LOGIN_NAME").is_empty() { "TOKEN_USER" } else { text("LOGIN_NAME") };
    let context = Context {
        user: user.to_uppercase(),
        secondary_roles: service.options().secondary_roles,
        agent: service.options().agent,
        role: call.param("roleName").filter(|name| !name.is_empty()).or(Some("FAKE_ROLE")).map(str::to_owned),
        warehouse: call.param("warehouse").filter(|name| !name.is_empty()).map(str::to_owned),
        database: call.param("databaseName").filter(|name| !name.is_empty()).map(str::to_owned),
        schema: call.param("schemaName").filter(|name| !name.is_empty()).map(str::to_owned),
    };
    let parameters = parameters(&data["SESSION_PARAMETERS"]);
    let session = service.sessions.open(text("CLIENT_APP_ID"), context, parameters, validity(service));
    entry.set("session", json!(session.id));
    entry.set("user", json!(user));
    success(&login_data(&session))
}

fn validity(service: &Service) -> (Duration, Duration) {
    let options = service.options();
    (options.session_validity, options.master_validity)
}

/// The sign-ins that fail: revoked credentials, none at all, and users who must act themselves.
fn rejection(service: &Service, data: &Value) -> Option<Reply> {
    let text = |name: &str| data[name].as_str().unwrap_or_default();
    match text("LOGIN_NAME").to_uppercase().as_str() {
        "MFA_USER" => return Some(success(&json!({ "nextAction": "EXT_AUTHN_DUO_ALL" }))),
        "NEW_USER" => return Some(success(&json!({ "nextAction": "PWD_CHANGE" }))),
        _ => {}
    }
    let credential = if text("TOKEN").is_empty() { text("PASSWORD") } else { text("TOKEN") };
    if !credential.is_empty() && !service.is_revoked(credential) {
        return None;
    }
    let (code, message) = match text("AUTHENTICATOR").to_uppercase().as_str() {
        "SNOWFLAKE_JWT" => ("390144", "JWT token is invalid."),
        "OAUTH" => ("390303", "Invalid OAuth access token."),
        "PROGRAMMATIC_ACCESS_TOKEN" => ("394304", "Programmatic access token is invalid."),
        _ => ("390100", "Incorrect username or password was specified."),
    };
    Some(failure(code, message, json!({ "nextAction": "RETRY_LOGIN", "authnMethod": "USERNAME_PASSWORD" })))
}

/// The server's parameters, and over them the client's.
fn parameters(given: &Value) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        PARAMETERS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    for (name, value) in given.as_object().into_iter().flatten() {
        all.insert(name.to_uppercase(), plain(value));
    }
    all
}

/// A parameter's value without quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn login_data(session: &Session) -> Value {
    let (tokens, context) = (session.tokens(), session.context());
    let left = |until: Instant| until.saturating_duration_since(Instant::now()).as_secs_f64().round() as u64;
    json!({
        "token": tokens.session, "masterToken": tokens.master,
        "validityInSeconds": left(tokens.session_until), "masterValidityInSeconds": left(tokens.master_until),
        "displayUserName": context.user, "serverVersion": "10.0.0", "firstLogin": false, "remMeToken": null,
        "remMeValidityInSeconds": 0, "healthCheckInterval": 45, "sessionId": session.id,
        "parameters": parameter_list(session),
        "sessionInfo": {
            "databaseName": context.database, "schemaName": context.schema,
            "warehouseName": context.warehouse, "roleName": context.role,
        },
        "idToken": null, "idTokenValidityInSeconds": 0, "responseData": null,
        "mfaToken": null, "mfaTokenValidityInSeconds": 0,
    })
}

/// The parameters of a session with the types they have.
pub(super) fn parameter_list(session: &Session) -> Value {
    let typed = |text: &str| match text {
        "true" | "false" => json!(text == "true"),
        text => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
    };
    session.parameters().iter().map(|(name, value)| json!({ "name": name, "value": typed(value) })).collect()
}

/// `POST /session/token-request`
pub(super) fn renew(service: &Service, call: &Call, entry: &mut Entry) -> Reply {
    let session = match service.sessions.renew(&token(call), validity(service)) {
        Ok(session) => session,
        Err(refusal) => return refuse(refusal),
    };
    entry.set("session", json!(session.id));
    let data = login_data(&session);
    success(&json!({
        "sessionToken": data["token"], "validityInSecondsST": data["validityInSeconds"],
        "masterToken": data["masterToken"], "validityInSecondsMT": data["masterValidityInSeconds"],
        "sessionId": session.id,
    }))
}

/// `POST /session/heartbeat`
pub(super) fn heartbeat(service: &Service, call: &Call, entry: &mut Entry) -> Reply {
    match session_of(service, call) {
        Ok(session) => {
            entry.set("session", json!(session.id));
            success(&Value::Null)
        }
        Err(reply) => reply,
    }
}

/// `POST /session?delete=true`
pub(super) fn logout(service: &Arc<Service>, call: &Call, entry: &mut Entry) -> Reply {
    match session_of(service, call) {
        Ok(session) => {
            entry.set("session", json!(session.id));
            session.close();
            service.cancel_session(session.id);
            success(&Value::Null)
        }
        Err(reply) => reply,
    }
}
