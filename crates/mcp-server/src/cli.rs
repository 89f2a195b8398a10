//! The command line: every flag has a variable, so that a client's configuration can use either.

mod answers;
mod connections;
mod limits;
mod lists;
mod logging;
mod policy;
mod state;
pub(crate) mod values;
pub(crate) mod variables;

use clap::{Args, Parser, Subcommand};

use crate::commands::cancel::CancelArgs;
use crate::commands::check::CheckArgs;
use crate::commands::completions::CompletionsArgs;
use crate::commands::doctor::DoctorArgs;
use crate::commands::exit_code;
use crate::commands::install::{InstallArgs, UninstallArgs};
use crate::commands::list::ListArgs;
use crate::commands::prune::PruneArgs;
use crate::commands::result::ResultArgs;
use crate::commands::run::RunArgs;
use crate::commands::status::StatusArgs;

pub use answers::AnswerArgs;
pub use connections::ConnectionArgs;
pub use limits::LimitArgs;
pub use logging::{LogFormat, LoggingArgs};
pub use policy::PolicyArgs;
pub use state::{ExitPolicy, StateArgs};

/// Run long SQL queries for AI agents, and by hand.
#[derive(Debug, Parser)]
#[command(name = "async-query-mcp", version, propagate_version = true, after_help = exit_code::HELP)]
pub struct Cli {
    /// What to do; `serve` when nothing is named.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What all commands share.
    #[command(flatten)]
    pub global: GlobalArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Speak MCP on stdin and stdout (the default).
    Serve,
    /// Run one statement and print its rows: on a terminal once it has ended, into a pipe or a file as they arrive. Ctrl-C
    /// cancels it; twice quits at once.
    #[command(after_help = exit_code::HELP)]
    Run(RunArgs),
    /// List what every server and command on this state directory runs and ran.
    #[command(after_help = exit_code::HELP)]
    List(ListArgs),
    /// Show everything that is known of one query, or wait for its end.
    #[command(after_help = exit_code::HELP)]
    Status(StatusArgs),
    /// Print the rows of a query.
    #[command(after_help = exit_code::HELP)]
    Result(ResultArgs),
    /// Stop queries, whichever process runs them, and tell what the engine said.
    #[command(after_help = exit_code::HELP)]
    Cancel(CancelArgs),
    /// Forget ended queries and free what their rows take.
    #[command(after_help = exit_code::HELP)]
    Prune(PruneArgs),
    /// Print what a shell needs to complete this command line.
    Completions(CompletionsArgs),
    /// Register this server with a client, to be run with the other flags given here.
    Install(InstallArgs),
    /// Take this server out of a client's configuration.
    Uninstall(UninstallArgs),
    /// Say whether a statement would be run, without running it.
    Check(CheckArgs),
    /// Look at everything that a server needs, and say how to mend what is broken.
    Doctor(DoctorArgs),
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Which databases there are.
    #[command(flatten)]
    pub connections: ConnectionArgs,
    /// What statements may do.
    #[command(flatten)]
    pub policy: PolicyArgs,
    /// Where queries are kept.
    #[command(flatten)]
    pub state: StateArgs,
    /// How much may run.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// How tool calls are answered.
    #[command(flatten)]
    pub answers: AnswerArgs,
    /// What is logged.
    #[command(flatten)]
    pub logging: LoggingArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_global_flag_has_a_variable() {
        for argument in Cli::command().get_arguments().filter(|argument| argument.is_global_set()) {
            let name = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(name.starts_with("ASYNC_QUERY_MCP_"), "--{} has none", argument.get_id());
        }
    }

    #[test]
    fn nothing_named_is_to_serve_the_sample() {
        let cli = Cli::try_parse_from(["async-query-mcp"]).unwrap();
        assert!(cli.command.is_none());
        let connections = cli.global.connections.connections().unwrap();
        assert_eq!(connections.len(), 1);
        assert!(connections[0].is_sample());
    }

    #[test]
    fn two_connections_of_one_name_are_refused() {
        let args = ["async-query-mcp", "--connection", "a=sqlite:x", "--connection", "a=sqlite:y"];
        let error = Cli::try_parse_from(args).unwrap().global.connections.connections().unwrap_err();
        assert!(error.to_string().contains("\"a\""), "{error}");
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        for (flag, value, hint) in [
            ("--page-chars", "100", "4000"),
            ("--page-chars", "48001", "48000"),
            ("--max-wait-seconds", "301", "300"),
            ("--max-wait-seconds", "-1", "300"),
            ("--max-running", "0", "1 or more"),
        ] {
            let flag = format!("{flag}={value}");
            let error = Cli::try_parse_from(["async-query-mcp", &flag]).unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }
}
