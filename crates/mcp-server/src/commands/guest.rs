//! Commands as guests on a state directory: they see and stop the queries of its servers and take none of them over.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use registry_core::id::QueryId;
use registry_core::inspection::Inspection;
use registry_core::journal::ListFilter;
use registry_core::registry::{RegistryConfig, Shutdown, StateLocation};
use registry_core::snapshot::QueryStatus;
use registry_core::state_dir::StateDir;
use registry_core::{Backend, QueryRegistry};
use tokio::time::timeout;

use super::exit_code::ExitCode;
use super::failure::Failure;
use crate::config::Config;
use crate::policy::Mode;
use crate::visible::visible;

/// The states of a query that has not ended.
pub(super) const UNFINISHED: [QueryStatus; 2] = [QueryStatus::Pending, QueryStatus::Running];
/// Words for the newest query.
const NEWEST: [&str; 2] = ["@last", "last"];
/// Candidates named for an ambiguous id.
const CANDIDATES: usize = 10;
const CLOSE: Duration = Duration::from_secs(2);

/// A registry that only looks and asks.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) registry: QueryRegistry,
    /// Where it looks.
    pub(super) directory: PathBuf,
}

impl Guest {
    /// Without connections: for looking.
    pub(super) async fn open(config: &Config) -> Result<Self, Failure> {
        Self::open_with(config, Vec::new()).await
    }

    /// With the configured connections, as far as they can be set up: for stopping what nobody else stops.
    pub(super) async fn open_to_stop(config: &Config) -> Result<Self, Failure> {
        let mut connections = Vec::new();
        for spec in &config.connections {
            match spec.backend(Mode::ReadOnly).await {
                Ok(backend) => connections.push((spec.name.clone(), backend)),
                Err(error) => tracing::debug!(%error, "a connection cannot be set up"),
            }
        }
        Self::open_with(config, connections).await
    }

    async fn open_with(
        config: &Config,
        connections: Vec<(String, Arc<dyn Backend>)>,
    ) -> Result<Self, Failure> {
        let StateLocation::Directory(directory) = config.state.clone() else {
            let failure =
                Failure::new(ExitCode::Usage, "with --ephemeral nothing is kept that could be looked at");
            return Err(failure.next("Name the directory of the servers with --state-dir."));
        };
        // Who only looks leaves no traces where a path was mistyped.
        if !StateDir::is_used(&directory) {
            return Err(nothing_at(&directory));
        }
        let settings = RegistryConfig { takes_over: false, ..config.registry.clone() };
        let registry = QueryRegistry::open(settings, config.state.clone(), connections).await?;
        Ok(Self { registry, directory })
    }

    pub(super) async fn close(self) {
        let _ = timeout(CLOSE, self.registry.close(Shutdown::Immediate)).await;
    }

    /// The query that a person names: a whole id, its beginning, or `last`.
    pub(super) async fn find(&self, name: &str) -> Result<Inspection, Failure> {
        if NEWEST.contains(&name) {
            let newest =
                self.registry.inspect(ListFilter { limit: Some(1), ..ListFilter::default() }).await?;
            return newest.into_iter().next().ok_or_else(|| self.none_yet());
        }
        // A variable that was never set must not name the only query there is.
        if name.trim().is_empty() || "q_".starts_with(name) {
            return Err(nothing_named(name));
        }
        if let Ok(id) = name.parse() {
            return self.again(id).await;
        }
        let beginning = if name.starts_with("q_") { name.to_owned() } else { format!("q_{name}") };
        let mut found = self.registry.inspect(ListFilter::default()).await?;
        found.retain(|one| one.snapshot.query_id.to_string().starts_with(&beginning));
        match found.len() {
            0 => Err(self.unknown(name)),
            1 => Ok(found.remove(0)),
            _ => Err(ambiguous(name, &found)),
        }
    }

    /// The queries of these states, and no more of each ended one than `limit`. A query that changes its state meanwhile
    /// may be among them twice, and never not at all: they are looked for in the order of its life.
    pub(super) async fn in_states(
        &self,
        states: &[QueryStatus],
        limit: Option<usize>,
    ) -> Result<Vec<Inspection>, Failure> {
        let mut found = Vec::new();
        for status in QueryStatus::ALL.into_iter().filter(|status| states.contains(status)) {
            let limit = limit.filter(|_| status.is_terminal());
            found.extend(self.registry.inspect(ListFilter { status: Some(status), limit }).await?);
        }
        Ok(found)
    }

    /// The same query as it is now.
    pub(super) async fn again(&self, id: QueryId) -> Result<Inspection, Failure> {
        self.registry.inspect_one(id).await?.ok_or_else(|| self.unknown(&id.to_string()))
    }

    fn none_yet(&self) -> Failure {
        let directory = self.directory.display();
        Failure::new(ExitCode::NotFound, format!("there are no queries in {directory} yet"))
            .next("Give the --state-dir of the server if it has one.")
    }

    fn unknown(&self, name: &str) -> Failure {
        let name = visible(name);
        let directory = self.directory.display();
        Failure::new(ExitCode::NotFound, format!("no query {name} is known in {directory}"))
            .next("See those that are with: async-query-mcp list. Give the --state-dir of the server if it has one.")
    }
}

fn nothing_at(directory: &Path) -> Failure {
    let message = format!("there is nothing at {}: no query was ever run there", directory.display());
    Failure::new(ExitCode::NotFound, message).next("Name the directory of the servers with --state-dir.")
}

fn nothing_named(name: &str) -> Failure {
    Failure::new(ExitCode::Usage, format!("{:?} names no query", visible(name)))
        .next("Give an id or its beginning, as async-query-mcp list shows it, or last for the newest query.")
}

fn ambiguous(name: &str, found: &[Inspection]) -> Failure {
    let mut message = format!("{} queries begin with {}:", found.len(), visible(name));
    for one in found.iter().take(CANDIDATES) {
        let snapshot = &one.snapshot;
        let sql = registry_core::record::sql_preview(&snapshot.sql);
        message.push_str(&format!(
            "\n  {}  {:<9}  {}",
            snapshot.query_id,
            snapshot.status.as_str(),
            visible(&sql)
        ));
    }
    if found.len() > CANDIDATES {
        message.push_str(&format!("\n  and {} more", found.len() - CANDIDATES));
    }
    Failure::new(ExitCode::Usage, message).next("Give more of the id.")
}
