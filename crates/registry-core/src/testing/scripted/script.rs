//! What a scripted engine does with a statement, and what goes wrong with a call.

use std::time::Duration;

use serde_json::Value;

use crate::error::ErrorInfo;
use crate::results::{Cell, ColumnMeta, Flow, ResultStoreError, ResultWriter, StoredRows};

/// What becomes of a statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub(super) queued_for: Duration,
    pub(super) ends_after: Option<Duration>,
    pub(super) end: ScriptEnd,
    pub(super) rows: ScriptRows,
    pub(super) stored: Option<bool>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum ScriptEnd {
    Success,
    Failure(ErrorInfo),
    Rejected(ErrorInfo),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScriptRows {
    columns: Vec<ColumnMeta>,
    rows: RowSource,
}

#[derive(Debug, Clone, PartialEq)]
enum RowSource {
    These(Vec<Vec<Value>>),
    Count(u64),
}

impl Script {
    /// Runs for this time of the runtime's clock, then succeeds with one row that holds a 1.
    pub fn runs_for(time: Duration) -> Self {
        Self {
            queued_for: Duration::ZERO,
            ends_after: Some(time),
            end: ScriptEnd::Success,
            rows: ScriptRows { columns: vec![ColumnMeta::new("n", "INTEGER")], rows: RowSource::Count(1) },
            stored: None,
        }
    }

    /// Has ended by the first check.
    pub fn at_once() -> Self {
        Self::runs_for(Duration::ZERO)
    }

    /// Runs until it is stopped, by a cancel request or by its time limit.
    pub fn never_ends() -> Self {
        Self { ends_after: None, ..Self::at_once() }
    }

    /// Is refused by every submission.
    pub fn rejected(error: ErrorInfo) -> Self {
        Self { end: ScriptEnd::Rejected(error), ..Self::at_once() }
    }

    /// Ends with this error instead of a success.
    #[must_use]
    pub fn then_fails(self, error: ErrorInfo) -> Self {
        Self { end: ScriptEnd::Failure(error), ..self }
    }

    /// Ends with these rows, the columns given as names and types.
    #[must_use]
    pub fn with_rows(self, columns: &[(&str, &str)], rows: Vec<Vec<Value>>) -> Self {
        let columns = columns.iter().map(|(name, kind)| ColumnMeta::new(*name, *kind)).collect();
        Self { rows: ScriptRows { columns, rows: RowSource::These(rows) }, ..self }
    }

    /// Ends with one column `n` that holds 1 to `count`.
    #[must_use]
    pub fn with_count(self, count: u64) -> Self {
        Self { rows: ScriptRows { rows: RowSource::Count(count), ..self.rows }, ..self }
    }

    /// Says that it is queued for so long, then that it runs.
    #[must_use]
    pub fn queued_for(self, time: Duration) -> Self {
        Self { queued_for: time, ..self }
    }

    /// Its rows are stored when it is submitted, whatever is usual for the engine.
    #[must_use]
    pub fn rows_stored(self) -> Self {
        Self { stored: Some(true), ..self }
    }

    /// Its rows are to be fetched, whatever is usual for the engine.
    #[must_use]
    pub fn rows_at_engine(self) -> Self {
        Self { stored: Some(false), ..self }
    }
}

impl ScriptRows {
    /// Writes all rows, up to the writer's ceiling.
    pub(super) fn write(&self, mut writer: ResultWriter) -> Result<StoredRows, ResultStoreError> {
        writer.columns(self.columns.clone())?;
        let written = match &self.rows {
            RowSource::These(rows) => write_rows(&mut writer, rows)?,
            RowSource::Count(count) => write_numbers(&mut writer, *count)?,
        };
        let total = match (&self.rows, written) {
            (_, Flow::More) => None,
            (RowSource::These(rows), Flow::Full) => u64::try_from(rows.len()).ok(),
            (RowSource::Count(count), Flow::Full) => Some(*count),
        };
        writer.finish(total)
    }
}

fn write_rows(writer: &mut ResultWriter, rows: &[Vec<Value>]) -> Result<Flow, ResultStoreError> {
    for row in rows {
        let texts: Vec<String> = row.iter().map(Value::to_string).collect();
        let cells: Vec<Cell<'_>> = row.iter().zip(&texts).map(|(value, text)| cell(value, text)).collect();
        if writer.push(&cells)? == Flow::Full {
            return Ok(Flow::Full);
        }
    }
    Ok(Flow::More)
}

fn write_numbers(writer: &mut ResultWriter, count: u64) -> Result<Flow, ResultStoreError> {
    for number in 1..=count {
        if writer.push(&[Cell::Int(i64::try_from(number).unwrap_or(i64::MAX))])? == Flow::Full {
            return Ok(Flow::Full);
        }
    }
    Ok(Flow::More)
}

/// Arrays and objects go as their JSON text.
fn cell<'a>(value: &'a Value, text: &'a str) -> Cell<'a> {
    match value {
        Value::Null => Cell::Null,
        Value::Bool(truth) => Cell::Bool(*truth),
        Value::String(words) => Cell::Text(words),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Cell::Int(whole),
            (None, Some(float)) => Cell::Float(float),
            (None, None) => Cell::Decimal(text),
        },
        Value::Array(_) | Value::Object(_) => Cell::Text(text),
    }
}

