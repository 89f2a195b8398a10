//! What the binary can be told to do.

pub mod cancel;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod exit_code;
pub mod failure;
mod guest;
pub mod install;
mod json;
pub mod list;
mod progress;
pub mod prune;
pub mod result;
pub mod rows;
pub mod run;
pub mod serve;
pub mod status;
mod terminal;

use std::process::ExitCode as ProcessCode;

use exit_code::ExitCode;
use failure::Failure;

use crate::shutdown::Signals;

/// The end of a command: what failed is told on stderr, as JSON where the caller asked for that.
async fn end(outcome: Result<ExitCode, Failure>, as_json: bool) -> ProcessCode {
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            failure.report(as_json).await;
            failure.code.into()
        }
    }
}

/// The outcome of `work`, unless a person interrupts it.
async fn unless_interrupted<T>(
    signals: &mut Signals,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        outcome = work => outcome,
        () = signals.next() => Err(Failure::silent(ExitCode::Interrupted)),
    }
}
