//! One claim for each transition. The search beside this file walks their combinations.

use std::time::Duration;

use super::{Effect, Event, Step, Timing, step};
use crate::backend::{CancelReply, Lookup};
use crate::clock::Timestamp;
use crate::error::{ErrorInfo, ErrorKind};
use crate::id::{InstanceId, RemoteHandle};
use crate::options::{QueryOptions, QueryRequest};
use crate::record::{EngineFacts, Obligation, QueryRecord, RemotePhase, StopReason};
use crate::results::StoredRows;
use crate::snapshot::QueryStatus;

const LIMIT: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3600);

/// A query, the moment, and what the latest event asked for.
#[derive(Clone)]
struct Life {
    record: QueryRecord,
    now: Timestamp,
    timing: Timing,
    effects: Vec<Effect>,
}

impl Life {
    fn accepted() -> Self {
        let options = QueryOptions { query_timeout: Some(LIMIT), ..QueryOptions::default() };
        let request = QueryRequest { options, ..QueryRequest::new("select 1") };
        let now = Timestamp::from_millis(1_000_000);
        let engine = EngineFacts { target: "test".to_owned(), embedded: false };
        let record =
            QueryRecord::accept(request, "main".to_owned(), engine, InstanceId::generate(), now, HOUR);
        Self { record, now, timing: Timing::default(), effects: vec![] }
    }

    fn sent() -> Self {
        Self::accepted().on(Event::Resumed)
    }

    fn running() -> Self {
        Self::sent().on(Event::Submitted(handle()))
    }

    fn ended() -> Self {
        Self::running().on(Event::RowsStored(StoredRows::default()))
    }

    fn on(mut self, event: Event) -> Self {
        let Step { record, effects } = step(&self.record, &event, self.now, &self.timing);
        let changed = record != self.record;
        assert_eq!(record.version, self.record.version + u64::from(changed), "{event:?}");
        assert!(record.updated_at >= self.record.updated_at);
        (self.record, self.effects) = (record, effects);
        self
    }

    fn after(mut self, span: Duration) -> Self {
        self.now = self.now + span;
        self
    }

    fn stopping(self) -> Self {
        self.on(Event::StopRequested(StopReason::User))
    }

    fn status(&self) -> QueryStatus {
        self.record.status
    }

    fn owes(&self) -> bool {
        self.record.owes.contains(&Obligation::CancelRemote)
    }

    #[track_caller]
    fn asks_for(&self, effects: &[Effect]) {
        assert_eq!(self.effects, effects, "{:#?}", self.record);
    }

    #[track_caller]
    fn ended_as(&self, status: QueryStatus, confirmed: bool) {
        assert_eq!((self.status(), self.record.stop_confirmed), (status, confirmed), "{:#?}", self.record);
        assert_eq!(self.owes(), status.is_terminal() && !confirmed && self.record.intent.is_some());
        assert!(self.effects.contains(&Effect::StopDriver), "{:?}", self.effects);
    }
}

fn handle() -> RemoteHandle {
    RemoteHandle::new("01b2")
}

fn error(kind: ErrorKind) -> ErrorInfo {
    ErrorInfo::new(kind, "no")
}

fn unclear() -> Event {
    Event::SubmitUnclear(error(ErrorKind::Unavailable))
}

#[test]
fn t1_an_accepted_query_is_pending_and_nothing_was_sent() {
    let life = Life::accepted();
    assert_eq!(
        (life.status(), life.record.version, life.record.is_unsent()),
        (QueryStatus::Pending, 1, true)
    );
    assert_eq!(life.record.ttl_expires_at, life.now + HOUR);
}

#[test]
fn t2_a_submission_is_counted_before_it_leaves_and_starts_the_deadline() {
    let life = Life::sent();
    life.asks_for(&[Effect::Submit { retry: false }]);
    assert_eq!((life.record.posts.sent, life.record.posts.answered), (1, 0));
    assert_eq!(life.record.deadline_at, Some(life.now + LIMIT));
}

#[test]
fn t3_a_handle_makes_the_query_run() {
    let life = Life::sent().on(Event::Submitted(handle()));
    assert_eq!((life.status(), life.record.handle.as_ref()), (QueryStatus::Running, Some(&handle())));
    assert_eq!((life.record.started_at, life.record.posts.unanswered()), (Some(life.now), 0));
    life.asks_for(&[Effect::Check]);
}

