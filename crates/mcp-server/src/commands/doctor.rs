//! `doctor`: looks at everything that a server needs, and says how to mend what is broken.

mod print;

use std::process::ExitCode as ProcessCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::exit_code::ExitCode;
use super::failure::Failure;
use super::terminal::Paint;
use crate::config::Config;
use crate::doctor::{How, Report, examine};
use crate::stdio;

/// What to look at.
#[derive(Debug, Args)]
#[command(after_help = "At Snowflake it signs in as the connection does and runs: select current_user(), \
    current_role(); show warehouses like '...'; select 1; and select system$wait(60), which it stops. None of them uses \
    a warehouse, so none costs its time. With --offline nothing is sent. It exits with 0 when nothing failed, else \
    with 1.")]
pub struct DoctorArgs {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Look only at what is on this machine.
    #[arg(long)]
    pub offline: bool,
    /// Look only at this connection [default: all].
    #[arg(long = "on", value_name = "NAME")]
    pub on: Option<String>,
    /// The longest that one answer is waited for, as 5, 5s or 1m.
    #[arg(long, value_name = "TIME", value_parser = crate::cli::values::time, default_value = "15s")]
    pub patience: Duration,
}

/// Looks, and prints what it found.
pub async fn doctor(config: Config, args: DoctorArgs) -> ProcessCode {
    let as_json = args.json;
    super::end(run(&config, args).await, as_json).await
}

async fn run(config: &Config, args: DoctorArgs) -> Result<ExitCode, Failure> {
    if let Some(name) = args.on.as_ref().filter(|name| !config.settings.connections.contains(name)) {
        let known = config.settings.connections.join(", ");
        let unknown = format!("there is no connection {name:?}; there are: {known}");
        return Err(Failure::new(ExitCode::Usage, unknown));
    }
    let mut report = Report::default();
    let how = How { offline: args.offline, patience: args.patience };
    examine(&mut report, config, args.on.as_deref(), how).await;
    let text = if args.json {
        let version = env!("CARGO_PKG_VERSION");
        format!("{:#}\n", json!({ "version": version, "ok": report.is_good(), "steps": report.steps() }))
    } else {
        print::text(&report, Paint::of_stdout())
    };
    stdio::print(&text).await?;
    Ok(if report.is_good() { ExitCode::Success } else { ExitCode::Failed })
}
