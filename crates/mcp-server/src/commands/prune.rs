//! `prune`: forgets ended queries and frees what their rows take.

use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use registry_core::inspection::Forgotten;
use serde::Serialize;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::guest::Guest;
use super::{json, unless_interrupted};
use crate::config::Config;
use crate::shutdown::Signals;
use crate::stdio;

/// Which queries are forgotten.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).args(["older_than", "all"])))]
pub struct PruneArgs {
    /// Forget queries that ended longer ago than this, as 90, 15m, 6h or 2d.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::values::time)]
    older_than: Option<Duration>,
    /// Forget all queries that have ended.
    #[arg(long)]
    all: bool,
    /// For programs: one JSON document on one line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    forgotten: u64,
    freed_bytes: u64,
    kept_for_debts: u64,
}

/// Forgets queries.
pub async fn prune(config: Config, args: PruneArgs) -> ProcessCode {
    let as_json = args.json;
    super::end(run(&config, args).await, as_json).await
}

async fn run(config: &Config, args: PruneArgs) -> Result<ExitCode, Failure> {
    let mut signals = Signals::listen()?;
    let guest = Guest::open(config).await?;
    let outcome = unless_interrupted(&mut signals, forget(&guest, &args)).await;
    guest.close().await;
    outcome
}

async fn forget(guest: &Guest, args: &PruneArgs) -> Result<ExitCode, Failure> {
    let forgotten = guest.registry.forget_ended(args.older_than.unwrap_or_default()).await?;
    let Forgotten { queries, bytes, kept_for_debts } = forgotten;
    let text = match args.json {
        true => json::line(&Document { forgotten: queries, freed_bytes: bytes, kept_for_debts }),
        false => sentence(forgotten),
    };
    stdio::print(&text).await?;
    Ok(ExitCode::Success)
}

fn sentence(forgotten: Forgotten) -> String {
    let queries = |number: u64| if number == 1 { "1 query".to_owned() } else { format!("{number} queries") };
    let mut text = format!("Forgot {}, freed {}.\n", queries(forgotten.queries), size(forgotten.bytes));
    if forgotten.kept_for_debts > 0 {
        let kept = queries(forgotten.kept_for_debts);
        text.push_str(&format!("Kept {kept} that may still run at the engine.\n"));
    }
    text
}

/// Bytes as a person says them: `512 bytes`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return crate::words::count(bytes, "byte");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_said_as_a_person_says_them() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (1 << 54, "16384.0 TiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }
}
