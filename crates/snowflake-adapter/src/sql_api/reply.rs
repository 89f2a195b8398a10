//! What an answer of the SQL API means, whatever was asked.

use std::time::Duration;

use registry_core::backend::BackendError;
use registry_core::error::{ErrorInfo, ErrorKind};

use super::service::Handle;
use crate::config::Whose;
use crate::error::{Ending, Fault};
use crate::http::Answer;
use crate::values::Column;
use crate::wire::sql_api::{Envelope, Metadata, PartitionInfo};

/// Larger answers are read off the runtime's threads.
const LARGE: usize = 256 * 1024;
/// A clock that is further off than this breaks signed tokens.
const CLOCK_TOLERANCE: u64 = 30;

/// One answer, read.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) meaning: Meaning,
    /// The statement that the answer is about, where it says so.
    pub(super) handle: Option<Handle>,
    pub(super) retry_after: Option<Duration>,
    /// The answer itself; rows are still in it.
    pub(super) body: Vec<u8>,
}

/// Every answer means one of these.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// The statement has not ended.
    Running,
    /// It succeeded; this is what its result looks like.
    Result(ResultHead),
    /// Rows without a description, as all parts of a result but the first.
    Rows,
    /// A request to stop was taken, or the statement was stopped.
    Canceled,
    /// The time limit stopped it.
    TimedOut,
    /// It ended with an error.
    Failed(ErrorInfo),
    /// No such statement is known.
    NotFound(ErrorInfo),
    /// The credential was not accepted.
    Unauthenticated(ErrorInfo),
    /// Not allowed.
    Forbidden(ErrorInfo),
    /// The request itself is wrong, or has come to the wrong place.
    Refused(ErrorInfo),
    /// Too many requests.
    Throttled(ErrorInfo),
    /// The service is not well.
    Down(ErrorInfo),
    /// Nobody expected this.
    Unexpected(ErrorInfo),
}

/// The description of a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResultHead {
    pub(super) columns: Vec<Column>,
    /// All rows of the statement; `None` when not all of them can be had.
    pub(super) total: Option<u64>,
    /// The rows are not all there: the result was too large for the service.
    pub(super) is_cut: bool,
    pub(super) parts: Vec<PartitionInfo>,
}

impl Meaning {
    /// The same, with the connection named where that is to blame.
    pub(super) fn about(self, whose: &Whose) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(whose.name(error)),
            Self::Unauthenticated(error) => Self::Unauthenticated(whose.name(error)),
            Self::Forbidden(error) => Self::Forbidden(whose.name(error)),
            Self::Refused(error) => Self::Refused(whose.name(error)),
            other => other,
        }
    }

    /// What is left when a caller has no use for this meaning.
    pub(super) fn into_error(self, kind: ErrorKind) -> BackendError {
        let text = match self {
            Self::Failed(error)
            | Self::NotFound(error)
            | Self::Unauthenticated(error)
            | Self::Forbidden(error)
            | Self::Refused(error)
            | Self::Throttled(error)
            | Self::Down(error)
            | Self::Unexpected(error) => return BackendError(error),
            Self::Running => "Snowflake says that the statement runs, where another answer was due",
            Self::Result(_) | Self::Rows => "Snowflake sent rows where another answer was due",
            Self::Canceled => "Snowflake says that the statement was canceled, where another answer was due",
            Self::TimedOut => {
                "Snowflake says that the statement ran out of time, where another answer was due"
            }
        };
        BackendError::new(kind, text)
    }
}

/// Reads an answer, large ones off the runtime's threads.
pub(super) async fn read(answer: Answer) -> Reply {
    if answer.body.len() < LARGE {
        return read_now(answer);
    }
    tokio::task::spawn_blocking(move || read_now(answer)).await.unwrap_or_else(|error| Reply {
        meaning: Meaning::Unexpected(ErrorInfo::new(
            ErrorKind::Internal,
            format!("reading an answer broke off: {error}"),
        )),
        handle: None,
        retry_after: None,
        body: Vec::new(),
    })
}

pub(super) fn read_now(answer: Answer) -> Reply {
    let parsed = serde_json::from_slice::<Envelope>(&answer.body);
    // An array would be read as the fields of an answer, one after the other.
    let is_object = answer.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    let is_ours = is_object && parsed.is_ok();
    let mut envelope = parsed.unwrap_or_default();
    let metadata = envelope.result_set_meta_data.take();
    let handle = envelope.statement_handle.as_deref().and_then(Handle::parse);
    let fault = Fault { code: envelope.code, sql_state: envelope.sql_state, message: envelope.message };
    let facts =
        Facts { status: answer.status, is_ours, has_handle: handle.is_some(), fault, answer: &answer };
    let meaning = facts.meaning(metadata);
    Reply { meaning, handle, retry_after: answer.retry_after, body: answer.body }
}

/// What an answer is judged by.
struct Facts<'a> {
    status: u16,
    /// It is JSON as Snowflake writes it; otherwise somebody else may have answered.
    is_ours: bool,
    has_handle: bool,
    fault: Fault,
    answer: &'a Answer,
}

