//! What a statement may do here: the operator's mode, and what the reading of its text says.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use registry_core::QueryRegistry;
use registry_core::backend::FenceKind;
use registry_core::options::{QueryContext, QueryRequest};
use sql_guard::{Allowances, Dialect, Kind, Rule, Verdict};

use crate::error::ToolError;

/// What statements may do, chosen by whoever starts the server and by nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Mode {
    /// Statements that write are refused.
    #[default]
    ReadOnly,
    /// Statements that write are run once a person has confirmed each of them.
    ReadWrite,
}

impl Mode {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The mode, and what its operator allows beyond what is known to be harmless.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What statements may do.
    pub mode: Mode,
    /// What the operator vouches for.
    pub allowances: Arc<Allowances>,
    /// Roles that a statement may name.
    pub roles: Vec<String>,
    /// Warehouses that a statement may name.
    pub warehouses: Vec<String>,
}

/// An engine shows what it refuses within this time, or we go by our own reading.
const FENCE_PATIENCE: Duration = Duration::from_secs(2);

/// What happens with a statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// It runs. `reads` when it is known to change nothing.
    Run {
        /// Nothing is changed by it.
        reads: bool,
    },
    /// It runs once a person has confirmed it.
    Ask(Verdict),
    /// It does not run.
    Refuse(Verdict),
}

impl Policy {
    /// What happens with the statement of `request` on an engine of `dialect`.
    pub async fn rule(&self, request: &QueryRequest, dialect: Dialect, registry: &QueryRegistry) -> Ruling {
        // Snowflake's rights hold back writes, but not a function that a user made.
        let is_embedded = dialect == Dialect::Sqlite;
        match self.read(&request.sql, dialect) {
            // The engine reads its own dialect better than we do; where it refuses what writes, it decides.
            Ruling::Refuse(verdict) if is_embedded && self.is_unreadable(&verdict) => {
                match registry.fence(request.connection.as_deref(), FENCE_PATIENCE).await {
                    Ok(fence) if fence.kind == FenceKind::Engine => Ruling::Run { reads: true },
                    Ok(_) | Err(_) => Ruling::Refuse(verdict),
                }
            }
            ruling => ruling,
        }
    }

    /// Refuses a role or a warehouse that the operator does not offer: no tool call widens what an agent may do.
    pub fn check(&self, context: &QueryContext) -> Result<(), ToolError> {
        let choices = [
            ("role", &context.role, &self.roles, "--allow-role"),
            ("warehouse", &context.warehouse, &self.warehouses, "--allow-warehouse"),
        ];
        for (name, chosen, offered, flag) in choices {
            if let Some(chosen) = chosen.as_ref().filter(|chosen| !offered.contains(chosen)) {
                return Err(not_offered(name, chosen, offered, flag));
            }
        }
        Ok(())
    }

    fn is_unreadable(&self, verdict: &Verdict) -> bool {
        self.mode == Mode::ReadOnly && verdict.kind == Kind::Write && verdict.rule == Rule::Unparsed
    }

    /// What happens with `sql` by its text alone.
    fn read(&self, sql: &str, dialect: Dialect) -> Ruling {
        let verdict = sql_guard::judge(sql, dialect, &self.allowances);
        tracing::info!(
            verdict = verdict.kind.as_str(),
            rule = verdict.rule.as_str(),
            hash = format_args!("{:016x}", verdict.hash),
            bytes = verdict.length,
            dialect = ?dialect,
            mode = %self.mode,
            "statement judged"
        );
        match (verdict.kind, self.mode) {
            (Kind::Read | Kind::Metadata, _) => Ruling::Run { reads: true },
            (Kind::Write, Mode::ReadWrite) => Ruling::Ask(verdict),
            (Kind::Write, Mode::ReadOnly) | (Kind::Refused, _) => Ruling::Refuse(verdict),
        }
    }

    /// The answer to a statement that does not run.
    pub fn refusal(&self, verdict: &Verdict) -> ToolError {
        let read_only = self.mode == Mode::ReadOnly && verdict.kind == Kind::Write;
        let frame = if read_only {
            "The statement was not run: this server is read-only. "
        } else {
            "The statement was not run. "
        };
        let mut error = ToolError::new("statement_refused", format!("{frame}{}", verdict.message))
            .with("error.rule", verdict.rule.as_str())
            .with("error.retryable", false);
        if let Some(position) = verdict.position {
            error = error.with("line", position.line).with("column", position.column);
        }
        let user = if read_only {
            " Only the user can allow writes, by starting the server with --mode read-write."
        } else {
            ""
        };
        error.next(format!("{}{user}", verdict.mend))
    }
}

fn not_offered(name: &str, chosen: &str, offered: &[String], flag: &str) -> ToolError {
    let user = format!("Only the user can offer a {name}, by starting the server with {flag} NAME.");
    let (message, next) = match offered {
        [] => (format!("The {name} cannot be chosen here."), format!("Leave {name} out. {user}")),
        offered => (
            format!("The {name} {chosen:?} is not one of those that may be chosen: {}.", offered.join(", ")),
            format!("Pass one of them, or leave {name} out. {user}"),
        ),
    };
    ToolError::new("not_offered", format!("The statement was not run. {message}"))
        .with("error.retryable", false)
        .next(next)
}
