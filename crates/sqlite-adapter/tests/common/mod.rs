//! A backend with a result store, and the shortest way from a statement to its rows.

#![allow(dead_code, reason = "every test file uses a part of it")]

use std::path::Path;
use std::time::Duration;

use registry_core::Backend;
use registry_core::backend::{Progress, Rows, Session, Submission, SubmitError};
use registry_core::error::ErrorInfo;
use registry_core::id::RemoteHandle;
use registry_core::results::{ResultLimits, ResultStore, StoredRows};
use registry_core::testing::submission;
use serde_json::Value;
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteSource};
use tempfile::TempDir;

/// The longest wait of any test.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) struct Fixture {
    pub(crate) backend: SqliteBackend,
    pub(crate) store: ResultStore,
    pub(crate) directory: TempDir,
}

pub(crate) type Answer = (StoredRows, Vec<Vec<Value>>);

impl Fixture {
    pub(crate) fn new(config: SqliteConfig) -> Self {
        Self::with_limits(config, ResultLimits::default())
    }

    pub(crate) fn with_limits(config: SqliteConfig, limits: ResultLimits) -> Self {
        let directory = TempDir::new().unwrap();
        let store = ResultStore::open(directory.path().join("results"), limits).unwrap();
        Self { backend: SqliteBackend::new(config), store, directory }
    }

    pub(crate) fn sample() -> Self {
        Self::new(SqliteConfig::new(SqliteSource::Sample))
    }

    pub(crate) fn writable_sample() -> Self {
        Self::new(SqliteConfig::new(SqliteSource::Sample).with_writes(true))
    }

    pub(crate) fn file(path: &Path) -> Self {
        Self::new(SqliteConfig::new(SqliteSource::File(path.to_owned())))
    }

    pub(crate) fn submission(&self, sql: &str) -> Submission {
        submission(&self.store, sql)
    }

    pub(crate) async fn start(&self, sql: &str) -> (Box<dyn Session>, RemoteHandle) {
        let mut session = self.backend.open_session().await.unwrap();
        let handle = session.submit(self.submission(sql)).await.unwrap();
        (session, handle)
    }

    /// The end of a statement that was taken, or the words with which it was rejected.
    pub(crate) async fn end_of(&self, submission: Submission) -> Result<Progress, ErrorInfo> {
        let mut session = self.backend.open_session().await.unwrap();
        let submitted =
            tokio::time::timeout(BOUND, session.submit(submission)).await.expect("submit returns");
        let end = match submitted {
            Ok(handle) => Ok(end(&mut session, &handle).await),
            Err(SubmitError::Rejected(error)) => Err(error),
            Err(SubmitError::NotSent(error) | SubmitError::Unclear(error)) => panic!("{error}"),
        };
        session.close().await.unwrap();
        end
    }

    /// Columns and rows of a statement.
    pub(crate) async fn query(&self, sql: &str) -> Result<Answer, ErrorInfo> {
        let submission = self.submission(sql);
        let id = submission.query_id;
        match self.end_of(submission).await? {
            Progress::Succeeded(Rows::Stored(stored)) => {
                let rows = self.store.page(id, 0, stored.rows.max(1), u64::MAX).unwrap().rows;
                Ok((stored, rows))
            }
            Progress::Failed(error) => Err(error),
            other => panic!("{sql}: {other:?}"),
        }
    }

    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<Value>> {
        self.query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).1
    }

    pub(crate) async fn error(&self, sql: &str) -> ErrorInfo {
        match self.query(sql).await {
            Err(error) => error,
            Ok(answer) => panic!("{sql} must fail, gave {answer:?}"),
        }
    }
}

/// Waits for the end without asking again and again.
pub(crate) async fn end(session: &mut Box<dyn Session>, handle: &RemoteHandle) -> Progress {
    tokio::time::timeout(BOUND, session.changed(handle)).await.expect("the statement ends");
    session.check(handle).await.unwrap()
}