impl Facts<'_> {
    /// The code comes before the status, because a 200 may carry a statement that still runs. Every pair of a status
    /// and a code ends in one of the arms, the last ones among them.
    fn meaning(&self, metadata: Option<Metadata>) -> Meaning {
        let code = self.fault.code.as_deref();
        match (self.status, code) {
            (200 | 202 | 429, Some("333333" | "333334")) => Meaning::Running,
            (200, Some("090001" | "391908") | None) => self.success(metadata),
            (200, Some("000604" | "000630" | "000709")) => self.ending(),
            (202, None) if self.is_ours && self.has_handle => Meaning::Running,
            (300..=399, _) => {
                self.refused(ErrorKind::Configuration, "Snowflake redirects, which is not followed")
            }
            (401, _) => Meaning::Unauthenticated(self.unauthenticated()),
            (403, _) => Meaning::Forbidden(self.forbidden()),
            (404, _) if self.is_ours => self.not_found(),
            (404, _) => self.refused(
                ErrorKind::Configuration,
                "there is no SQL API at this address (HTTP 404); the user must check account and host of the \
                 connection",
            ),
            (400, _) => self.bad_request(),
            (405 | 415, _) => {
                self.refused(ErrorKind::Protocol, "Snowflake does not take this kind of request")
            }
            (408, Some(_)) => Meaning::TimedOut,
            (422, Some(_)) => self.ending(),
            // A status of the statement, so only the question was one too many.
            (429, _) if self.has_handle => Meaning::Running,
            (429, _) => Meaning::Throttled(self.fault.explained(
                ErrorKind::Throttled,
                "Snowflake asks for fewer requests; wait before the next one",
            )),
            (408 | 500..=599, _) => Meaning::Down(self.down()),
            _ => Meaning::Unexpected(self.unexpected()),
        }
    }

    fn success(&self, metadata: Option<Metadata>) -> Meaning {
        match metadata {
            None if self.is_ours && self.fault.code.is_none() => Meaning::Rows,
            None => Meaning::Unexpected(self.unexpected()),
            Some(metadata) => match ResultHead::new(metadata, self.fault.code.as_deref() == Some("391908")) {
                Ok(head) => Meaning::Result(head),
                Err(text) => Meaning::Unexpected(ErrorInfo::new(ErrorKind::Protocol, text)),
            },
        }
    }

    fn ending(&self) -> Meaning {
        match self.fault.ending() {
            Ending::Failed(error) => Meaning::Failed(error),
            Ending::Aborted => Meaning::Canceled,
            Ending::TimedOut => Meaning::TimedOut,
            Ending::NotFound => self.not_found(),
        }
    }

    fn not_found(&self) -> Meaning {
        let text = "Snowflake does not know this statement, or no longer: results are kept for a day";
        Meaning::NotFound(self.fault.explained(ErrorKind::RemoteLost, text))
    }

    fn refused(&self, kind: ErrorKind, text: &str) -> Meaning {
        Meaning::Refused(self.fault.explained(kind, text))
    }

    /// Most are faults of this program; those with a code of the session name a wrong role or the like.
    fn bad_request(&self) -> Meaning {
        match self.fault.code.as_deref() {
            Some("390189" | "390201") => Meaning::Refused(self.fault.sign_in_error()),
            _ => self.refused(ErrorKind::Protocol, "Snowflake does not accept the request"),
        }
    }

    fn unauthenticated(&self) -> ErrorInfo {
        let error = self.fault.sign_in_error();
        match self.answer.clock_ahead {
            Some(ahead) if ahead.unsigned_abs() > CLOCK_TOLERANCE => {
                let side = if ahead > 0 { "ahead of" } else { "behind" };
                let clock = format!("this machine's clock is {} s {side} Snowflake's", ahead.unsigned_abs());
                ErrorInfo { message: format!("{} ({clock})", error.message), ..error }
            }
            _ => error,
        }
    }

    fn forbidden(&self) -> ErrorInfo {
        if matches!(self.fault.code.as_deref(), Some("390420" | "390421" | "390422")) {
            return self.fault.sign_in_error();
        }
        let text = "Snowflake refuses access (HTTP 403); the user must check the account's name and network policy, \
                    the role, and that the SQL API is allowed for this user";
        // With a code it is about a statement, without one about whoever asks.
        let kind = if self.fault.code.is_some() { ErrorKind::Permission } else { ErrorKind::Configuration };
        self.fault.explained(kind, text)
    }

    fn down(&self) -> ErrorInfo {
        let text = format!("Snowflake is not available at the moment (HTTP {})", self.status);
        self.fault.explained(ErrorKind::Unavailable, &text)
    }

    fn unexpected(&self) -> ErrorInfo {
        let text = match &self.answer.foreign_type {
            Some(kind) => format!(
                "the answer (HTTP {}) is {kind} instead of JSON; a proxy or a sign-in page may stand in between",
                self.status
            ),
            None if !self.is_ours => format!("the answer (HTTP {}) is no complete JSON", self.status),
            None => format!("Snowflake gave an answer that is not known (HTTP {})", self.status),
        };
        self.fault.explained(ErrorKind::Protocol, &text)
    }
}

impl ResultHead {
    fn new(metadata: Metadata, is_cut: bool) -> Result<Self, String> {
        let format = metadata.format.as_deref().unwrap_or("jsonv2");
        if !format.starts_with("json") {
            return Err(format!("Snowflake sent a result in the format {format}, which was not asked for"));
        }
        let columns = metadata.row_type.iter();
        let columns =
            columns.map(|column| Column::new(&column.name, &column.kind, column.scale, column.precision));
        // A result of one part may leave the list out.
        let parts = metadata.partition_info.filter(|parts| !parts.is_empty()).unwrap_or_else(|| {
            vec![PartitionInfo { row_count: metadata.num_rows.unwrap_or_default(), uncompressed_size: None }]
        });
        let total = metadata.num_rows.filter(|_| !is_cut);
        Ok(Self { columns: columns.collect(), total, is_cut, parts })
    }
}

#[cfg(test)]
#[path = "reply_tests.rs"]
mod tests;
