//! What the registry, its drivers and its upkeep share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backend::{Backend, EngineLifetime};
use crate::config::RegistryConfig;
use crate::error::{RegistryError, Result};
use crate::fence::KnownFence;
use crate::id::InstanceId;
use crate::line::Line;
use crate::live::LiveQuery;
use crate::metrics::{ConnectionMetrics, Metrics};
use crate::presence::Presence;
use crate::reaper;
use crate::record::{EngineFacts, QueryRecord};
use crate::records::Records;
use crate::results::ResultStore;
use crate::snapshot::QuerySnapshot;
use crate::state::Effect;
use crate::tally::{self, Tally};

/// One per registry.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: RegistryConfig,
    pub(crate) presence: Presence,
    pub(crate) connections: Vec<Arc<Connection>>,
    pub(crate) records: Records,
    pub(crate) results: ResultStore,
    pub(crate) metrics: Arc<Metrics>,
    /// Owns every task of the registry.
    pub(crate) tasks: TaskTracker,
    /// No new query is taken, and waits end.
    pub(crate) closing: CancellationToken,
    /// Every task ends at once and leaves its query as it is.
    pub(crate) stop: CancellationToken,
}

/// One configured engine and its line.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) line: Arc<Line>,
    pub(crate) fence: KnownFence,
}

impl Connection {
    pub(crate) fn is_embedded(&self) -> bool {
        self.backend.lifetime() == EngineLifetime::Process
    }

    pub(crate) fn metrics(&self) -> ConnectionMetrics {
        let (running, waiting) = self.line.load();
        let (connection, engine) = (self.name.clone(), self.backend.metrics());
        ConnectionMetrics { connection, running, waiting, engine }
    }

    pub(crate) fn facts(&self) -> EngineFacts {
        EngineFacts { target: self.backend.target(), embedded: self.is_embedded() }
    }
}

impl Shared {
    pub(crate) fn instance(&self) -> InstanceId {
        self.presence.instance()
    }

    /// The connection called `name`, or the default one.
    pub(crate) fn connection(&self, name: Option<&str>) -> Result<&Arc<Connection>> {
        let found = match name {
            Some(name) => self.connections.iter().find(|connection| connection.name == name),
            None => self.connections.first(),
        };
        found.ok_or_else(|| RegistryError::UnknownConnection {
            name: name.unwrap_or("default").to_owned(),
            known: self.connections.iter().map(|connection| connection.name.clone()).collect(),
        })
    }

    /// The connection that an earlier record was accepted for, if it is still the same one.
    pub(crate) fn connection_of(&self, record: &QueryRecord) -> Option<&Arc<Connection>> {
        self.connections
            .iter()
            .find(|connection| connection.name == record.connection && connection.facts() == record.engine)
    }

    /// Carries out what is not the driver's work, and returns what is.
    pub(crate) async fn carry_out(
        self: &Arc<Self>,
        query: &Arc<LiveQuery>,
        effects: Vec<Effect>,
    ) -> Option<Effect> {
        let mut for_driver = None;
        for effect in effects {
            match effect {
                Effect::Reap => reaper::start(self, query),
                Effect::Forget => self.forget(query).await,
                // The published record has woken it.
                Effect::WakeDriver => {}
                Effect::Submit { .. }
                | Effect::Lookup
                | Effect::Check
                | Effect::SendCancel
                | Effect::Fetch
                | Effect::Wait(_)
                | Effect::StopDriver => for_driver = Some(effect),
            }
        }
        for_driver
    }

    /// Removes a record and its rows; what fails here is done by a later sweep.
    async fn forget(&self, query: &LiveQuery) {
        match self.records.delete(query).await {
            Ok(true) => self.metrics.pruned.add_one(),
            Ok(false) => return,
            Err(error) => return tracing::warn!(query_id = %query.id(), %error, "cannot remove the record"),
        }
        let (results, id) = (self.results.clone(), query.id());
        let removed = tokio::task::spawn_blocking(move || results.remove(id)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(query_id = %id, %error, "cannot remove the rows");
        }
    }

    /// The outside view of a record, with what its owner knows beyond it.
    pub(crate) async fn view(self: &Arc<Self>, record: &QueryRecord) -> QuerySnapshot {
        let others = tally::of_others(self, std::slice::from_ref(record)).await;
        self.view_with(record, &others)
    }

    /// As [`Shared::view`], for many.
    pub(crate) async fn views(self: &Arc<Self>, records: &[Arc<QueryRecord>]) -> Vec<QuerySnapshot> {
        let others = tally::of_others(self, records).await;
        records.iter().map(|record| self.view_with(record, &others)).collect()
    }

    fn view_with(&self, record: &QueryRecord, others: &Tally) -> QuerySnapshot {
        let mut facts = self.records.live(record.id).map(|query| query.facts()).unwrap_or_default();
        // Of a query that was ours an old count may be left here.
        if record.lease.owner != self.instance() {
            facts.rows_so_far = others.get(&record.id).copied().unwrap_or_default();
        }
        QuerySnapshot::of(record, facts, self.config.clock.now())
    }
}
