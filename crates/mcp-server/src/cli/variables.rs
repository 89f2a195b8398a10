//! The command line as it is read: a variable that says nothing is as if it were not there, and a number with a minus is
//! a number.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, Error, FromArgMatches};

use super::values::is_flag;
use super::{Cli, lists};

impl Cli {
    /// What this process was started with; ends it where that is wrong or asks for help.
    pub fn of_process() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        Self::of(&arguments).unwrap_or_else(|error| error.exit())
    }

    pub(super) fn of(arguments: &[OsString]) -> Result<Self, Error> {
        let matches = command().try_get_matches_from(arguments).map_err(|error| blamed(error, arguments))?;
        let mut cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command()))?;
        lists::add_those_before(arguments, &mut cli.global)?;
        cli.global.state.settle(&matches)?;
        Ok(cli)
    }
}

/// What is wrong with a line. A flag that does not exist may have been taken for a statement that begins with a comment; it
/// is to blame, and not what follows it.
fn blamed(error: Error, arguments: &[OsString]) -> Error {
    let strict = |arg: Arg| match arg.is_allow_hyphen_values_set() {
        true => arg.allow_hyphen_values(false),
        false => arg,
    };
    let names_flag = |error: &Error| matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(name)) if is_flag(name));
    let found = command().mut_subcommands(|one| one.mut_args(strict)).try_get_matches_from(arguments).err();
    found.filter(|error| error.kind() == ErrorKind::UnknownArgument && names_flag(error)).unwrap_or(error)
}

/// The command line, with those of its variables that say something.
pub(crate) fn command() -> Command {
    with_numbers(without_unset(Cli::command()))
}

/// What is wrong with `--limit -1` is the number, which no flag of ours looks like.
fn with_numbers(command: Command) -> Command {
    let may_be_number = |arg: Arg| match arg.is_positional() || !arg.get_action().takes_values() {
        true => arg,
        false => arg.allow_negative_numbers(true),
    };
    command.mut_args(may_be_number).mut_subcommands(with_numbers)
}

fn without_unset(command: Command) -> Command {
    command.mut_args(listening).mut_subcommands(without_unset)
}

fn listening(arg: Arg) -> Arg {
    let value = arg.get_env().and_then(std::env::var_os);
    let is_unset = value.is_some_and(|value| value.to_str().is_some_and(says_nothing));
    if is_unset { arg.env(Resettable::Reset) } else { arg }
}

/// A client passes a setting that its user has cleared as an empty text, or as the placeholder that it did not fill in.
fn says_nothing(value: &str) -> bool {
    let placeholder = value.strip_prefix("${user_config.").and_then(|rest| rest.strip_suffix('}'));
    let is_key = |key: &str| key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    value.is_empty() || placeholder.is_some_and(is_key)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::process;

    use clap::parser::ValueSource;

    use super::*;

    /// Set for the process that reads its variables.
    const READS: &str = "READS_ITS_VARIABLES";

    fn with_variables(command: &Command) -> Vec<(String, String)> {
        let own = command.get_arguments().filter_map(|arg| {
            Some((arg.get_id().to_string(), arg.get_env()?.to_str().unwrap_or_default().to_owned()))
        });
        own.chain(command.get_subcommands().flat_map(with_variables)).collect()
    }

    /// Not a claim but the other process: does nothing unless it is started by [`read`].
    #[test]
    fn other_process() {
        if std::env::var_os(READS).is_none() {
            return;
        }
        let matches = command().try_get_matches_from(["async-query-mcp"]).unwrap();
        let cli = Cli::from_arg_matches(&matches).unwrap();
        let heard = with_variables(&Cli::command())
            .into_iter()
            .filter(|(id, _)| matches.value_source(id) == Some(ValueSource::EnvVariable))
            .map(|(_, variable)| variable);
        // The test harness captures what is printed through it, so the line goes to the stream itself.
        writeln!(io::stdout(), "\nread {:?} {cli:?}", heard.collect::<Vec<_>>()).unwrap();
    }

    /// What another process makes of its variables: those that it heard, and all settings.
    fn read(variables: &[(String, &str)]) -> String {
        let mut child = process::Command::new(std::env::current_exe().unwrap());
        for (_, variable) in with_variables(&Cli::command()) {
            child.env_remove(variable);
        }
        child.args(["--exact", "cli::variables::tests::other_process", "--nocapture"]).env(READS, "1");
        let output = child.envs(variables.iter().map(|(name, value)| (name, value))).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("read "));
        line.unwrap_or_else(|| panic!("{variables:?}: {text}")).to_owned()
    }

    #[test]
    fn every_variable_that_says_nothing_is_as_if_it_were_not_there() {
        let without = read(&[]);
        assert!(without.starts_with("[] "), "{without}");
        let variables = with_variables(&Cli::command());
        assert!(variables.len() > 20, "{variables:?}");
        for nothing in ["", "${user_config.some_setting}"] {
            let all: Vec<_> = variables.iter().map(|(_, name)| (name.clone(), nothing)).collect();
            for one in &all {
                assert_eq!(read(std::slice::from_ref(one)), without, "{one:?}");
            }
            assert_eq!(read(&all), without);
        }
    }

    #[test]
    fn a_variable_that_says_something_is_heard() {
        let name = |name: &str| format!("ASYNC_QUERY_MCP_{name}");
        let read = read(&[(name("EXPORT_DIR"), "/e"), (name("ALLOW_CORTEX"), "true"), (name("TTL"), "")]);
        assert!(
            read.contains("[\"ASYNC_QUERY_MCP_ALLOW_CORTEX\", \"ASYNC_QUERY_MCP_EXPORT_DIR\"]"),
            "{read}"
        );
        assert!(read.contains("allow_cortex: true") && read.contains("export_dir: Some(\"/e\")"), "{read}");
    }

    #[test]
    fn the_command_line_as_it_is_read_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn only_a_whole_placeholder_says_nothing() {
        for nothing in ["", "${user_config.mode}", "${user_config.export-dir}"] {
            assert!(says_nothing(nothing), "{nothing:?}");
        }
        for something in
            [" ", ";", "0", "${HOME}", "x${user_config.mode}", "${user_config.a}/${user_config.b}"]
        {
            assert!(!says_nothing(something), "{something:?}");
        }
    }
}