#[test]
fn t4_a_rejection_is_final_when_every_submission_was_answered() {
    let life = Life::sent().on(Event::SubmitRejected(error(ErrorKind::Sql)));
    life.ended_as(QueryStatus::Failed, false);
    assert_eq!(life.record.error, Some(error(ErrorKind::Sql)));
}

#[test]
fn t4b_a_rejection_is_not_final_while_an_earlier_submission_may_arrive() {
    let life = Life::sent().on(unclear()).on(Event::Resumed).on(Event::SubmitRejected(error(ErrorKind::Sql)));
    assert_eq!((life.status(), life.record.posts.unanswered()), (QueryStatus::Pending, 1));
    life.asks_for(&[Effect::Wait(Duration::from_secs(4))]);
}

#[test]
fn t5_an_unclear_submission_is_repeated_as_a_repeat_with_growing_delays() {
    let mut life = Life::sent();
    for seconds in [2, 4, 8, 8] {
        life = life.on(unclear());
        life.asks_for(&[Effect::Wait(Duration::from_secs(seconds))]);
        life = life.after(Duration::from_secs(seconds)).on(Event::Resumed);
        life.asks_for(&[Effect::Submit { retry: true }]);
    }
    assert!(life.record.unreachable.is_some() && life.status() == QueryStatus::Pending);
}

#[test]
fn t5_past_the_window_a_submission_is_looked_up_and_not_repeated() {
    let life = Life::sent().on(unclear()).after(HOUR).on(Event::Resumed);
    life.asks_for(&[Effect::Lookup]);
    let found = life.clone().on(Event::LookedUp(Lookup::Found(handle())));
    assert_eq!(found.status(), QueryStatus::Running);
    let lost = life.on(Event::LookedUp(Lookup::Missing));
    assert_eq!((lost.status(), lost.owes()), (QueryStatus::Failed, true));
    assert_eq!(lost.record.error.as_ref().unwrap().kind, ErrorKind::SubmitLost);
}

#[test]
fn a_submission_that_never_left_is_taken_back() {
    let life = Life::sent().on(Event::NotSent(error(ErrorKind::Unavailable)));
    assert!(life.record.is_unsent() && life.status() == QueryStatus::Pending);
    let hopeless = Life::sent().on(Event::NotSent(error(ErrorKind::Authentication)));
    assert_eq!((hopeless.status(), hopeless.owes()), (QueryStatus::Failed, false));
    let too_long = life.after(HOUR).on(Event::Resumed).on(Event::NotSent(error(ErrorKind::Unavailable)));
    assert_eq!((too_long.status(), too_long.owes()), (QueryStatus::Failed, false));
}

/// A repeat that only looks the statement up moves nothing: what was sent is lost one window after it left.
#[test]
fn a_lost_submission_is_given_up_one_window_after_it_left_however_often_a_repeat_sent_nothing() {
    let mut life = Life::sent().on(unclear());
    let (start, window) = (life.now, life.timing.resubmit_window);
    while !life.status().is_terminal() {
        life = match life.effects[..] {
            [Effect::Wait(delay)] => life.after(delay).on(Event::Resumed),
            [Effect::Submit { retry: true }] => life.on(Event::NotSent(error(ErrorKind::Unavailable))),
            [Effect::Lookup] => life.on(Event::LookedUp(Lookup::Missing)),
            ref other => panic!("{other:?}"),
        };
    }
    let took = life.now.since(start);
    assert!(took >= window && took <= window + Duration::from_secs(8), "{took:?}");
    assert_eq!((life.record.posts.sent, life.record.posts.last_at), (1, Some(start)));
    assert_eq!((life.status(), life.owes()), (QueryStatus::Failed, true));
    assert_eq!(life.record.error.as_ref().unwrap().kind, ErrorKind::SubmitLost);
    assert!(life.record.posts.not_sent < 25, "the pauses do not grow: {}", life.record.posts.not_sent);
}

#[test]
fn what_an_earlier_submission_may_still_do_is_not_taken_back_with_a_later_one() {
    let not_sent = || Event::NotSent(error(ErrorKind::Authentication));
    let life = Life::sent().on(unclear()).on(Event::Resumed).on(not_sent());
    assert_eq!((life.status(), life.record.posts.unanswered()), (QueryStatus::Pending, 1));
    let stopped = life.on(Event::Resumed).stopping().on(not_sent());
    stopped.asks_for(&[Effect::Lookup]);
    assert_eq!(stopped.status(), QueryStatus::Pending);
}

