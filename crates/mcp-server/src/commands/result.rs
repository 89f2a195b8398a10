//! `result ID`: the rows of one query.

use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::Args;
use registry_core::inspection::Inspection;
use registry_core::snapshot::QueryStatus;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::guest::Guest;
use super::rows::{Part, Printer, RowArgs};
use super::{status, unless_interrupted};
use crate::call::now;
use crate::config::Config;
use crate::shutdown::Signals;
use crate::words;

/// Which rows of which query, and how they are printed.
#[derive(Debug, Args)]
pub struct ResultArgs {
    /// The id of the query, its beginning if no other begins so, or `last` for the newest.
    #[arg(value_name = "ID")]
    query: String,
    /// Leave out so many rows at the beginning.
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: u64,
    /// Print at most so many rows [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Wait for the end of the query first, at most so long if a time is given.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "31d",
          value_parser = crate::cli::values::time)]
    wait: Option<Duration>,
    #[command(flatten)]
    rows: RowArgs,
}

/// Prints rows.
pub async fn result(config: Config, args: ResultArgs) -> ProcessCode {
    let as_json = args.rows.json;
    super::end(run(&config, args).await, as_json).await
}

async fn run(config: &Config, args: ResultArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let guest = Guest::open(config).await?;
    let outcome = unless_interrupted(&mut signals, print(&guest, &args)).await;
    guest.close().await;
    outcome
}

async fn print(guest: &Guest, args: &ResultArgs) -> Result<ExitCode, Failure> {
    let mut found = guest.find(&args.query).await?;
    if let Some(limit) = args.wait {
        found = status::wait(guest, found, limit).await?;
    }
    if found.snapshot.status != QueryStatus::Succeeded {
        return Err(no_rows(&found));
    }
    let part = Part { offset: args.offset, limit: args.limit };
    Printer::new(args.rows, part).print(&guest.registry, &found.snapshot).await?;
    Ok(ExitCode::Success)
}

fn no_rows(found: &Inspection) -> Failure {
    let snapshot = &found.snapshot;
    let failure = Failure::new(ExitCode::of(snapshot), words::state(snapshot, now()));
    match snapshot.status.is_terminal() {
        true => failure,
        false => failure.next("It has no rows yet; --wait waits for them."),
    }
}
