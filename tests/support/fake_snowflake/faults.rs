//! Misbehaviour on demand: what goes wrong, where, and how often.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::history::lock;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// The kind of call: `submit`, `check`, `fetch`, `chunk`, `cancel`, `login`, `renew`, `heartbeat`, `logout` or
    /// `any`.
    pub endpoint: String,
    /// How many calls it meets.
    #[serde(default = "once")]
    pub times: u32,
    /// How many calls pass before it begins.
    #[serde(default)]
    pub skip: u32,
    /// Only calls whose path, query or body holds this text.
    #[serde(default)]
    pub holding: String,
    /// The call has its effect and only the answer goes wrong. Where the answer itself is what changes, that is so
    /// in any case.
    #[serde(default)]
    pub after_effect: bool,
    /// What goes wrong.
    #[serde(flatten)]
    pub kind: Misbehaviour,
}

/// What goes wrong with an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Misbehaviour {
    /// The connection is closed without an answer.
    Lost,
    /// The connection is reset.
    Reset,
    /// The connection stays open and silent.
    HalfOpen,
    /// A bare status: 401, 429, 500, 502, 503, 504.
    Status {
        /// The status.
        status: u16,
        /// The value of a `Retry-After` header.
        #[serde(default)]
        retry_after: Option<u32>,
    },
    /// 429 with a body that says the statement is still running.
    BusyStatus,
    /// A refusal in words of its own, in the form of both protocols.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The code, such as `390422`.
        code: String,
        /// The words.
        message: String,
    },
    /// An error code of the driver's envelope.
    Code {
        /// The code, such as `390111`.
        code: String,
    },
    /// The head of the answer comes late.
    SlowHeaders {
        /// So late.
        ms: u64,
    },
    /// The body comes in ten pieces.
    SlowBody {
        /// The pause before each piece.
        ms: u64,
    },
    /// The connection ends in the middle of the body.
    CutBody,
    /// The body is gzip that stops half way, in an answer that is otherwise whole.
    TruncatedGzip,
    /// A page for people.
    Html {
        /// The status it comes with.
        #[serde(default = "ok")]
        status: u16,
    },
    /// Off to another place.
    Redirect {
        /// The place.
        location: String,
    },
    /// A body without end, or nearly.
    HugeBody {
        /// Its size.
        bytes: usize,
    },
    /// A body that says JSON and is none.
    NotJson,
    /// The first half of a JSON text.
    HalfJson,
    /// The handle of another statement.
    DuplicateHandle,
    /// A `Date` header that is wrong.
    ClockSkew {
        /// By so much.
        seconds: i64,
    },
    /// Chunk addresses that lead to another host, over http.
    ForeignChunks {
        /// What stands in the place of the service's own address.
        base: String,
    },
}

fn once() -> u32 {
    1
}

fn ok() -> u16 {
    200
}

impl Fault {
    /// A fault of one call.
    pub fn once(endpoint: &str, kind: Misbehaviour) -> Self {
        let endpoint = endpoint.to_owned();
        Self { endpoint, times: 1, skip: 0, holding: String::new(), after_effect: false, kind }
    }

    /// The same fault, of so many calls.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// The same fault, after the call had its effect.
    #[must_use]
    pub fn after_effect(self) -> Self {
        Self { after_effect: true, ..self }
    }

    /// Whether the call still does what it asks for.
    pub(super) fn has_effect(&self) -> bool {
        let kind = &self.kind;
        self.after_effect
            || !matches!(
                kind,
                Misbehaviour::Lost
                    | Misbehaviour::Reset
                    | Misbehaviour::HalfOpen
                    | Misbehaviour::Status { .. }
                    | Misbehaviour::BusyStatus
                    | Misbehaviour::Code { .. }
                    | Misbehaviour::Refused { .. }
                    | Misbehaviour::Redirect { .. }
            )
    }

    /// The name in the log.
    pub(super) fn name(&self) -> Value {
        serde_json::to_value(&self.kind).map_or(Value::Null, |mut value| value["fault"].take())
    }
}

/// The faults to come; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    waiting: Arc<Mutex<Vec<Fault>>>,
}

impl Faults {
    /// Those of a file, a JSON array.
    pub(super) fn open(path: Option<&Path>) -> std::io::Result<Self> {
        let faults = Self::default();
        if let Some(path) = path {
            let given: Vec<Fault> = serde_json::from_slice(&std::fs::read(path)?)?;
            given.into_iter().for_each(|fault| faults.add(fault));
        }
        Ok(faults)
    }

    /// One more, after those that wait already.
    pub fn add(&self, fault: Fault) {
        lock(&self.waiting).push(fault);
    }

    /// Forgets all.
    pub fn clear(&self) {
        lock(&self.waiting).clear();
    }

    /// Those that have not yet met all their calls.
    pub fn waiting(&self) -> Vec<Fault> {
        lock(&self.waiting).clone()
    }

    /// The fault of a call, if it has one.
    pub(super) fn take(&self, endpoint: &str, text: &str) -> Option<Fault> {
        let mut waiting = lock(&self.waiting);
        let meets = |fault: &Fault| {
            (fault.endpoint == endpoint || fault.endpoint == "any") && text.contains(&fault.holding)
        };
        let place = waiting.iter().position(meets)?;
        let fault = waiting.get_mut(place)?;
        if fault.skip > 0 {
            fault.skip -= 1;
            return None;
        }
        fault.times = fault.times.saturating_sub(1);
        let taken = fault.clone();
        waiting.retain(|fault| fault.times > 0);
        Some(taken)
    }
}
