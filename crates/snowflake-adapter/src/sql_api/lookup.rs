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

use super::parameters::lookup_tag;
use super::questions;
use super::service::{Handle, Service};
use crate::history::{Database, search};

/// The lookup's own time limit.
const LIMIT: Duration = Duration::from_secs(30);

pub(super) async fn find(service: &Service, request_id: RequestId) -> Result<Lookup, BackendError> {
    let context = service.context();
    let database = context.database.as_deref().map_or(Database::OfEveryAccount, Database::Named);
    let sql = search(database, request_id);
    let (_, body) = questions::rows(service, &sql, LIMIT, lookup_tag(request_id), context).await?;
    found(&body)
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