/// One thing that goes wrong with one call.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// No session is to be had.
    OpenFails,
    /// Opening a session never answers.
    OpenStalls,
    /// Closing a session fails; it counts as closed.
    CloseFails,
    /// Closing a session never answers; it counts as closed.
    CloseStalls,
    /// The submission is lost on its way, and the answer is unclear.
    SubmitLost,
    /// The submission arrives, and the answer is unclear.
    SubmitAnswerLost,
    /// The answer is unclear at once, and the submission arrives after this time.
    SubmitArrivesLate(Duration),
    /// The engine refuses the submission.
    SubmitRejected(ErrorInfo),
    /// The submission is lost on its way, and nothing ever answers.
    SubmitStalls,
    /// The submission arrives, and nothing ever answers.
    SubmitAnswerStalls,
    /// The statement is not found, although it may be there.
    LookupMisses,
    /// The question gets no answer.
    LookupUnclear,
    /// The question never returns.
    LookupStalls,
    /// The check gets no answer.
    CheckUnclear,
    /// The engine does not know the handle for now.
    CheckNoData,
    /// The check never returns.
    CheckStalls,
    /// The rows cannot be fetched this time.
    FetchFails,
    /// The rows cannot be fetched, now or later.
    FetchFailsForGood(ErrorInfo),
    /// The fetch never returns.
    FetchStalls,
    /// The cancel request is lost on its way.
    CancelLost,
    /// The cancel request takes effect, and its answer is lost.
    CancelAnswerLost,
    /// The engine refuses to stop the statement.
    CancelRefused(ErrorInfo),
    /// The engine says that nothing runs, and stops nothing.
    CancelNotRunning,
    /// The engine takes the request and does nothing.
    CancelIgnored,
    /// The cancel request never returns and has no effect.
    CancelStalls,
    /// The question for the fence never returns.
    FenceStalls,
}

/// The calls of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// `Backend::open_session`.
    Open,
    /// `Session::submit`.
    Submit,
    /// `Session::lookup`.
    Lookup,
    /// `Session::check`.
    Check,
    /// `Session::fetch`.
    Fetch,
    /// `Backend::cancel`.
    Cancel,
    /// `Session::close`.
    Close,
    /// `Backend::fence`.
    Fence,
}

impl Fault {
    /// The call that it befalls.
    pub fn call(&self) -> Call {
        match self {
            Self::OpenFails | Self::OpenStalls => Call::Open,
            Self::CloseFails | Self::CloseStalls => Call::Close,
            Self::SubmitLost
            | Self::SubmitAnswerLost
            | Self::SubmitArrivesLate(_)
            | Self::SubmitRejected(_)
            | Self::SubmitStalls
            | Self::SubmitAnswerStalls => Call::Submit,
            Self::LookupMisses | Self::LookupUnclear | Self::LookupStalls => Call::Lookup,
            Self::CheckUnclear | Self::CheckNoData | Self::CheckStalls => Call::Check,
            Self::FetchFails | Self::FetchFailsForGood(_) | Self::FetchStalls => Call::Fetch,
            Self::CancelLost
            | Self::CancelAnswerLost
            | Self::CancelRefused(_)
            | Self::CancelNotRunning
            | Self::CancelIgnored
            | Self::CancelStalls => Call::Cancel,
            Self::FenceStalls => Call::Fence,
        }
    }
}
