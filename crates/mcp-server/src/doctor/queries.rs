//! Statements of the doctor, run as an agent's are, over a registry that keeps nothing.

use std::sync::Arc;
use std::time::Duration;

use registry_core::backend::{Backend, Fence};
use registry_core::error::{ErrorInfo, ErrorKind, RegistryError};
use registry_core::options::{QueryOptions, QueryRequest};
use registry_core::registry::{Canceled, OnExit, RegistryConfig, Shutdown, StateLocation};
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use registry_core::state::Timing;
use registry_core::{QueryRegistry, results};
use serde_json::Value;
use tokio::time::{Instant, timeout};

/// No statement of the doctor may run longer, whatever becomes of the doctor.
const TIME_LIMIT: Duration = Duration::from_secs(60);
const CLOSE: Duration = Duration::from_secs(2);
const MOST_BYTES: u64 = 1 << 20;

/// A registry for a few statements.
pub(super) struct Queries {
    registry: QueryRegistry,
    patience: Duration,
}

/// The rows of a statement.
pub(super) struct Table {
    columns: Vec<results::ColumnMeta>,
    rows: Vec<results::Row>,
}

impl Table {
    /// A value of the first row, by the name of its column.
    pub(super) fn first(&self, column: &str) -> Option<String> {
        let place = self.columns.iter().position(|known| known.name.eq_ignore_ascii_case(column))?;
        match self.rows.first()?.get(place)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl Queries {
    pub(super) async fn open(
        connections: Vec<(String, Arc<dyn Backend>)>,
        patience: Duration,
    ) -> Result<Self, RegistryError> {
        let config = RegistryConfig {
            // The engine's own words are heard before ours.
            call_timeout: patience + Duration::from_secs(1),
            on_exit: OnExit::Cancel,
            // The first call without an answer tells what is wrong; nobody waits for the next ones.
            timing: Timing { backoff: vec![Duration::from_secs(1)], ..Timing::default() },
            ..RegistryConfig::default()
        };
        let registry = QueryRegistry::open(config, StateLocation::Ephemeral, connections).await?;
        Ok(Self { registry, patience })
    }

    /// The rows of a statement, or why there are none.
    pub(super) async fn rows(&self, connection: &str, sql: &str) -> Result<Table, ErrorInfo> {
        let snapshot = self.submit(connection, sql).await?;
        let ended = self.until(snapshot, |snapshot| snapshot.status.is_terminal()).await?;
        if ended.status != QueryStatus::Succeeded {
            let unknown =
                || ErrorInfo::new(ErrorKind::Internal, format!("the statement ended as {}", ended.status));
            return Err(ended.error.clone().unwrap_or_else(unknown));
        }
        let page = self.registry.fetch_result(ended.query_id, 0, None, MOST_BYTES).await.map_err(as_info)?;
        Ok(Table { columns: page.columns, rows: page.rows })
    }

    /// Starts a statement that runs for a while, waits until it does, and stops it.
    pub(super) async fn stop(&self, connection: &str, sql: &str) -> Result<Canceled, ErrorInfo> {
        let snapshot = self.submit(connection, sql).await?;
        let running = self.until(snapshot, |snapshot| snapshot.status != QueryStatus::Pending).await?;
        if let Some(error) = running.error {
            return Err(error);
        }
        self.registry.cancel(running.query_id, self.patience).await.map_err(as_info)
    }

    /// What the engine says that it refuses.
    pub(super) async fn fence(&self, connection: &str) -> Fence {
        let found = self.registry.fence(Some(connection), self.patience).await;
        found.unwrap_or_else(|error| Fence::unknown(error.to_string()))
    }

    async fn submit(&self, connection: &str, sql: &str) -> Result<QuerySnapshot, ErrorInfo> {
        let options = QueryOptions {
            query_timeout: Some(TIME_LIMIT),
            poll_interval: Duration::from_millis(250),
            ..QueryOptions::default()
        };
        let request = QueryRequest {
            connection: Some(connection.to_owned()),
            client: Some("doctor".to_owned()),
            options,
            ..QueryRequest::new(sql)
        };
        Ok(self.registry.execute_query(request).await.map_err(as_info)?.snapshot)
    }

    /// A service that cannot be reached is told at once: whether it will be later is not the question.
    async fn until(
        &self,
        mut snapshot: QuerySnapshot,
        reached: impl Fn(&QuerySnapshot) -> bool,
    ) -> Result<QuerySnapshot, ErrorInfo> {
        let end = Instant::now() + 2 * self.patience;
        while !reached(&snapshot) {
            if let Some(error) = snapshot.unreachable {
                return Err(error);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text =
                    format!("the statement is {} after {} s", snapshot.status, (2 * self.patience).as_secs());
                return Err(ErrorInfo::new(ErrorKind::Unavailable, text));
            }
            let (id, version) = (snapshot.query_id, snapshot.version);
            snapshot = self.registry.wait(id, Some(version), left).await.map_err(as_info)?.snapshot;
        }
        Ok(snapshot)
    }

    /// Stops what still runs and closes the sessions.
    pub(super) async fn close(self) {
        let _ = timeout(CLOSE, self.registry.close(Shutdown::Immediate)).await;
    }
}

fn as_info(error: RegistryError) -> ErrorInfo {
    ErrorInfo::new(ErrorKind::Internal, error.to_string())
}