#[test]
fn t6_what_was_never_sent_is_stopped_at_once_and_owes_nothing() {
    let canceled = Life::accepted().stopping();
    canceled.ended_as(QueryStatus::Canceled, true);
    assert!(canceled.record.is_unsent());
    let timed_out = Life::accepted().on(Event::StopRequested(StopReason::Timeout));
    timed_out.ended_as(QueryStatus::Timeout, true);
    assert_eq!(timed_out.record.error.unwrap().kind, ErrorKind::Timeout);
}

#[test]
fn t6_a_time_limit_without_an_engine_within_reach_blames_the_engine_and_waits_no_longer() {
    let down = ErrorInfo { message: "refused".to_owned(), ..error(ErrorKind::Throttled) };
    let life = Life::sent().on(Event::NotSent(down));
    assert_eq!(life.timing.strikes_at(&life.record), Some(life.now + LIMIT));
    let ended = life.on(Event::StopRequested(StopReason::Timeout));
    ended.ended_as(QueryStatus::Timeout, true);
    let told = ended.record.error.unwrap();
    assert_eq!(told.kind, ErrorKind::Throttled);
    assert_eq!(told.message, "the engine could not be reached within 600 s: refused");
    let sent = Life::sent().on(unclear()).on(unclear()).on(unclear());
    assert_eq!(
        sent.timing.strikes_at(&sent.record),
        Some(sent.now + LIMIT + sent.timing.deadline_grace),
        "the engine may have it"
    );
}

#[test]
fn t7_a_stop_before_the_handle_looks_the_statement_up_and_never_sends_it_again() {
    let life = Life::sent().stopping();
    life.asks_for(&[Effect::WakeDriver]);
    let life = life.on(unclear());
    life.asks_for(&[Effect::Lookup]);
    assert_eq!((life.status(), life.record.cancel.attempts), (QueryStatus::Pending, 1));
    let found = life.on(Event::LookedUp(Lookup::Found(handle())));
    found.asks_for(&[Effect::SendCancel]);
}

#[test]
fn t7b_a_statement_that_is_not_found_for_the_whole_window_ends_unconfirmed() {
    let life = Life::sent().stopping().on(unclear());
    let early = life.clone().on(Event::LookedUp(Lookup::Missing));
    assert_eq!(early.status(), QueryStatus::Pending);
    life.after(HOUR).on(Event::LookedUp(Lookup::Missing)).ended_as(QueryStatus::Canceled, false);
}

#[test]
fn t7b_a_look_that_began_before_the_wish_is_no_attempt_to_stop() {
    let asked = Life::sent().on(unclear()).after(HOUR).on(Event::Resumed);
    asked.asks_for(&[Effect::Lookup]);
    for answer in [Event::LookedUp(Lookup::Missing), Event::LookupUnclear(error(ErrorKind::Unavailable))] {
        let again = asked.clone().stopping().on(answer.clone());
        again.asks_for(&[Effect::Lookup]);
        assert_eq!((again.status(), again.record.cancel.attempts), (QueryStatus::Pending, 1));
        again.on(answer).ended_as(QueryStatus::Canceled, false);
    }
}

#[test]
fn a_statement_that_never_arrived_ends_without_a_debt_and_as_never_sent() {
    let canceled = Life::sent().stopping().on(Event::LookedUp(Lookup::NeverArrived));
    canceled.ended_as(QueryStatus::Canceled, true);
    assert!(canceled.record.is_unsent() && canceled.record.posts.tries() == 1);
    let failed = Life::sent().on(Event::LookedUp(Lookup::NeverArrived));
    assert_eq!((failed.status(), failed.owes()), (QueryStatus::Failed, false));
}

#[test]
fn t8_a_check_without_news_makes_no_new_version() {
    let life = Life::running();
    let before = life.record.version;
    let life =
        life.on(Event::StillRunning(RemotePhase::Running)).on(Event::StillRunning(RemotePhase::Running));
    assert_eq!(life.record.version, before);
    let life = life.on(Event::StillRunning(RemotePhase::Queued));
    assert_eq!(life.record.version, before + 1);
    life.asks_for(&[Effect::Check]);
}

#[test]
fn t9_rows_and_success_are_one_change() {
    let rows = StoredRows { rows: 3, total_rows: Some(3), ..StoredRows::default() };
    let life = Life::running().on(Event::RowsReady);
    life.asks_for(&[Effect::Fetch]);
    assert_eq!(life.status(), QueryStatus::Running);
    let life = life.stopping().on(Event::RowsStored(rows.clone()));
    assert_eq!((life.status(), &life.record.result), (QueryStatus::Succeeded, &Some(rows)));
    life.asks_for(&[Effect::StopDriver]);
}

