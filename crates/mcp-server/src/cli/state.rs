//! Where queries and results are kept, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Error, ValueEnum};

use super::values::time;

const BOTH: &str = "--state-dir (ASYNC_QUERY_MCP_STATE_DIR) says where queries are kept, and --ephemeral \
    (ASYNC_QUERY_MCP_EPHEMERAL) that they are not; leave one of them out\n";

/// Where queries and results are kept, and for how long.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "State")]
pub struct StateArgs {
    /// Where queries and results are kept [default: the platform's place for state].
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_STATE_DIR", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Keep nothing beyond this process.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_EPHEMERAL", value_parser = BoolishValueParser::new())]
    pub ephemeral: bool,

    /// How long queries and results are kept.
    #[arg(long, global = true, env = "ASYNC_QUERY_MCP_TTL", value_name = "TIME", value_parser = time,
          default_value = "24h")]
    pub ttl: Duration,

    /// What happens to queries at a remote engine when the server ends.
    #[arg(
        long,
        global = true,
        env = "ASYNC_QUERY_MCP_ON_EXIT",
        value_name = "POLICY",
        default_value = "detach"
    )]
    pub on_exit: ExitPolicy,
}

impl StateArgs {
    /// Nothing can be kept in a directory and nowhere. A flag says more than a variable.
    pub(super) fn settle(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        if !self.ephemeral || self.state_dir.is_none() {
            return Ok(());
        }
        let is_flag = |id| matches.value_source(id) == Some(ValueSource::CommandLine);
        match (is_flag("ephemeral"), is_flag("state_dir")) {
            (true, false) => self.state_dir = None,
            (false, true) => self.ephemeral = false,
            (true, true) | (false, false) => {
                return Err(Error::raw(ErrorKind::ArgumentConflict, BOTH));
            }
        }
        Ok(())
    }
}

/// What happens to queries at a remote engine when the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExitPolicy {
    /// They go on, and the next start takes them up again.
    Detach,
    /// They are canceled.
    Cancel,
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, FromArgMatches};

    use super::*;
    use crate::cli::Cli;

    /// What is settled on from a line, where these variables are set.
    fn settled(line: &str, variables: &[(&str, &'static str)]) -> Result<(bool, bool), Error> {
        let given = |name: &str| variables.iter().find(|(id, _)| *id == name).map(|(_, value)| *value);
        let command = Cli::command().mut_args(|arg| match given(arg.get_id().as_str()) {
            // Stands for a variable: a value that no flag gave.
            Some(value) => arg.default_value(value),
            None => arg,
        });
        let matches =
            command.try_get_matches_from(["async-query-mcp"].into_iter().chain(line.split_whitespace()))?;
        let mut state = Cli::from_arg_matches(&matches)?.global.state;
        state.settle(&matches)?;
        Ok((state.ephemeral, state.state_dir.is_some()))
    }

    #[test]
    fn a_flag_says_more_than_a_variable_and_two_of_a_kind_are_refused() {
        let (kept, nowhere) = (("state_dir", "/d"), ("ephemeral", "true"));
        for (line, variables, found) in [
            ("--state-dir /d", vec![("ephemeral", "false")], (false, true)),
            ("--state-dir /d list", vec![nowhere], (false, true)),
            ("list --ephemeral", vec![kept], (true, false)),
            ("list", vec![kept, ("ephemeral", "false")], (false, true)),
        ] {
            assert_eq!(settled(line, &variables).unwrap(), found, "{line}");
        }
        for (line, variables) in [("--ephemeral list --state-dir /d", vec![]), ("", vec![kept, nowhere])] {
            let error = settled(line, &variables).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line}");
        }
    }
}
