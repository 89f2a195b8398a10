//! What became of a client's configuration, told to a person or to a program.

use serde::Serialize;

use crate::clients::Client;
use crate::commands::exit_code::ExitCode;
use crate::commands::failure::Failure;
use crate::commands::json;
use crate::stdio;

/// What `install` or `uninstall` came to.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The entry was written.
    Installed,
    /// The entry was there as it is to be.
    AlreadyInstalled,
    /// The entry was taken out.
    Uninstalled,
    /// There is no such entry.
    NotInstalled,
    /// The change was only shown.
    DryRun,
}

#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) outcome: Outcome,
    pub(super) client: &'a str,
    pub(super) name: &'a str,
    pub(super) file: String,
    /// The difference that was made, or is to be; secrets in it are covered.
    pub(super) change: &'a str,
    pub(super) message: &'a str,
}

impl Report<'_> {
    /// A person has seen the change before, and reads the message where the question was.
    pub(super) async fn tell(&self, as_json: bool) -> Result<ExitCode, Failure> {
        if as_json {
            stdio::print(&json::line(self)).await?;
        } else if !self.message.is_empty() {
            stdio::tell(&format!("async-query-mcp: {}\n", self.message)).await;
        }
        Ok(ExitCode::Success)
    }
}

/// The entry as it stands in a client's file, and the client's link that adds it.
#[derive(Debug, Serialize)]
pub(super) struct Printed<'a> {
    pub(super) client: &'a str,
    pub(super) entry: &'a serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<String>,
}

/// How a client is called on the command line.
pub(super) fn word(client: Client) -> String {
    use clap::ValueEnum;
    client.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}
