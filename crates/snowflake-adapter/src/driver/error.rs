//! What went wrong in a call, and what Snowflake's codes mean.

use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::error::{ErrorInfo, ErrorKind};

use crate::error::Fault;
use crate::http::causes;
use crate::wire::driver::{Code, Envelope, QueryFacts};

/// Why a call has no answer that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// Nothing left this machine.
    #[error("Snowflake cannot be reached: {0}")]
    NotSent(String),
    /// It may have arrived, but no answer came.
    #[error("Snowflake gave no answer: {0}")]
    NoAnswer(String),
    /// An HTTP status other than success.
    #[error("Snowflake answered with HTTP status {status}{}", detail(message))]
    Status { status: u16, code: Option<Code>, message: String, retry_after: Option<Duration> },
    /// An answer that is none.
    #[error("{0}")]
    Protocol(String),
    /// The session has ended; another one must be opened.
    #[error("the session at Snowflake has ended; try again")]
    SessionEnded,
}

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

impl CallError {
    /// Addresses stay out of it: they may be secrets.
    pub(super) fn from_reqwest(error: &reqwest::Error) -> Self {
        let words =
            std::error::Error::source(error).map_or_else(|| "the connection failed".to_owned(), causes);
        let words = if error.is_timeout() { "it timed out".to_owned() } else { words };
        if error.is_connect() { Self::NotSent(words) } else { Self::NoAnswer(words) }
    }

    pub(super) fn from_middleware(error: reqwest_middleware::Error) -> Self {
        match error {
            reqwest_middleware::Error::Reqwest(error) => Self::from_reqwest(&error),
            reqwest_middleware::Error::Middleware(error) => match error.downcast::<Self>() {
                Ok(ours) => ours,
                Err(other) => Self::Protocol(other.to_string()),
            },
        }
    }

    /// Whether the same request may be sent again.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::NoAnswer(_) => true,
            Self::Status { status, .. } => matches!(status, 307 | 308 | 408 | 429 | 500..=599),
            Self::Protocol(_) | Self::SessionEnded => false,
        }
    }

    /// Whether the request may have taken effect.
    pub(super) fn may_have_arrived(&self) -> bool {
        match self {
            Self::NotSent(_) | Self::SessionEnded => false,
            Self::Status { status, .. } => !matches!(status, 307 | 308 | 401 | 403 | 404 | 429),
            Self::NoAnswer(_) | Self::Protocol(_) => true,
        }
    }

    /// The number that a repeat gives as its reason.
    pub(super) fn reason(&self) -> u16 {
        match self {
            Self::Status { status, .. } => *status,
            _ => 0,
        }
    }

    /// How long the server asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl From<CallError> for BackendError {
    fn from(error: CallError) -> Self {
        let kind = match &error {
            CallError::NotSent(_) | CallError::NoAnswer(_) | CallError::SessionEnded => {
                ErrorKind::Unavailable
            }
            CallError::Status { status: 429, .. } => ErrorKind::Throttled,
            CallError::Status { status: 401, .. } => ErrorKind::Authentication,
            CallError::Status { status: 403, .. } => ErrorKind::Permission,
            CallError::Status { status: 300..=399, .. } => ErrorKind::Configuration,
            CallError::Status { status: 408 | 500..=599, .. } => ErrorKind::Unavailable,
            CallError::Status { .. } | CallError::Protocol(_) => ErrorKind::Protocol,
        };
        let message = error.to_string();
        match error {
            CallError::Status { code: Some(code), .. } => Self(coded(kind, message, &code)),
            _ => Self::new(kind, message),
        }
    }
}

/// What an answer's code says about the session it came over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionVerdict {
    /// Nothing.
    Fine,
    /// Its token has expired: renew and repeat.
    Renew,
    /// It is gone: sign in again.
    SignIn,
}

pub(super) fn session_verdict(code: i64) -> SessionVerdict {
    match code {
        390_112 => SessionVerdict::Renew,
        390_104 | 390_111 | 390_113 | 390_114 | 390_115 => SessionVerdict::SignIn,
        _ => SessionVerdict::Fine,
    }
}

/// Whether a sign-in was refused because of what we signed in with: repeating it may lock the user out.
pub(super) fn rejects_credentials(code: i64) -> bool {
    matches!(code, 390_100..=390_103 | 390_105..=390_110 | 390_144 | 390_303 | 390_318 | 394_300..=394_307 | 394_400 | 394_507)
}

/// The statement was stopped, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stopped {
    /// On request.
    Canceled,
    /// By a time limit of Snowflake's.
    TimedOut,
}

/// Whether the error of a statement is that it was stopped. A time limit is told by either number.
pub(super) fn stopped(code: i64, message: &str) -> Option<Stopped> {
    match code {
        630 => Some(Stopped::TimedOut),
        604 if message.contains("timeout") => Some(Stopped::TimedOut),
        604 => Some(Stopped::Canceled),
        _ => None,
    }
}

/// What an answer to a statement tells of its failure.
pub(super) fn fault(envelope: &Envelope) -> Fault {
    let facts: QueryFacts = envelope.data_or_default();
    let code = envelope.code.clone().or(facts.error_code);
    Fault { code: code.map(|code| code.0), sql_state: facts.sql_state, message: envelope.message.clone() }
}

fn coded(kind: ErrorKind, message: String, code: &Code) -> ErrorInfo {
    match code.number() {
        Some(number) if number != 0 => ErrorInfo::new(kind, message).with_code(number, code.0.clone()),
        _ => ErrorInfo::new(kind, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_code_has_its_verdict() {
        assert_eq!(session_verdict(390_112), SessionVerdict::Renew);
        for code in [390_104, 390_111, 390_113, 390_114, 390_115] {
            assert_eq!(session_verdict(code), SessionVerdict::SignIn, "{code}");
        }
        for code in [0, 333_334, 604, 2003, 390_100] {
            assert_eq!(session_verdict(code), SessionVerdict::Fine, "{code}");
        }
    }

    #[test]
    fn each_rejection_of_credentials_is_known() {
        for code in [
            390_100, 390_144, 394_300, 394_301, 394_302, 394_303, 394_304, 394_305, 394_306, 390_303, 390_318,
        ] {
            assert!(rejects_credentials(code), "{code}");
        }
        for code in [0, 390_112, 390_111, 390_114, 390_189, 390_201] {
            assert!(!rejects_credentials(code), "{code}");
        }
    }

    #[test]
    fn a_time_limit_is_told_from_a_cancel() {
        assert_eq!(stopped(604, "SQL execution canceled"), Some(Stopped::Canceled));
        let limit = "Statement reached its statement or warehouse timeout of 5 second(s) and was canceled.";
        assert_eq!(stopped(604, limit), Some(Stopped::TimedOut));
        assert_eq!(stopped(630, limit), Some(Stopped::TimedOut));
        assert_eq!(stopped(2003, "does not exist"), None);
    }
}
