//! The records of the search, each kept once, and what every event makes of each.

use std::collections::HashMap;
use std::time::Duration;

use super::Setting;
use super::mutants;
use crate::backend::{CancelReply, Lookup};
use crate::clock::Timestamp;
use crate::error::{ErrorInfo, ErrorKind};
use crate::id::{InstanceId, RemoteHandle};
use crate::options::QueryRequest;
use crate::record::{CancelWork, EngineFacts, Intent, Lease, Posts, QueryRecord, RemotePhase, StopReason};
use crate::results::StoredRows;
use crate::state::{Effect, Event, Timing};

/// A record by its number.
pub(super) type RecordNumber = u16;

/// The events of the search; it needs no other values in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ev {
    CancelWished,
    DeadlinePassed,
    Expired,
    LeaseTaken,
    LeaseTakenEngineGone,
    Resumed,
    Submitted,
    NotSent,
    Rejected,
    SubmitUnclear,
    Found,
    Missing,
    NeverArrived,
    LookupUnclear,
    StillRunning,
    NoDataYet,
    NoData,
    EngineGone,
    RowsReady,
    RowsStored,
    RowsLost,
    RemoteFailed,
    RemoteAborted,
    RemoteTimedOut,
    CheckUnclear,
    CancelAccepted,
    CancelNotRunning,
    CancelRefused,
    CancelUnclear,
    DebtPaid,
}

/// What an event makes of a record at some moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    pub(super) record: RecordNumber,
    pub(super) effects: Vec<Effect>,
    /// Something durable changed, so that a write on the older version is refused.
    pub(super) changed: bool,
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) setting: Setting,
    timing: Timing,
    records: Vec<QueryRecord>,
    numbers: HashMap<String, RecordNumber>,
    outcomes: HashMap<(RecordNumber, Ev), Vec<Outcome>>,
    owner: InstanceId,
}

/// Nothing is due; the next cancel request is due; every window is over.
const MOMENTS: [i64; 3] = [0, 1, 100];

impl Machine {
    pub(super) fn new(setting: Setting) -> Self {
        let timing = Timing {
            confirm_window: Duration::from_millis(10),
            resubmit_window: Duration::from_millis(10),
            backoff: vec![Duration::from_millis(1)],
            max_cancel_attempts: setting.max_cancel_attempts,
            no_data_tolerance: 2,
            max_timeout: Duration::from_secs(1),
            deadline_grace: Duration::ZERO,
        };
        let owner = InstanceId::generate();
        let first = QueryRecord::accept(
            QueryRequest::new("select 1"),
            "main".into(),
            EngineFacts { target: "test".into(), embedded: false },
            owner,
            Timestamp::default(),
            Duration::ZERO,
        );
        let mut machine = Self {
            setting,
            timing,
            owner,
            records: vec![],
            numbers: HashMap::new(),
            outcomes: HashMap::new(),
        };
        assert_eq!(machine.number(first), 0);
        machine
    }

    pub(super) fn record(&self, number: RecordNumber) -> &QueryRecord {
        &self.records[usize::from(number)]
    }

    /// The different things that `ev` can do to the record, over all moments.
    pub(super) fn outcomes(&mut self, number: RecordNumber, ev: Ev) -> Vec<Outcome> {
        if let Some(known) = self.outcomes.get(&(number, ev)) {
            return known.clone();
        }
        let mut outcomes = vec![];
        for millis in MOMENTS {
            let before = self.record(number).clone();
            let event = self.event(ev);
            let step = mutants::step(
                self.setting.mutant,
                &before,
                &event,
                Timestamp::from_millis(millis),
                &self.timing,
            );
            let changed = step.record.version != before.version;
            let outcome = Outcome { record: self.number(step.record), effects: step.effects, changed };
            if !outcomes.contains(&outcome) {
                outcomes.push(outcome);
            }
        }
        self.outcomes.insert((number, ev), outcomes.clone());
        outcomes
    }

    fn number(&mut self, record: QueryRecord) -> RecordNumber {
        let record = normal_form(record);
        let next = RecordNumber::try_from(self.records.len()).expect("few records differ");
        let number = *self.numbers.entry(format!("{record:?}")).or_insert(next);
        if number == next {
            self.records.push(record);
        }
        number
    }

