//! Flags that may be repeated. They add up, also where some stand before the command and some behind it.

use std::ffi::OsString;

use clap::builder::Resettable;
use clap::{Arg, Args, Command, Error, FromArgMatches};

use super::GlobalArgs;

/// Puts what stands before the command in front. Where a flag stands on both sides, the parser has kept the values behind
/// the command alone.
pub(super) fn add_those_before(arguments: &[OsString], global: &mut GlobalArgs) -> Result<(), Error> {
    let no_variable = |arg: Arg| arg.env(Resettable::Reset);
    let before_command = GlobalArgs::augment_args(Command::new("async-query-mcp"))
        .mut_args(no_variable)
        .allow_external_subcommands(true);
    let before = GlobalArgs::from_arg_matches(&before_command.try_get_matches_from(arguments)?)?;
    put_in_front(before.connections.named, &mut global.connections.named);
    put_in_front(before.policy.functions, &mut global.policy.functions);
    put_in_front(before.policy.roles, &mut global.policy.roles);
    put_in_front(before.policy.warehouses, &mut global.policy.warehouses);
    Ok(())
}

/// They are the same where nothing stands behind the command.
fn put_in_front<T: PartialEq>(before: Vec<T>, all: &mut Vec<T>) {
    if *all != before {
        all.splice(0..0, before);
    }
}

#[cfg(test)]
mod tests {
    use clap::{ArgAction, CommandFactory};

    use super::*;
    use crate::cli::Cli;

    fn global(line: &str) -> GlobalArgs {
        let words = std::iter::once("async-query-mcp").chain(line.split_whitespace());
        Cli::of(&words.map(Into::into).collect::<Vec<_>>()).unwrap().global
    }

    #[test]
    fn what_stands_before_and_behind_the_command_adds_up() {
        for line in [
            "--connection a=sqlite:a.db --connection b=sqlite:b.db list",
            "--connection a=sqlite:a.db list --connection b=sqlite:b.db",
            "--mode read-only list --connection a=sqlite:a.db --connection b=sqlite:b.db",
            "--connection a=sqlite:a.db;b=sqlite:b.db",
        ] {
            let named = global(line).connections.named;
            let names: Vec<_> = named.iter().map(|connection| connection.name.as_str()).collect();
            assert_eq!(names, ["a", "b"], "{line}");
        }
    }

    #[test]
    fn every_list_adds_up() {
        let policy = global(
            "--allow-function f --allow-role r --allow-warehouse w list \
             --allow-function g --allow-role s --allow-warehouse x",
        )
        .policy;
        let lists = [policy.functions, policy.roles, policy.warehouses];
        assert_eq!(lists, [["f", "g"], ["r", "s"], ["w", "x"]]);
    }

    #[test]
    fn these_are_all_lists() {
        let command = Cli::command();
        let is_list = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append);
        let lists: Vec<_> = command.get_arguments().filter(is_list).filter_map(Arg::get_long).collect();
        assert_eq!(lists, ["connection", "allow-function", "allow-role", "allow-warehouse"]);
    }
}
