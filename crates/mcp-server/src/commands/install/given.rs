//! The flags of a command line that the server is to be started with: those that were typed, and no others.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use sqlite_adapter::SqliteSource;

use super::InstallArgs;
use crate::cli::variables;
use crate::clients::places::absolute;
use crate::connection::{ConnectionSpec, Target};

/// A flag as it was typed, its path made absolute: the client starts the server from a directory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

impl Flag {
    /// As a client passes it on.
    pub(super) fn to_args(&self) -> Vec<String> {
        let flag = format!("--{}", self.name);
        match &self.value {
            None => vec![flag],
            // Apart, such a value would be taken for a flag.
            Some(value) if value.starts_with('-') => vec![format!("{flag}={value}")],
            Some(value) => vec![flag, value.clone()],
        }
    }
}

/// The flags among `args` that are not `install`'s own, seen from `directory`.
pub(super) fn flags(args: impl IntoIterator<Item = OsString>, directory: &Path) -> anyhow::Result<Vec<Flag>> {
    let mut command = variables::command();
    command.build();
    let matches = command.clone().try_get_matches_from(args)?;
    let (name, matches) = matches.subcommand().context("no command was given")?;
    let own = InstallArgs::augment_args(Command::new("own"));
    let is_own = |arg: &Arg| own.get_arguments().any(|known| known.get_id() == arg.get_id());
    let mut flags = Vec::new();
    let known = command.find_subcommand(name).context("the command has no flags")?;
    for arg in known.get_arguments().filter(|arg| !is_own(arg)) {
        flags.extend(typed(arg, matches, directory)?);
    }
    Ok(flags)
}

fn typed(arg: &Arg, matches: &ArgMatches, directory: &Path) -> anyhow::Result<Vec<Flag>> {
    let id = arg.get_id().as_str();
    let given = matches.try_contains_id(id).unwrap_or(false);
    let (Some(name), true) = (arg.get_long(), given) else { return Ok(Vec::new()) };
    if matches.value_source(id) != Some(ValueSource::CommandLine) {
        return Ok(Vec::new());
    }
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Ok(vec![Flag { name: name.to_owned(), value: None }]);
    }
    let mut flags = Vec::new();
    for value in matches.get_raw(id).into_iter().flatten() {
        let value = value.to_str().with_context(|| format!("the value of --{name} is not UTF-8"))?;
        flags.push(Flag { name: name.to_owned(), value: Some(located(arg, value, directory)) });
    }
    Ok(flags)
}

/// A value that names a file, from anywhere.
fn located(arg: &Arg, value: &str, directory: &Path) -> String {
    let kind = arg.get_value_parser().type_id();
    let text = |path: PathBuf| absolute(&path, directory).display().to_string();
    if kind == TypeId::of::<PathBuf>() {
        return text(PathBuf::from(value));
    }
    let (name, target) = if kind == TypeId::of::<Target>() {
        (String::new(), value.parse::<Target>().ok())
    } else if kind == TypeId::of::<ConnectionSpec>() {
        let spec = value.parse::<ConnectionSpec>().ok();
        (
            spec.as_ref().map_or_else(String::new, |spec| format!("{}=", spec.name)),
            spec.map(|spec| spec.target),
        )
    } else {
        return value.to_owned();
    };
    match target {
        Some(Target::Sqlite(SqliteSource::File(path))) => format!("{name}sqlite:{}", text(path)),
        Some(Target::Sqlite(_) | Target::Snowflake(_)) | None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[&str]) -> Vec<String> {
        let line = std::iter::once("async-query-mcp").chain(line.iter().copied()).map(OsString::from);
        flags(line, Path::new("/data")).unwrap().iter().flat_map(Flag::to_args).collect()
    }

    #[test]
    fn only_what_was_typed_is_passed_on() {
        assert_eq!(args(&["install", "cursor"]), Vec::<String>::new());
        assert_eq!(
            args(&["install", "cursor", "--name", "x", "--yes", "--env", "A=b", "--project"]),
            Vec::<String>::new()
        );
        assert_eq!(
            args(&["install", "cursor", "--max-running", "2", "--mode", "read-write", "--on-exit", "cancel"]),
            ["--mode", "read-write", "--on-exit", "cancel", "--max-running", "2"]
        );
    }

    #[test]
    fn flags_count_before_and_behind_the_command() {
        let expected = ["--database", "sqlite:/data/shop.db", "--ephemeral"];
        assert_eq!(args(&["--database", "sqlite:shop.db", "install", "cursor", "--ephemeral"]), expected);
    }

    #[test]
    fn paths_are_made_absolute_and_other_values_stay() {
        let named = args(&[
            "install",
            "vscode",
            "--connection",
            "a=sqlite:./x.db;b=snowflake",
            "--connection",
            "c=snowflake:d",
        ]);
        assert_eq!(
            named,
            [
                "--connection",
                "a=sqlite:/data/x.db",
                "--connection",
                "b=snowflake",
                "--connection",
                "c=snowflake:d"
            ]
        );
        assert_eq!(args(&["install", "vscode", "--state-dir", "state"]), ["--state-dir", "/data/state"]);
        assert_eq!(args(&["install", "vscode", "--state-dir", "/s"]), ["--state-dir", "/s"]);
        assert_eq!(args(&["install", "vscode", "--database", ":memory:"]), ["--database", ":memory:"]);
    }

    #[test]
    fn a_value_that_looks_like_a_flag_stays_with_its_flag() {
        let flag = Flag { name: "log-level".to_owned(), value: Some("-x".to_owned()) };
        assert_eq!(flag.to_args(), ["--log-level=-x"]);
    }
}
