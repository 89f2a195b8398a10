//! What happens to a query, and what is to be done about it.

use std::time::Duration;

use crate::backend::{CancelReply, Lookup};
use crate::error::ErrorInfo;
use crate::id::{InstanceId, RemoteHandle};
use crate::record::{RemotePhase, StopReason};
use crate::results::StoredRows;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A caller, the time limit or the server's end wants the query stopped.
    StopRequested(StopReason),
    /// The record's retention ended.
    Expired,
    /// A process takes the query up: at its start, or because the former owner is gone.
    LeaseTaken {
        /// The new owner.
        owner: InstanceId,
        /// The engine ran inside the former owner and ended with it.
        engine_gone: bool,
    },
    /// The driver is between two calls and asks what comes next.
    Resumed,
    /// The engine took the statement.
    Submitted(RemoteHandle),
    /// The submission certainly never left: no session could be had for it, or a repeat would have run it twice.
    NotSent(ErrorInfo),
    /// The engine refused the statement.
    SubmitRejected(ErrorInfo),
    /// No answer to the submission, or none that decides.
    SubmitUnclear(ErrorInfo),
    /// The engine was asked for a statement whose handle never came.
    LookedUp(Lookup),
    /// That question got no answer.
    LookupUnclear(ErrorInfo),
    /// The engine says the statement has not ended.
    StillRunning(RemotePhase),
    /// The engine does not know the handle, for so many checks in a row.
    NoData(u32),
    /// The engine that ran the statement no longer exists.
    EngineGone,
    /// The statement succeeded at the engine; its rows are still there.
    RowsReady,
    /// The statement succeeded and its rows are stored.
    RowsStored(StoredRows),
    /// The statement succeeded but its rows cannot be had.
    RowsLost(ErrorInfo),
    /// The statement ended with an error.
    RemoteFailed(ErrorInfo),
    /// The statement was stopped at the engine.
    RemoteAborted,
    /// The engine's own time limit ended the statement.
    RemoteTimedOut,
    /// A check got no answer.
    CheckUnclear(ErrorInfo),
    /// The engine answered a cancel request.
    CancelAnswered(CancelReply),
    /// A cancel request got no answer.
    CancelUnclear,
    /// The stored rows of a success are no longer there.
    RowsGone,
    /// The stored rows of a success are about to be removed to make room.
    RowsEvicted {
        /// The bytes that all results together may take.
        limit: u64,
    },
    /// The reaper made sure that nothing of this query runs at the engine.
    DebtPaid,
    /// The reaper stopped trying.
    DebtGivenUp,
}

/// What the shell does once the record is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Send the statement.
    Submit {
        /// An earlier submission of it may have arrived.
        retry: bool,
    },
    /// Ask for a statement whose handle never came.
    Lookup,
    /// Ask what the statement is doing, at the usual pace.
    Check,
    /// Send a cancel request over a connection of its own.
    SendCancel,
    /// Fetch the rows.
    Fetch,
    /// Come back with [`Event::Resumed`] after this time, or when the record changes.
    Wait(Duration),
    /// Tell the driver, if there is one, that the record changed.
    WakeDriver,
    /// The driver has nothing more to do: it closes its session and ends.
    StopDriver,
    /// A debt at the engine is now the reaper's.
    Reap,
    /// Remove the record and its rows.
    Forget,
}
