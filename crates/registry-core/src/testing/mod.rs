//! Test support for engines and servers.

pub mod conformance;
pub mod scripted;

use std::sync::Arc;
use std::time::Duration;

use crate::backend::Submission;
use crate::id::{QueryId, RequestId};
use crate::options::QueryContext;
use crate::results::ResultStore;

/// A first submission of a statement, which may run for ten minutes and has its rows in `store`.
pub fn submission(store: &ResultStore, sql: &str) -> Submission {
    let query_id = QueryId::generate();
    Submission {
        query_id,
        request_id: RequestId::generate(),
        sql: Arc::from(sql),
        context: QueryContext::default(),
        time_limit: Duration::from_secs(600),
        row_limit: None,
        tag: String::new(),
        retry: false,
        rows: store.writer(query_id),
    }
}