#[test]
fn t10_an_error_of_the_engine_fails_the_query_also_while_it_is_being_stopped() {
    for life in [Life::running(), Life::running().stopping()] {
        let life = life.on(Event::RemoteFailed(error(ErrorKind::Sql)));
        assert_eq!((life.status(), life.record.error.unwrap().kind), (QueryStatus::Failed, ErrorKind::Sql));
    }
}

#[test]
fn t11_an_abort_is_named_after_the_first_wish_or_after_somebody_else() {
    let aborted = |life: Life| life.on(Event::RemoteAborted);
    aborted(Life::running().stopping()).ended_as(QueryStatus::Canceled, true);
    aborted(Life::running().on(Event::StopRequested(StopReason::Timeout)))
        .ended_as(QueryStatus::Timeout, true);
    let foreign = aborted(Life::running());
    foreign.ended_as(QueryStatus::Canceled, true);
    assert_eq!(foreign.record.error.unwrap().kind, ErrorKind::CanceledExternally);
}

#[test]
fn t12_the_engines_own_time_limit_is_a_timeout() {
    let life = Life::running().on(Event::RemoteTimedOut);
    life.ended_as(QueryStatus::Timeout, true);
    assert!(life.record.error.unwrap().message.contains("600 s"));
}

#[test]
fn t13_t14_the_first_wish_stays() {
    let life = Life::running().stopping().on(Event::StopRequested(StopReason::Timeout));
    assert_eq!(life.record.intent.unwrap().reason, StopReason::User);
    let life = Life::running().on(Event::StopRequested(StopReason::Timeout)).stopping();
    assert_eq!(life.record.intent.unwrap().reason, StopReason::Timeout);
}

#[test]
fn t15_a_cancel_request_is_counted_before_it_leaves_and_repeated_until_it_is_taken() {
    let mut life = Life::running().stopping().on(Event::Resumed);
    for (attempt, seconds) in [(1, 2), (2, 4), (3, 8)] {
        life.asks_for(&[Effect::SendCancel]);
        assert_eq!(life.record.cancel.attempts, attempt);
        life = life.on(Event::CancelUnclear).on(Event::StillRunning(RemotePhase::Running));
        life.asks_for(&[Effect::Check]);
        life = life.after(Duration::from_secs(seconds)).on(Event::Resumed);
    }
    life.asks_for(&[Effect::Check]);
}

#[test]
fn t15_an_acknowledged_cancel_is_not_repeated_and_is_not_yet_an_end() {
    for reply in [CancelReply::Accepted, CancelReply::NotRunning] {
        let life = Life::running().stopping().on(Event::Resumed).on(Event::CancelAnswered(reply));
        assert_eq!(life.status(), QueryStatus::Running);
        life.after(Duration::from_secs(5)).on(Event::Resumed).asks_for(&[Effect::Check]);
    }
}

#[test]
fn t16_without_the_engines_word_the_query_ends_and_the_debt_stays() {
    let life = Life::running().stopping().on(Event::Resumed).on(Event::CancelAnswered(CancelReply::Accepted));
    let early = life.clone().after(Duration::from_secs(29)).on(Event::StillRunning(RemotePhase::Running));
    assert_eq!(early.status(), QueryStatus::Running);
    for news in
        [Event::StillRunning(RemotePhase::Running), Event::CheckUnclear(error(ErrorKind::Unavailable))]
    {
        let life = life.clone().after(Duration::from_secs(30)).on(news);
        life.ended_as(QueryStatus::Canceled, false);
        life.asks_for(&[Effect::Reap, Effect::StopDriver]);
    }
}

#[test]
fn t16_only_a_check_ends_the_wait_for_the_engines_word() {
    let life = Life::running().stopping().on(Event::Resumed).on(Event::CancelAnswered(CancelReply::Accepted));
    let life = life.after(HOUR).on(Event::Resumed);
    life.asks_for(&[Effect::Check]);
    life.on(Event::RowsReady).asks_for(&[Effect::Fetch]);
}

#[test]
fn t15_one_cancel_request_is_sent_whatever_a_lookup_counted_before() {
    let mut life = Life::sent().stopping().on(Event::Resumed);
    life.timing.max_cancel_attempts = 1;
    assert_eq!(life.record.cancel.attempts, 1);
    life.on(Event::LookedUp(Lookup::Found(handle()))).asks_for(&[Effect::SendCancel]);
}

