//! One tool call while it runs: what it may use, how long it waits, how it tells of its progress.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::clock::{Clock, Timestamp, seconds};
use registry_core::error::RegistryError;
use registry_core::id::QueryId;
use registry_core::journal::ListFilter;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::{Peer, RequestContext, RoleServer};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, QueryFacts};
use crate::confirmation::{Asking, Reply};
use crate::error::ToolError;
use crate::page::cut_text;
use crate::server::Shared;
use crate::tools::arguments::{self, Seconds};
use crate::visible::{VisibleText, visible};
use crate::words;

/// How often a waiting call tells that it is alive.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);
/// A client that does not read must not hold up the wait.
const PROGRESS_PATIENCE: Duration = Duration::from_secs(1);
/// Clients show no more of a progress message.
const PROGRESS_CHARS: usize = 180;
/// Ids listed for a caller who named an unknown one.
const KNOWN_IDS: usize = 5;

/// One tool call.
#[derive(Debug)]
pub struct Call {
    /// What all calls share.
    pub shared: Arc<Shared>,
    /// The program that calls.
    pub client: Option<String>,
    started: Instant,
    /// How the person behind it can be asked.
    pub asking: Asking,
    canceled: CancellationToken,
    progress: Option<(Peer<RoleServer>, ProgressToken)>,
}

/// How long a call waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// The wait.
    pub limit: Duration,
    /// The same in seconds, when it is not what the caller asked for.
    pub clamped_to: Option<f64>,
}

impl Call {
    /// The call that `context` belongs to. `reply` is what it brings along for an earlier question of ours.
    pub fn new(shared: Arc<Shared>, context: &RequestContext<RoleServer>, reply: Reply) -> Self {
        Self {
            shared,
            client: context.client_info().map(|client| client.name),
            started: Instant::now(),
            asking: Asking::of(context, reply),
            canceled: context.ct.clone(),
            progress: context.meta.get_progress_token().map(|token| (context.peer.clone(), token)),
        }
    }

    /// The registry, opened by the first call that needs it.
    pub async fn registry(&self) -> Result<&QueryRegistry, ToolError> {
        self.shared.registry.get().await.map_err(|error| {
            tracing::error!(%error, "the registry cannot be opened");
            ToolError::new(error.kind_word(), format!("The server cannot work: {error}"))
                .next("Nothing was sent to the database. Tell the user; once mended, the same call works without a restart.")
        })
    }

    /// The wait asked for, within what the server allows.
    pub fn patience(&self, asked: Option<Seconds>, default: f64) -> Patience {
        let (limit, clamped) = asked.unwrap_or(Seconds(default)).clamped(self.shared.settings.max_wait);
        // Only a wish of the caller is worth a word.
        Patience { limit, clamped_to: (clamped && asked.is_some()).then_some(seconds(limit)) }
    }

    /// Ends when the client gave up this request or the server shuts down.
    pub async fn given_up(&self) {
        tokio::select! {
            () = self.canceled.cancelled() => {}
            () = self.shared.shutdown.cancelled() => {}
        }
    }

    /// What `snapshot` tells, with what is the case in words and what to do next.
    pub fn facts(&self, snapshot: &QuerySnapshot) -> QueryFacts {
        let now = now();
        let mut facts = QueryFacts::of(snapshot, now);
        facts.message = words::state(snapshot, now);
        facts.next = words::next(snapshot);
        facts.connection = self.shared.settings.name_of(snapshot);
        if self.shared.shutdown.is_cancelled() && !snapshot.status.is_terminal() {
            facts.message.push_str(" The server is shutting down, so this call ended early.");
            facts.next = Some(words::after_restart(snapshot));
        }
        facts
    }

    /// The query that `text` names.
    pub async fn find(&self, registry: &QueryRegistry, text: &str) -> Result<QuerySnapshot, ToolError> {
        let found = match arguments::query_id(text) {
            Some(id) => registry.get_snapshot(id).await,
            None => Ok(None),
        };
        match found {
            Ok(Some(snapshot)) => Ok(snapshot),
            Ok(None) => Err(ToolError::unknown_id(text, &known(registry, None).await)),
            Err(error) => Err(self.failed(registry, &error).await),
        }
    }

