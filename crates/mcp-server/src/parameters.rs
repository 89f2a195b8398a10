//! Requests of a known method whose parameters are not what it takes. The protocol's library hands them over as
//! requests of a method of ours, and only what was expected helps whoever sent them.

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CompleteRequestParams, CustomRequest, ErrorCode, InitializeRequestParams,
    JsonObject, ReadResourceRequestParams, SubscriptionsListenRequestParams,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The answer to a request that no method took.
pub(crate) fn refusal(request: &CustomRequest) -> ErrorData {
    let method = request.method.as_str();
    let given = request.params.clone().unwrap_or_else(|| Value::Object(JsonObject::new()));
    let problem = match method {
        "tools/call" => not_arguments(&given).or_else(|| unlike::<CallToolRequestParams>(given)),
        "resources/read" => unlike::<ReadResourceRequestParams>(given),
        "initialize" => unlike::<InitializeRequestParams>(given),
        "completion/complete" => unlike::<CompleteRequestParams>(given),
        "subscriptions/listen" => unlike::<SubscriptionsListenRequestParams>(given),
        _ => return ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method.to_owned(), None),
    };
    let problem = problem.unwrap_or_else(|| "they are not what the method takes".to_owned());
    ErrorData::invalid_params(format!("Invalid params of {method}: {problem}."), None)
}

/// Models write arguments as a string of JSON.
fn not_arguments(params: &Value) -> Option<String> {
    let found = match params.get("arguments")? {
        Value::Object(_) | Value::Null => return None,
        Value::String(_) => "a string; send the JSON object itself, without quotes around it",
        Value::Array(_) => "an array",
        Value::Number(_) => "a number",
        Value::Bool(_) => "a boolean",
    };
    Some(format!("arguments must be an object with the tool's arguments by name, not {found}"))
}

/// Why `params` cannot be read as `T`.
fn unlike<T: DeserializeOwned>(params: Value) -> Option<String> {
    serde_path_to_error::deserialize::<_, T>(params).err().map(named)
}

fn named(error: serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let problem = error.into_inner().to_string();
    if path == "." { problem } else { format!("{path}: {problem}") }
}
