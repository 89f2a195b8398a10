//! `cancel ID...`: stops queries, wherever they run, and tells what the engine said of each.

use std::collections::HashSet;
use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use registry_core::QueryRegistry;
use registry_core::error::RegistryError;
use registry_core::id::QueryId;
use registry_core::inspection::Inspection;
use registry_core::registry::{CancelReason, Canceled};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::guest::{Guest, UNFINISHED};
use super::json;
use crate::answer::QueryFacts;
use crate::call::now;
use crate::config::Config;
use crate::shutdown::Signals;
use crate::stdio;
use crate::visible::visible_lines;
use crate::words;

/// Which queries are stopped, and how long the engine's word is waited for.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["queries", "all"])))]
pub struct CancelArgs {
    /// The ids of the queries, their beginnings if no others begin so, or `last` for the newest.
    #[arg(value_name = "ID")]
    queries: Vec<String>,
    /// Cancel every query that has not ended.
    #[arg(long)]
    all: bool,
    /// How long the engine's word is waited for, if anybody can ask it; without a time, until it comes [default: 10s].
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "31d",
          value_parser = crate::cli::values::time)]
    wait: Option<Duration>,
    /// For programs: one JSON document on one line.
    #[arg(long)]
    json: bool,
}

const PATIENCE: Duration = Duration::from_secs(10);

/// What became of one wish.
struct Outcome {
    /// As it was named.
    name: String,
    told: Result<Told, Failure>,
}

/// What the engine said of one query.
struct Told {
    reason: CancelReason,
    now: Inspection,
}

/// One query for programs: what the tool `query_cancel` tells.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    query: QueryFacts,
    canceled: bool,
    reason: &'static str,
}

/// Cancels queries.
pub async fn cancel(config: Config, args: CancelArgs) -> ProcessCode {
    let as_json = args.json;
    super::end(run(&config, args).await, as_json).await
}

async fn run(config: &Config, args: CancelArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let guest = Guest::open_to_stop(config).await?;
    let outcome = tokio::select! {
        outcome = stop(&guest, &args) => outcome,
        () = signals.next() => {
            Err(Failure::new(ExitCode::Interrupted, "interrupted; what was asked of the engine stays asked"))
        }
    };
    guest.close().await;
    outcome
}

async fn stop(guest: &Guest, args: &CancelArgs) -> Result<ExitCode, Failure> {
    let outcomes = match args.all {
        true => stop_each(guest, unfinished(guest).await?, args).await,
        false => {
            let mut named: Vec<(String, Result<QueryId, Failure>)> = Vec::new();
            for name in &args.queries {
                let id = guest.find(name).await.map(|found| found.snapshot.query_id);
                named.push((name.clone(), id));
            }
            stop_each(guest, named, args).await
        }
    };
    let code = worst(&outcomes);
    match args.json {
        true => stdio::print(&document(&outcomes, code)).await?,
        false => tell(guest, &outcomes).await?,
    }
    Ok(code)
}

async fn unfinished(guest: &Guest) -> Result<Vec<(String, Result<QueryId, Failure>)>, Failure> {
    let found = guest.in_states(&UNFINISHED, None).await?;
    let mut seen = HashSet::new();
    let ids = found.into_iter().map(|one| one.snapshot.query_id).filter(|id| seen.insert(*id));
    Ok(ids.map(|id| (id.to_string(), Ok(id))).collect())
}

/// All at once, told in the order they were named.
async fn stop_each(
    guest: &Guest,
    named: Vec<(String, Result<QueryId, Failure>)>,
    args: &CancelArgs,
) -> Vec<Outcome> {
    let patience = args.wait.unwrap_or(PATIENCE);
    let mut wishes = JoinSet::new();
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    for (name, id) in named {
        let place = outcomes.len();
        match id {
            Err(failure) => outcomes.push(Some(Outcome { name, told: Err(failure) })),
            Ok(id) => {
                let registry = guest.registry.clone();
                wishes.spawn(async move {
                    (place, Outcome { name, told: stop_one(&registry, id, patience).await })
                });
                outcomes.push(None);
            }
        }
    }
    while let Some(done) = wishes.join_next().await {
        if let Ok((place, outcome)) = done
            && let Some(slot) = outcomes.get_mut(place)
        {
            *slot = Some(outcome);
        }
    }
    outcomes.into_iter().flatten().collect()
}

async fn stop_one(registry: &QueryRegistry, id: QueryId, patience: Duration) -> Result<Told, Failure> {
    let Canceled { reason, .. } = registry.cancel(id, patience).await?;
    let now = registry.inspect_one(id).await?.ok_or(RegistryError::NotFound(id))?;
    Ok(Told { reason, now })
}

impl Told {
    /// Nothing of it runs any more.
    fn is_stopped(&self) -> bool {
        match self.reason {
            CancelReason::Canceled | CancelReason::NeverSent | CancelReason::AlreadyCanceled => true,
            CancelReason::AlreadyCompleted => self.now.owes.is_empty(),
            CancelReason::Requested | CancelReason::Refused | CancelReason::Unconfirmed => false,
        }
    }

    fn message(&self) -> String {
        let mut message = words::cancel(self.reason, &self.now.snapshot);
        if !self.is_stopped() && self.now.is_orphaned() {
            let (name, target) = (&self.now.snapshot.connection, &self.now.target);
            message.push_str(&format!(
                " Its server is gone, and this command has no connection {name} to {target}: give it with --connection \
                 or --database, or start the server again."
            ));
        }
        message
    }

    fn entry(&self) -> Entry {
        let snapshot = &self.now.snapshot;
        let mut query = QueryFacts::of(snapshot, now());
        query.message = self.message();
        query.connection = Some(snapshot.connection.clone());
        Entry { query, canceled: self.reason.is_canceled(), reason: self.reason.as_str() }
    }
}

/// What was not stopped counts more than what was not found.
fn worst(outcomes: &[Outcome]) -> ExitCode {
    let goes_on = |outcome: &Outcome| outcome.told.as_ref().is_ok_and(|told| !told.is_stopped());
    if outcomes.iter().any(goes_on) {
        return ExitCode::NotYet;
    }
    let failed = outcomes.iter().find_map(|outcome| outcome.told.as_ref().err());
    failed.map_or(ExitCode::Success, |failure| failure.code)
}

async fn tell(guest: &Guest, outcomes: &[Outcome]) -> Result<(), Failure> {
    if outcomes.is_empty() {
        let nothing =
            format!("Nothing to cancel: no query runs or waits in {}.\n", guest.directory.display());
        stdio::print(&nothing).await?;
    }
    for outcome in outcomes {
        match &outcome.told {
            Ok(told) => stdio::print(&format!("{}\n", visible_lines(&told.message()))).await?,
            Err(failure) => failure.report(false).await,
        }
    }
    Ok(())
}

fn document(outcomes: &[Outcome], code: ExitCode) -> String {
    let entry = |outcome: &Outcome| match &outcome.told {
        Ok(told) => serde_json::to_value(told.entry()).unwrap_or_default(),
        Err(failure) => json!({
            "query_id": outcome.name, "canceled": false, "reason": failure.word(), "message": failure.message(),
        }),
    };
    let queries: Vec<Value> = outcomes.iter().map(entry).collect();
    json::line(&json!({ "queries": queries, "all_stopped": code == ExitCode::Success }))
}
