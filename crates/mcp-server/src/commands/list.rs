//! `list`: what every server on this state directory runs and ran.

mod view;
mod watch;

use std::collections::HashSet;
use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::Args;
use registry_core::inspection::Inspection;
use registry_core::journal::ListFilter;
use registry_core::snapshot::QueryStatus;
use serde::Serialize;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::guest::{Guest, UNFINISHED};
use super::terminal::{self, ColorArgs};
use super::{json, unless_interrupted};
use crate::call::now;
use crate::config::Config;
use crate::shutdown::Signals;
use crate::stdio;
pub(super) use view::holder_word;
use view::{Entry, View};

/// Which queries are listed, and how.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only queries in this state: pending, running, succeeded, failed, canceled or timeout; several with commas.
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    status: Vec<QueryStatus>,
    /// Most queries listed. Those that have not ended are listed in any case.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = crate::cli::values::at_least_one)]
    limit: usize,
    /// List all that are kept.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Show the list again and again; on a terminal in place, until q or Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// With --watch: the time between two looks.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = crate::cli::values::time, requires = "watch")]
    interval: Duration,
    /// For programs: one JSON document on one line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    color: ColorArgs,
}

/// The list for programs.
#[derive(Debug, Serialize)]
struct Document {
    queries: Vec<Entry>,
    /// There are more than these.
    has_more: bool,
}

/// Lists queries.
pub async fn list(config: Config, args: ListArgs) -> ProcessCode {
    let as_json = args.json;
    super::end(run(&config, args).await, as_json).await
}

async fn run(config: &Config, args: ListArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let guest = Guest::open(config).await?;
    let outcome = match args.watch {
        true => watch::watch(&guest, &args, &mut signals).await,
        false => unless_interrupted(&mut signals, print(&guest, &args)).await,
    };
    guest.close().await;
    outcome.map(|()| ExitCode::Success)
}

async fn print(guest: &Guest, args: &ListArgs) -> Result<(), Failure> {
    let found = Found::look(guest, args).await?;
    Ok(stdio::print(&found.text(guest, args)).await?)
}

/// What one look found.
struct Found {
    queries: Vec<Inspection>,
    has_more: bool,
}

impl Found {
    /// The newest ones, and all that have not ended.
    async fn look(guest: &Guest, args: &ListArgs) -> Result<Self, Failure> {
        // One more than asked for tells whether there are more.
        let limit = (!args.all).then(|| args.limit.saturating_add(1));
        let mut queries = match args.status.as_slice() {
            [] => guest.registry.inspect(ListFilter { status: None, limit }).await?,
            _ => Vec::new(),
        };
        let asked = if args.status.is_empty() { &UNFINISHED[..] } else { &args.status };
        queries.extend(guest.in_states(asked, limit).await?);
        Ok(Self::newest_first(queries, limit))
    }

    fn newest_first(mut queries: Vec<Inspection>, limit: Option<usize>) -> Self {
        // A query that changed its status between two searches was found twice.
        let mut seen = HashSet::new();
        queries.retain(|one| seen.insert(one.snapshot.query_id));
        queries.sort_by_key(|one| std::cmp::Reverse((one.snapshot.created_at, one.snapshot.query_id)));
        let Some(most) = limit.map(|limit| limit - 1) else { return Self { queries, has_more: false } };
        let before = queries.len();
        let mut place = 0;
        queries.retain(|one| {
            place += 1;
            place <= most || !one.snapshot.status.is_terminal()
        });
        Self { has_more: queries.len() < before, queries }
    }

    /// Leaves out what is more than `most`: of those that have ended the oldest, then of the others. Tells how many.
    fn fit(&mut self, most: usize) -> usize {
        fit(&mut self.queries, most, |one| one.snapshot.status.is_terminal())
    }

    fn text(&self, guest: &Guest, args: &ListArgs) -> String {
        if args.json {
            let queries = self.queries.iter().map(|one| Entry::of(one, now())).collect();
            return json::line(&Document { queries, has_more: self.has_more });
        }
        if self.queries.is_empty() {
            return format!(
                "No queries{} are known in {}.\n",
                with_status(&args.status),
                guest.directory.display()
            );
        }
        let mut text = View::of(&self.queries, now(), args.color.paint()).fitted(terminal::size()).concat();
        if self.has_more {
            text.push_str("There are more: --limit N or --all shows them.\n");
        }
        text
    }
}

/// Keeps the first ones in their order, those that have not ended before all others.
fn fit<T>(queries: &mut Vec<T>, most: usize, has_ended: impl Fn(&T) -> bool) -> usize {
    let before = queries.len();
    let mut unfinished = queries.iter().filter(|one| !has_ended(one)).count().min(most);
    let mut ended = most - unfinished;
    queries.retain(|one| {
        let left = if has_ended(one) { &mut ended } else { &mut unfinished };
        let keeps = *left > 0;
        *left = left.saturating_sub(1);
        keeps
    });
    before - queries.len()
}

fn with_status(statuses: &[QueryStatus]) -> String {
    let words: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    if words.is_empty() { String::new() } else { format!(" with status {}", words.join(" or ")) }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn what_has_not_ended_is_the_last_that_a_small_window_leaves_out() {
        let listed = "eeUeUe";
        for (most, kept, left_out) in [
            (9, "eeUeUe", 0),
            (6, "eeUeUe", 0),
            (5, "eeUeU", 1),
            (3, "eUU", 3),
            (2, "UU", 4),
            (1, "U", 5),
            (0, "", 6),
        ] {
            let mut queries: Vec<char> = listed.chars().collect();
            assert_eq!(fit(&mut queries, most, |one| *one == 'e'), left_out, "{most}");
            assert_eq!(queries.iter().collect::<String>(), kept, "{most}");
        }
    }
}
