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

/// The generator spells a name with hyphens in two ways, and the commands are found by one of them.
fn with_one_spelling(script: &str) -> String {
    script.replace("async__subcmd__query__subcmd__mcp", "async__query__mcp")
}

/// Prints the completions.
pub async fn completions(args: CompletionsArgs) -> ProcessCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "async-query-mcp", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        script = with_one_spelling(&script);
    }
    let printed = stdio::print(&script).await.map_err(Into::into);
    super::end(printed.map(|()| ExitCode::Success), false).await
}