#[test]
fn t17_a_refused_cancel_is_told_and_the_query_goes_on() {
    let refused = CancelReply::Refused(error(ErrorKind::Permission));
    let life = Life::running().stopping().on(Event::Resumed).on(Event::CancelAnswered(refused));
    assert_eq!(life.record.cancel.refused, Some(error(ErrorKind::Permission)));
    let life = life.after(HOUR).on(Event::StillRunning(RemotePhase::Running));
    assert_eq!(life.status(), QueryStatus::Running);
    life.asks_for(&[Effect::Check]);
}

#[test]
fn t17_a_refusal_holds_up_no_time_limit_and_no_end_of_the_retention() {
    let refused = Event::CancelAnswered(CancelReply::Refused(error(ErrorKind::Permission)));
    for (reason, status) in [
        (StopReason::Timeout, QueryStatus::Timeout),
        (StopReason::Ttl, QueryStatus::Canceled),
        (StopReason::Shutdown, QueryStatus::Canceled),
    ] {
        let life = Life::running().on(Event::StopRequested(reason)).on(Event::Resumed).on(refused.clone());
        life.clone().after(Duration::from_secs(2)).on(Event::Resumed).asks_for(&[Effect::SendCancel]);
        let life = life.after(HOUR).on(Event::StillRunning(RemotePhase::Running));
        life.ended_as(status, false);
    }
}

#[test]
fn t17_a_caller_who_asks_again_after_a_refusal_is_asked_for_again() {
    let refused = CancelReply::Refused(error(ErrorKind::Permission));
    let life = Life::running().stopping().on(Event::Resumed).on(Event::CancelAnswered(refused)).after(HOUR);
    let again = life.stopping();
    again.asks_for(&[Effect::WakeDriver]);
    let sent = again.on(Event::Resumed);
    sent.asks_for(&[Effect::SendCancel]);
    assert_eq!((sent.record.cancel.attempts, sent.record.cancel.refused.is_some()), (2, false));
}

#[test]
fn t18_an_unknown_handle_is_believed_only_after_many_checks() {
    let life = Life::running().on(Event::NoData(23));
    assert_eq!(life.status(), QueryStatus::Running);
    let lost = life.clone().on(Event::NoData(24));
    assert_eq!(
        (lost.status(), lost.record.error.unwrap().kind),
        (QueryStatus::Failed, ErrorKind::RemoteLost)
    );
    life.stopping().on(Event::NoData(24)).ended_as(QueryStatus::Canceled, false);
}

#[test]
fn t20_a_new_owner_takes_the_query_up_where_it_was() {
    let owner = InstanceId::generate();
    let taken = |life: Life| life.on(Event::LeaseTaken { owner, engine_gone: false });
    let life = taken(Life::running());
    assert_eq!(
        (life.status(), life.record.lease.owner, life.record.lease.epoch),
        (QueryStatus::Running, owner, 2)
    );
    life.on(Event::Resumed).asks_for(&[Effect::Check]);
    taken(Life::sent()).on(Event::Resumed).asks_for(&[Effect::Submit { retry: true }]);
    taken(Life::sent().stopping()).on(Event::Resumed).asks_for(&[Effect::Lookup]);
    taken(Life::accepted()).on(Event::Resumed).asks_for(&[Effect::Submit { retry: false }]);
}

#[test]
fn t20_a_new_owner_asks_anew_for_a_stop() {
    let asked = Life::running().stopping().on(Event::Resumed);
    let refused = CancelReply::Refused(error(ErrorKind::Permission));
    for before in [
        asked.clone(),
        asked.clone().on(Event::CancelAnswered(CancelReply::Accepted)),
        asked.on(Event::CancelAnswered(refused)),
    ] {
        let taken =
            before.after(HOUR).on(Event::LeaseTaken { owner: InstanceId::generate(), engine_gone: false });
        let life = taken.on(Event::Resumed);
        life.asks_for(&[Effect::SendCancel]);
        assert_eq!(life.record.cancel.attempts, 2);
        life.on(Event::StillRunning(RemotePhase::Running)).asks_for(&[Effect::Check]);
    }
}

