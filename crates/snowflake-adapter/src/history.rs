//! How a statement is marked in Snowflake's query history, and found there by its mark.

use registry_core::id::RequestId;
use serde_json::{Map, Value, json};

/// Snowflake takes no longer tag.
const MAX_TAG: usize = 2000;
/// Every account has it, so that a search needs no current database.
const OF_EVERY_ACCOUNT: &str = "SNOWFLAKE.";

/// The tag of a statement with its request id in it, which comes before everything else where there is no room.
pub(crate) fn statement_tag(tag: &str, request_id: RequestId) -> String {
    let mut fields = match serde_json::from_str(tag) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::from_iter([("tag".to_owned(), json!(tag))]),
    };
    fields.insert("request_id".to_owned(), json!(request_id.to_string()));
    let text = Value::Object(fields).to_string();
    if text.len() <= MAX_TAG { text } else { json!({ "request_id": request_id.to_string() }).to_string() }
}

/// What a search looks for in tags; never part of the tag of a search.
pub(crate) fn tag_mark(request_id: RequestId) -> String {
    format!("\"request_id\":\"{request_id}\"")
}

/// Finds the statement of a request among those of the user. Statements that run come first, then the newest: a
/// repeat that the engine refused has the same tag.
pub(crate) fn search(database: Database<'_>, request_id: RequestId) -> String {
    let place = match database {
        Database::Named(name) => format!("\"{}\".", name.replace('"', "\"\"")),
        Database::Current => String::new(),
        Database::OfEveryAccount => OF_EVERY_ACCOUNT.to_owned(),
    };
    // The mark is made of a UUID of ours and needs no quoting.
    let mark = tag_mark(request_id);
    format!(
        "select query_id from table({place}information_schema.query_history_by_user(\
         end_time_range_start => dateadd('day', -2, current_timestamp()), result_limit => 10000)) \
         where contains(query_tag, '{mark}') \
         order by iff(execution_status ilike 'fail%' or execution_status ilike 'success%', 1, 0), start_time desc \
         limit 1"
    )
}

/// The database whose view of the history is searched; every one shows the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Database<'a> {
    /// The one of this name, in its very spelling.
    Named(&'a str),
    /// The one that the session uses.
    Current,
    /// One that needs no choice.
    OfEveryAccount,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_carries_its_request_id_within_the_length_that_is_allowed() {
        let id = RequestId::generate();
        for tag in [r#"{"app":"a","query_id":"q_1"}"#, "plain", "", "[1]", &"x".repeat(5_000)] {
            let tag = statement_tag(tag, id);
            assert!(tag.contains(&tag_mark(id)) && tag.len() <= MAX_TAG, "{tag}");
        }
        assert!(statement_tag(r#"{"query_id":"q_1"}"#, id).starts_with(r#"{"query_id":"q_1","#));
        assert!(statement_tag("plain", id).contains(r#""tag":"plain""#));
    }

    #[test]
    fn a_search_asks_one_database_for_the_request_id() {
        let id = RequestId::generate();
        let named = search(Database::Named("my\"db"), id);
        assert!(named.contains("table(\"my\"\"db\".information_schema"), "{named}");
        assert!(named.contains(&format!("'\"request_id\":\"{id}\"'")), "{named}");
        assert!(search(Database::Current, id).contains("table(information_schema"));
        assert!(search(Database::OfEveryAccount, id).contains("table(SNOWFLAKE.information_schema"));
    }
}
