//! Finding a statement whose handle never came.
//!
//! The API finds a statement by its request id only by sending it again, which may run it. So the statement is looked
//! up in the user's own query history, by the request id in its tag. That is a statement itself, and one that needs a
//! warehouse: the API has no call for it, and `SHOW` knows no query history.

use std::time::Duration;

use registry_core::backend::{BackendError, Lookup};
use registry_core::error::ErrorKind;
use registry_core::id::{RemoteHandle, RequestId};
use serde::Deserialize;

use super::parameters::{lookup_tag, tag_mark};
use super::reply::Meaning;
use super::service::{Handle, Service};

/// The lookup's own time limit.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a lookup that takes longer.
const PACE: Duration = Duration::from_millis(500);

pub(super) async fn find(service: &Service, request_id: RequestId) -> Result<Lookup, BackendError> {
    let sql = statement(service.database(), request_id);
    let mut reply = service.run(&sql, LIMIT, lookup_tag(request_id)).await?;
    let patience = tokio::time::Instant::now() + LIMIT;
    // The service may answer before the statement has ended.
    while let (Meaning::Running, Some(handle)) = (&reply.meaning, reply.handle) {
        if tokio::time::Instant::now() >= patience {
            let text = "the search in the query history takes too long; it is made again";
            return Err(BackendError::new(ErrorKind::Unavailable, text));
        }
        tokio::time::sleep(PACE).await;
        reply = service.status(handle).await?;
        reply.handle = reply.handle.or(Some(handle));
    }
    match reply.meaning {
        Meaning::Result(_) => found(&reply.body),
        other => Err(other.into_error(ErrorKind::Unavailable)),
    }
}

/// Statements that run come first, then the newest: a repeat that the engine refused has the same tag.
fn statement(database: Option<&str>, request_id: RequestId) -> String {
    // Without a database of the connection's own there is still the one that every account has.
    let database = database.unwrap_or("SNOWFLAKE").replace('"', "\"\"");
    let mark = tag_mark(request_id);
    format!(
        "select query_id from table(\"{database}\".information_schema.query_history_by_user(\
         end_time_range_start => dateadd('day', -2, current_timestamp()), result_limit => 10000)) \
         where contains(query_tag, '{mark}') \
         order by iff(execution_status ilike 'fail%' or execution_status ilike 'success%', 1, 0), start_time desc \
         limit 1"
    )
}

#[derive(Deserialize)]
struct Found {
    data: Vec<Vec<Option<String>>>,
}

/// The history lags behind, so that an empty answer never means that nothing arrived.
fn found(body: &[u8]) -> Result<Lookup, BackendError> {
    let malformed =
        || BackendError::new(ErrorKind::Protocol, "the query history came in a form that is not known");
    let rows = serde_json::from_slice::<Found>(body).map_err(|_| malformed())?.data;
    let Some(row) = rows.first() else { return Ok(Lookup::Missing) };
    let handle = row.first().and_then(Option::as_deref).and_then(Handle::parse).ok_or_else(malformed)?;
    Ok(Lookup::Found(RemoteHandle::new(handle.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_asks_the_connections_database_for_the_request_id() {
        let id = RequestId::generate();
        let sql = statement(Some("my\"db"), id);
        assert!(sql.contains("\"my\"\"db\".information_schema"), "{sql}");
        assert!(sql.contains(&format!("'\"request_id\":\"{id}\"'")), "{sql}");
        assert!(statement(None, id).contains("\"SNOWFLAKE\".information_schema"));
    }

    #[test]
    fn an_empty_history_does_not_say_that_nothing_arrives() {
        assert_eq!(found(br#"{"data":[]}"#), Ok(Lookup::Missing));
    }

    #[test]
    fn a_history_in_another_form_is_no_answer() {
        for body in ["{}", r#"{"data":[[]]}"#, r#"{"data":[[null]]}"#, r#"{"data":[["../../x"]]}"#, "[]", ""]
        {
            assert_eq!(found(body.as_bytes()).unwrap_err().0.kind, ErrorKind::Protocol, "{body}");
        }
    }
}
