//! Why a command could not do what was asked: a sentence for a person, or one JSON object for a program.

use std::io;

use registry_core::error::RegistryError;
use serde::Serialize;
use serde_json::json;

use super::exit_code::ExitCode;
use super::json;
use crate::lazy::OpenError;
use crate::stdio;
use crate::visible::visible_lines;

/// Why a command ended without success.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What the shell is told.
    pub code: ExitCode,
    /// Nothing is left to be said: it was said before, or nobody listens.
    silent: bool,
    message: String,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    exit_code: u8,
}

impl Failure {
    /// What went wrong.
    pub fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, silent: false, message: message.into(), next: None }
    }

    /// Only a code: everything was said before.
    pub fn silent(code: ExitCode) -> Self {
        Self { code, silent: true, message: String::new(), next: None }
    }

    /// The same with what to do next.
    #[must_use]
    pub fn next(self, step: impl Into<String>) -> Self {
        Self { next: Some(step.into()), ..self }
    }

    /// What went wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Its class in a word, for programs.
    pub fn word(&self) -> &'static str {
        word(self.code)
    }

    /// Writes it to stderr, as JSON where the caller asked for that.
    pub async fn report(&self, as_json: bool) {
        if self.silent {
            return;
        }
        let text = match as_json {
            true => self.document(),
            false => {
                let next =
                    self.next.as_ref().map(|next| format!("\n{}", visible_lines(next))).unwrap_or_default();
                format!("async-query-mcp: {}{next}\n", visible_lines(&self.message))
            }
        };
        stdio::tell(&text).await;
    }

    fn document(&self) -> String {
        let (message, next) = (self.message.as_str(), self.next.as_deref());
        let document = Document { kind: word(self.code), message, next, exit_code: self.code.number() };
        json::line(&json!({ "error": document }))
    }
}

/// The class of a failure, for programs.
fn word(code: ExitCode) -> &'static str {
    match code {
        ExitCode::Success => "none",
        ExitCode::Failed => "failed",
        ExitCode::Usage => "usage",
        ExitCode::NotFound => "not_found",
        ExitCode::Canceled => "canceled",
        ExitCode::TimedOut => "timeout",
        ExitCode::Unreachable => "unreachable",
        ExitCode::NotYet => "not_yet",
        ExitCode::Interrupted => "interrupted",
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        let code = match &error {
            RegistryError::InvalidRequest(_)
            | RegistryError::UnknownConnection { .. }
            | RegistryError::KeyReused { .. } => ExitCode::Usage,
            RegistryError::NotFound(_)
            | RegistryError::ResultExpired(_)
            | RegistryError::RowsEvicted { .. } => ExitCode::NotFound,
            RegistryError::NoResult { .. } => ExitCode::Failed,
            RegistryError::QueueFull { .. } => ExitCode::NotYet,
            RegistryError::Closed
            | RegistryError::Journal(_)
            | RegistryError::StateDir(_)
            | RegistryError::Results(_) => ExitCode::Unreachable,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Registry(error) => error.into(),
            OpenError::Engine { .. } => Self::new(ExitCode::Unreachable, error.to_string()),
        }
    }
}

impl From<io::Error> for Failure {
    /// A reader that has enough, as `head` does, is no failure.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::silent(ExitCode::Success),
            _ => Self::new(ExitCode::Unreachable, format!("cannot print: {error}")),
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// What was given is wrong, or the machine is not as it must be.
    fn from(error: anyhow::Error) -> Self {
        Self::new(ExitCode::Usage, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_as_json_is_one_line_without_control_characters() {
        let failure = Failure::new(ExitCode::NotFound, "no \u{1b}[2J\nquery").next("look");
        let text = failure.document();
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = json!({"error": {"type": "not_found", "message": "no \u{1b}[2J\nquery", "next": "look", "exit_code": 3}});
        assert_eq!(value, expected);
    }
}
