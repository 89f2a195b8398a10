//! `completions SHELL`: what a shell needs to complete this command line.

use std::process::ExitCode as ProcessCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit_code::ExitCode;
use crate::cli::Cli;
use crate::stdio;

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Prints the completions.
pub async fn completions(args: CompletionsArgs) -> ProcessCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "async-query-mcp", &mut script);
    let printed = stdio::print(&String::from_utf8_lossy(&script)).await.map_err(Into::into);
    super::end(printed.map(|()| ExitCode::Success), false).await
}
