//! What `doctor` looks at, step by step. Each step names one thing; what depends on a thing that is broken is skipped,
//! so that one fault is one failure.

mod clients;
mod queries;
mod report;
mod safety;
mod snowflake;
mod sqlite;
mod state;

use std::time::Duration;

pub use report::{Mark, Report, Step};

use crate::config::Config;
use crate::connection::Target;

/// How thorough to be.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// Nothing leaves this machine.
    pub offline: bool,
    /// The longest that one answer is waited for.
    pub patience: Duration,
}

/// Looks at everything that `config` names, and at one connection only where `only` names it.
pub async fn examine(report: &mut Report, config: &Config, only: Option<&str>, how: How) {
    let mode = config.settings.policy.mode;
    state::examine(report, &config.state, config.registry.lease).await;
    for spec in config.connections.iter().filter(|spec| only.is_none_or(|name| spec.name == name)) {
        match &spec.target {
            Target::Sqlite(source) => {
                sqlite::examine(report, &spec.name, source.clone(), mode, how).await;
            }
            Target::Snowflake(name) => {
                snowflake::examine(report, &spec.name, name.clone(), mode, how).await;
            }
        }
    }
    clients::examine(report, how).await;
}
