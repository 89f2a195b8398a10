//! The engine as the registry sees it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registry_core::Backend;
use registry_core::backend::{BackendError, CancelReply, EngineLifetime, Fence, Session};
use registry_core::error::ErrorKind;
use registry_core::id::RemoteHandle;

use crate::config::{SqliteConfig, SqliteSource};
use crate::fence;
use crate::open::Opener;
use crate::run::Run;
use crate::runs::Runs;
use crate::session::SqliteSession;

/// Statements that were told to stop end within this time, or with the process.
const LAST_STATEMENTS: Duration = Duration::from_millis(50);

/// SQLite inside this process, one thread and one connection for every running statement.
#[derive(Debug)]
pub struct SqliteBackend {
    opener: Arc<Opener>,
    runs: Arc<Runs>,
}

impl SqliteBackend {
    /// A backend for one database. Nothing is opened yet.
    pub fn new(config: SqliteConfig) -> Self {
        Self { opener: Arc::new(Opener::new(config)), runs: Arc::default() }
    }

    /// What it was made with.
    pub fn config(&self) -> &SqliteConfig {
        self.opener.config()
    }

    /// Statements that are remembered: those that run, those whose session is open, and some that ended last.
    pub fn known_statements(&self) -> usize {
        self.runs.len()
    }

    /// Takes no more statements, stops all that run and waits for their threads, at most for `patience`. Returns how
    /// many still run then; they can do no harm beyond the work they are at.
    pub async fn shutdown(&self, patience: Duration) -> usize {
        let runs = self.runs.close();
        let all_over = async {
            for run in &runs {
                self.runs.wait_for_end(run).await;
            }
        };
        // Too late is told by the count below.
        let _ = tokio::time::timeout(patience, all_over).await;
        // The thread of a statement that was given up may take long to end.
        let (over, running): (Vec<_>, Vec<_>) =
            runs.into_iter().partition(|run| run.stage().is_over() && !run.is_given_up());
        join(over).await;
        running.len()
    }
}

/// Waits for threads that have said their last word; they end within moments.
async fn join(runs: Vec<Arc<Run>>) {
    let joined = tokio::task::spawn_blocking(move || runs.iter().for_each(|run| run.join())).await;
    if let Err(error) = joined {
        tracing::error!(%error, "the wait for the statements' threads failed");
    }
}

#[async_trait]
impl Backend for SqliteBackend {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn target(&self) -> String {
        match &self.config().source {
            SqliteSource::Sample => "sqlite::memory:".to_owned(),
            // A relative path means another file in another directory.
            SqliteSource::File(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                format!("sqlite:{}", path.display())
            }
        }
    }

    fn lifetime(&self) -> EngineLifetime {
        EngineLifetime::Process
    }

    async fn open_session(&self) -> Result<Box<dyn Session>, BackendError> {
        let opener = Arc::clone(&self.opener);
        let opened = tokio::task::spawn_blocking(move || opener.open()).await;
        let engine = opened.map_err(|error| {
            BackendError::new(ErrorKind::Internal, format!("opening the database broke off: {error}"))
        })??;
        Ok(Box::new(SqliteSession::new(Arc::clone(&self.opener), Arc::clone(&self.runs), engine)))
    }

    async fn cancel(&self, handle: &RemoteHandle) -> Result<CancelReply, BackendError> {
        Ok(match self.runs.find(handle) {
            Some(run) if run.stop() => CancelReply::Accepted,
            _ => CancelReply::NotRunning,
        })
    }

    async fn fence(&self) -> Fence {
        let opener = Arc::clone(&self.opener);
        let probed = tokio::task::spawn_blocking(move || fence::probe(&opener)).await;
        probed.unwrap_or_else(|error| Fence::unknown(format!("The attempt broke off: {error}.")))
    }

    async fn close(&self) {
        self.shutdown(LAST_STATEMENTS).await;
    }
}
