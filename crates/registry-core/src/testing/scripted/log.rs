//! What a scripted engine saw.

use std::time::Duration;

use super::script::Call;
use crate::id::{QueryId, RemoteHandle, RequestId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Since the engine was made.
    pub at: Duration,
    /// Over which session; each cancel request has its own.
    pub session: u64,
    /// What.
    pub what: Logged,
}

/// What happened. A call is logged when it begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Logged {
    /// A session was opened.
    Opened,
    /// No session was opened, though one was asked for.
    OpenFailed,
    /// A session was closed as promised.
    Closed,
    /// A session went without having been closed: its process died, or its owner forgot.
    Dropped,
    /// A call over a closed session.
    UsedAfterClose(Call),
    /// A statement was sent.
    Submitted(Sent),
    /// A statement was looked for.
    LookedUp(RequestId),
    /// A statement was checked.
    Checked(RemoteHandle),
    /// Rows were asked for.
    Fetched(RemoteHandle),
    /// A stop was asked for.
    Canceled(RemoteHandle),
    /// What holds writes back was asked.
    FenceAsked,
}

/// A submission as the engine saw it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The registry's name for the query.
    pub query_id: QueryId,
    /// The same for every repeat.
    pub request_id: RequestId,
    /// The statement.
    pub sql: String,
    /// The limit that the engine was given.
    pub time_limit: Duration,
    /// The mark for the engine's own history.
    pub tag: String,
    /// It was sent as a repeat.
    pub retry: bool,
}

impl Logged {
    /// The call that this is, apart from a use that should not be.
    pub fn call(&self) -> Option<Call> {
        match self {
            Self::Opened | Self::OpenFailed => Some(Call::Open),
            Self::Closed => Some(Call::Close),
            Self::Submitted(_) => Some(Call::Submit),
            Self::LookedUp(_) => Some(Call::Lookup),
            Self::Checked(_) => Some(Call::Check),
            Self::Fetched(_) => Some(Call::Fetch),
            Self::Canceled(_) => Some(Call::Cancel),
            Self::FenceAsked => Some(Call::Fence),
            Self::Dropped | Self::UsedAfterClose(_) => None,
        }
    }
}