    /// The answer to a failed registry call.
    pub async fn failed(&self, registry: &QueryRegistry, error: &RegistryError) -> ToolError {
        let known = match error {
            RegistryError::NotFound(_) => known(registry, None).await,
            RegistryError::QueueFull { .. } => cancelable(registry).await,
            _ => Vec::new(),
        };
        ToolError::of_registry(error, &known)
    }

    /// Waits until the query has ended, for `limit` at most, or until nobody wants the answer any more.
    pub async fn wait_for_end(
        &self,
        registry: &QueryRegistry,
        snapshot: QuerySnapshot,
        limit: Duration,
    ) -> Result<QuerySnapshot, ToolError> {
        if snapshot.status.is_terminal() || limit.is_zero() {
            return Ok(snapshot);
        }
        let id = snapshot.query_id;
        match self.while_wanted(registry, id, registry.wait_for_end(id, limit)).await {
            Some(Ok(snapshot)) => Ok(snapshot),
            Some(Err(error)) => Err(self.failed(registry, &error).await),
            None => Ok(registry.get_snapshot(id).await.ok().flatten().unwrap_or(snapshot)),
        }
    }

    /// What is left of `patience` at this moment of the call.
    pub fn left_of(&self, patience: Patience) -> Duration {
        patience.limit.saturating_sub(self.started.elapsed())
    }

    /// The outcome of `wait`, telling of the query's progress meanwhile; `None` once the client gave up this request
    /// or the server shuts down. Dropping the wait does nothing to the query.
    pub async fn while_wanted<T>(
        &self,
        registry: &QueryRegistry,
        id: QueryId,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let news = || async move {
            let snapshot = registry.get_snapshot(id).await.ok().flatten()?;
            Some(words::progress(&snapshot, now()))
        };
        self.while_telling(news, wait).await
    }

    /// As [`Call::while_wanted`], telling what `news` says.
    pub async fn while_telling<T, N: Future<Output = Option<String>>>(
        &self,
        news: impl Fn() -> N,
        wait: impl Future<Output = T>,
    ) -> Option<T> {
        let mut ticks = tokio::time::interval_at(Instant::now() + PROGRESS_EVERY, PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                done = &mut wait => return Some(done),
                () = self.given_up() => return None,
                _ = ticks.tick(), if self.progress.is_some() => {
                    // Neither a slow client nor a slow disk may hold up the wait.
                    let _ = tokio::time::timeout(PROGRESS_PATIENCE, self.report(news())).await;
                }
            }
        }
    }

    /// Tells the client how far things are. The elapsed time is the one figure that always grows.
    async fn report(&self, news: impl Future<Output = Option<String>>) {
        let Some((peer, token)) = &self.progress else { return };
        let Some(message) = news.await else { return };
        let message = visible(&message).into_owned();
        let message = cut_text(&message, PROGRESS_CHARS).unwrap_or(message);
        let param = ProgressNotificationParam::new(token.clone(), seconds(self.started.elapsed()));
        let param = answer::progress(param, VisibleText::new(message));
        if let Err(error) = peer.notify_progress(param).await {
            tracing::debug!(%error, "a progress notification was not delivered");
        }
    }
}

/// The present moment, as records have it.
pub fn now() -> Timestamp {
    Clock::system().now()
}

/// Those that can be canceled to make room: first those that run, then those that are being started or wait.
async fn cancelable(registry: &QueryRegistry) -> Vec<QuerySnapshot> {
    // Looked for in the order of a life, so that none that begins to run meanwhile is missed.
    let mut waiting = known(registry, Some(QueryStatus::Pending)).await;
    let mut found = known(registry, Some(QueryStatus::Running)).await;
    waiting.retain(|one| found.iter().all(|other| other.query_id != one.query_id));
    found.append(&mut waiting);
    found.truncate(KNOWN_IDS);
    found
}

async fn known(registry: &QueryRegistry, status: Option<QueryStatus>) -> Vec<QuerySnapshot> {
    let filter = ListFilter { status, limit: Some(KNOWN_IDS) };
    registry.list_queries(filter).await.unwrap_or_default()
}
