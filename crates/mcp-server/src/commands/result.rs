//! `result ID`: the rows of one query.

use std::path::{Path, PathBuf};
use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::Args;
use registry_core::inspection::Inspection;
use registry_core::snapshot::QueryStatus;
use serde_json::json;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::guest::Guest;
use super::rows::{Part, Printer, RowArgs};
use super::{json, status, unless_interrupted};
use crate::call::now;
use crate::config::Config;
use crate::export::{self, ExportError, Format, Written};
use crate::shutdown::Signals;
use crate::stdio;
use crate::visible::visible;
use crate::words::{self, count};

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
    /// Write all rows into this new file, as CSV or JSON Lines by its ending; nothing is ever overwritten.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["offset", "limit", "format"])]
    output: Option<PathBuf>,
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
    if let Some(path) = &args.output {
        return write(guest, &found, path, args.rows.json).await;
    }
    let part = Part { offset: args.offset, limit: args.limit };
    Printer::new(args.rows, part).print(&guest.registry, &found.snapshot).await?;
    Ok(ExitCode::Success)
}

/// Writes the rows into a file, which is there whole or not at all.
async fn write(guest: &Guest, found: &Inspection, path: &Path, as_json: bool) -> Result<ExitCode, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(format) = Format::of_name(&name) else {
        let failure =
            Failure::new(ExitCode::Usage, format!("{} has no ending that names a form", path.display()));
        return Err(failure.next("Let the name end with .csv or .jsonl."));
    };
    let path = std::path::absolute(path)?;
    let id = found.snapshot.query_id;
    let exported = export::write(&guest.registry, id, format, &path, |_| Ok(())).await?;
    let Written { rows, bytes } = exported.written;
    let text = match as_json {
        true => {
            json::line(&json!({ "query_id": id.to_string(), "path": path, "rows": rows, "bytes": bytes }))
        }
        false => {
            format!("{} and {bytes} bytes in {}\n", count(rows, "row"), visible(&path.display().to_string()))
        }
    };
    stdio::print(&text).await?;
    Ok(ExitCode::Success)
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Rows(error) => error.into(),
            ExportError::Exists(_) | ExportError::NoDirectory(_) | ExportError::Exposed(_) => {
                Self::new(ExitCode::Usage, error.to_string()).next("Name another file with --output.")
            }
            ExportError::NoColumns => Self::new(ExitCode::NotFound, error.to_string()),
            _ => Self::new(ExitCode::Unreachable, error.to_string()),
        }
    }
}

fn no_rows(found: &Inspection) -> Failure {
    let snapshot = &found.snapshot;
    let failure = Failure::new(ExitCode::of(snapshot), words::state(snapshot, now()));
    match snapshot.status.is_terminal() {
        true => failure,
        false => failure.next("It has no rows yet; --wait waits for them."),
    }
}