    fn event(&self, ev: Ev) -> Event {
        let error = ErrorInfo::new(ErrorKind::Unavailable, "");
        let handle = RemoteHandle::new("h");
        match ev {
            Ev::CancelWished => Event::StopRequested(StopReason::User),
            Ev::DeadlinePassed => Event::StopRequested(StopReason::Timeout),
            Ev::Expired => Event::Expired,
            Ev::LeaseTaken => Event::LeaseTaken { owner: self.owner, engine_gone: false },
            Ev::LeaseTakenEngineGone => Event::LeaseTaken { owner: self.owner, engine_gone: true },
            Ev::Resumed => Event::Resumed,
            Ev::Submitted => Event::Submitted(handle),
            Ev::NotSent => Event::NotSent(error),
            Ev::Rejected => Event::SubmitRejected(error),
            Ev::SubmitUnclear => Event::SubmitUnclear(error),
            Ev::Found => Event::LookedUp(Lookup::Found(handle)),
            Ev::Missing => Event::LookedUp(Lookup::Missing),
            Ev::NeverArrived => Event::LookedUp(Lookup::NeverArrived),
            Ev::LookupUnclear => Event::LookupUnclear(error),
            Ev::StillRunning => Event::StillRunning(RemotePhase::Running),
            Ev::NoDataYet => Event::NoData(1),
            Ev::NoData => Event::NoData(self.timing.no_data_tolerance),
            Ev::EngineGone => Event::EngineGone,
            Ev::RowsReady => Event::RowsReady,
            Ev::RowsStored => Event::RowsStored(StoredRows::default()),
            Ev::RowsLost => Event::RowsLost(error),
            Ev::RemoteFailed => Event::RemoteFailed(error),
            Ev::RemoteAborted => Event::RemoteAborted,
            Ev::RemoteTimedOut => Event::RemoteTimedOut,
            Ev::CheckUnclear => Event::CheckUnclear(error),
            Ev::CancelAccepted => Event::CancelAnswered(CancelReply::Accepted),
            Ev::CancelNotRunning => Event::CancelAnswered(CancelReply::NotRunning),
            Ev::CancelRefused => Event::CancelAnswered(CancelReply::Refused(error)),
            Ev::CancelUnclear => Event::CancelUnclear,
            Ev::DebtPaid => Event::DebtPaid,
        }
    }
}

/// The record without what no decision depends on. All moments become one: only whether a window is over counts, and
/// that is chosen anew at each step. Submissions count as none, one or several unanswered ones: a rejection always
/// answers the latest, so an older unanswered one stays.
fn normal_form(record: QueryRecord) -> QueryRecord {
    let still = |moment: Option<Timestamp>| moment.map(|_| Timestamp::default());
    let record = QueryRecord {
        version: 1,
        lease: Lease { epoch: 1, ..record.lease },
        updated_at: record.created_at,
        started_at: None,
        finished_at: None,
        deadline_at: None,
        unreachable: None,
        error: None,
        stop_confirmed: false,
        intent: record.intent.map(|intent| Intent { at: Timestamp::default(), ..intent }),
        posts: Posts {
            first_at: still(record.posts.first_at),
            last_at: still(record.posts.last_at),
            before_last_at: still(record.posts.before_last_at),
            not_sent: 0,
            ..few(record.posts)
        },
        cancel: CancelWork {
            first_at: still(record.cancel.first_at),
            next_at: record.cancel.next_at.map(|_| Timestamp::from_millis(1)),
            ..record.cancel.clone()
        },
        ..record
    };
    if record.is_terminal() { ended_form(record) } else { record }
}

fn few(posts: Posts) -> Posts {
    let unanswered = posts.unanswered().min(2);
    let sent = if posts.sent == 0 { 0 } else { unanswered.max(1) };
    Posts { sent, answered: sent - unanswered, ..posts }
}

/// Of an ended query only the invariants still want to know something.
fn ended_form(record: QueryRecord) -> QueryRecord {
    let refused = record.cancel.refused.clone();
    let cancel = CancelWork { attempts: record.cancel.attempts.min(1), refused, ..CancelWork::default() };
    QueryRecord { handle: None, posts: Posts::default(), cancel, ..record }
}