#[test]
fn t20_a_query_whose_engine_is_gone_is_told_so_unless_it_was_never_sent() {
    let taken = |life: Life| life.on(Event::LeaseTaken { owner: InstanceId::generate(), engine_gone: true });
    let failed = taken(Life::running());
    assert_eq!(
        (failed.status(), failed.record.error.unwrap().kind),
        (QueryStatus::Failed, ErrorKind::EngineStopped)
    );
    taken(Life::running().stopping()).ended_as(QueryStatus::Canceled, true);
    assert_eq!(taken(Life::accepted()).status(), QueryStatus::Pending);
}

#[test]
fn t21_whatever_a_driver_says_of_an_ended_query_is_dropped() {
    let ended = Life::ended();
    for event in [
        Event::Resumed,
        Event::Submitted(handle()),
        Event::SubmitRejected(error(ErrorKind::Sql)),
        Event::RemoteFailed(error(ErrorKind::Sql)),
        Event::RemoteAborted,
        Event::RowsStored(StoredRows::default()),
        Event::StopRequested(StopReason::User),
        Event::CancelAnswered(CancelReply::Accepted),
        Event::EngineGone,
    ] {
        let life = ended.clone().on(event.clone());
        assert_eq!(life.record, ended.record, "{event:?}");
        life.asks_for(&[Effect::StopDriver]);
    }
}

#[test]
fn t22_a_debt_is_cleared_when_it_is_paid_or_given_up_and_only_of_an_ended_query() {
    let owing = Life::sent().stopping().on(unclear()).after(HOUR).on(Event::LookedUp(Lookup::Missing));
    assert!(owing.owes());
    for event in [Event::DebtPaid, Event::DebtGivenUp] {
        let life = owing.clone().on(event);
        assert_eq!((life.owes(), life.status()), (false, QueryStatus::Canceled));
        assert!(!life.record.stop_confirmed, "the engine never knew it");
    }
    let live = Life::running().on(Event::Expired).on(Event::DebtPaid);
    live.asks_for(&[]);
    let taken = owing.on(Event::LeaseTaken { owner: InstanceId::generate(), engine_gone: false });
    taken.asks_for(&[Effect::Reap]);
}

#[test]
fn t22_a_debt_that_is_paid_confirms_the_stop_of_a_known_statement_and_one_given_up_does_not() {
    let asked =
        Life::running().stopping().on(Event::Resumed).on(Event::CancelAnswered(CancelReply::Accepted));
    let owing = asked.after(HOUR).on(Event::StillRunning(RemotePhase::Running));
    assert!(owing.owes() && !owing.record.stop_confirmed);
    for (event, confirmed) in [(Event::DebtPaid, true), (Event::DebtGivenUp, false)] {
        let life = owing.clone().on(event);
        assert_eq!((life.record.stop_confirmed, life.owes()), (confirmed, false));
    }
}

#[test]
fn t23_a_success_whose_rows_are_gone_stays_a_success() {
    let life = Life::ended().on(Event::RowsGone);
    assert_eq!((life.status(), life.record.rows_gone), (QueryStatus::Succeeded, true));
}

#[test]
fn t24_an_ended_record_is_forgotten_once_it_owes_nothing() {
    Life::ended().on(Event::Expired).asks_for(&[Effect::Forget]);
    let owing = Life::sent().stopping().on(unclear()).after(HOUR).on(Event::LookedUp(Lookup::Missing));
    let owing = owing.on(Event::Expired);
    assert!(owing.record.forgotten);
    owing.asks_for(&[Effect::Reap]);
    owing.on(Event::DebtPaid).asks_for(&[Effect::Forget]);
}

#[test]
fn t25_a_live_record_whose_time_is_over_is_stopped_and_then_forgotten() {
    let life = Life::running().on(Event::Expired);
    assert_eq!((life.record.intent.unwrap().reason, life.record.forgotten), (StopReason::Ttl, true));
    let life = life.on(Event::Resumed).on(Event::RemoteAborted);
    assert_eq!(life.status(), QueryStatus::Canceled);
    life.asks_for(&[Effect::Forget, Effect::StopDriver]);
    Life::accepted().on(Event::Expired).asks_for(&[Effect::Forget, Effect::StopDriver]);
}

#[test]
fn the_time_limit_is_the_callers_up_to_the_ceiling() {
    let timing = Timing::default();
    let mut record = Life::accepted().record;
    assert_eq!(timing.time_limit(&record), LIMIT);
    record.options.query_timeout = None;
    assert_eq!(timing.time_limit(&record), timing.max_timeout);
    record.options.query_timeout = Some(2 * timing.max_timeout);
    assert_eq!(timing.time_limit(&record), timing.max_timeout);
}
