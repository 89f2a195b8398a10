//! What the process tells the shell that started it.

use std::process::ExitCode as ProcessCode;

use registry_core::error::ErrorKind;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};

use crate::shutdown;

/// The same in words, for the help of every command.
pub const HELP: &str = "\
Exit codes:
  0    done; for a query: it succeeded
  1    the query failed
  2    the command line or the configuration is wrong
  3    no such query here, or its rows are gone
  4    the query was canceled
  5    the query was stopped by its time limit
  6    the database, the state directory or stdout cannot be reached or used
  7    not yet: the query still runs, or the engine has not confirmed that it stopped
  130  interrupted";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Done.
    Success,
    /// The query failed.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// No such query, or its rows are gone.
    NotFound,
    /// The query was canceled.
    Canceled,
    /// The query was stopped by its time limit.
    TimedOut,
    /// The database, the state directory or stdout cannot be reached or used.
    Unreachable,
    /// The query still runs, or the engine has not confirmed that it stopped.
    NotYet,
    /// A person interrupted the command.
    Interrupted,
}

impl ExitCode {
    /// The number that the shell sees.
    pub fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Canceled => 4,
            Self::TimedOut => 5,
            Self::Unreachable => 6,
            Self::NotYet => 7,
            Self::Interrupted => shutdown::INTERRUPTED,
        }
    }

    /// How the query stands.
    pub fn of(snapshot: &QuerySnapshot) -> Self {
        match snapshot.status {
            QueryStatus::Pending | QueryStatus::Running => Self::NotYet,
            QueryStatus::Succeeded => Self::Success,
            QueryStatus::Failed => snapshot.error.as_ref().map_or(Self::Failed, |error| of_kind(error.kind)),
            QueryStatus::Canceled => Self::Canceled,
            QueryStatus::Timeout => {
                snapshot.error.as_ref().map_or(Self::TimedOut, |error| of_kind(error.kind))
            }
        }
    }
}

fn of_kind(kind: ErrorKind) -> ExitCode {
    match kind {
        ErrorKind::Authentication
        | ErrorKind::Configuration
        | ErrorKind::Unavailable
        | ErrorKind::Throttled => ExitCode::Unreachable,
        ErrorKind::Timeout => ExitCode::TimedOut,
        ErrorKind::Sql
        | ErrorKind::Refused
        | ErrorKind::Permission
        | ErrorKind::ResourceLimit
        | ErrorKind::CanceledExternally
        | ErrorKind::EngineStopped
        | ErrorKind::RemoteLost
        | ErrorKind::SubmitLost
        | ErrorKind::ResultFetch
        | ErrorKind::ResultStore
        | ErrorKind::Protocol
        | ErrorKind::Internal => ExitCode::Failed,
    }
}

impl From<ExitCode> for ProcessCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_code_once() {
        let codes = [
            ExitCode::Success,
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::NotFound,
            ExitCode::Canceled,
            ExitCode::TimedOut,
            ExitCode::Unreachable,
            ExitCode::NotYet,
            ExitCode::Interrupted,
        ];
        let listed: Vec<u8> =
            HELP.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
        assert_eq!(listed, codes.map(ExitCode::number));
    }
}
