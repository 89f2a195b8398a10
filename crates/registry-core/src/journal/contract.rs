//! What every journal keeps, as functions that each one is held to.

use std::time::Duration;

use super::*;
use crate::options::{Priority, QueryOptions, QueryRequest};
use crate::record::{EngineFacts, Intent, Obligation, StopReason};

/// Runs every claim below against a journal of its own.
macro_rules! keeps_the_contract {
    ($name:ident, $fresh:expr) => {
        keeps_the_contract!(@claims $name, $fresh,
            a_record_reads_back_as_it_was_stored,
            an_id_is_taken_once,
            an_update_applies_to_the_state_it_was_made_from,
            an_update_from_an_older_state_is_refused_and_told_the_present_one,
            an_update_of_a_removed_record_is_refused,
            a_key_stands_for_one_query_of_its_connection,
            a_key_is_free_again_once_its_record_is_forgotten,
            an_identical_running_query_of_this_process_stands_for_the_new_one,
            nothing_is_added_when_only_an_earlier_record_will_do,
            settings_that_change_no_result_leave_a_statement_identical,
            what_is_not_identical_does_not_stand_for_the_new_one,
            the_oldest_of_several_identical_queries_stands_for_the_new_one,
            a_list_is_newest_first_and_bounded,
            a_list_hides_what_is_forgotten,
            the_unsettled_are_those_that_run_or_owe,
            the_expired_are_longest_overdue_first_and_bounded,
            a_forgotten_record_that_owes_does_not_expire_again,
            a_record_is_deleted_only_at_the_version_seen,
        );
    };
    (@claims $name:ident, $fresh:expr, $($claim:ident,)*) => {
        mod $name {
            $(
                #[test]
                fn $claim() {
                    let (_keep, journal) = $fresh;
                    crate::journal::contract::$claim(&journal);
                }
            )*
        }
    };
}
pub(super) use keeps_the_contract;

keeps_the_contract!(memory, ((), crate::journal::MemoryJournal::default()));

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const TTL: Duration = Duration::from_secs(100);

pub(super) fn record_of(owner: InstanceId, sql: &str) -> QueryRecord {
    QueryRecord::accept(QueryRequest::new(sql), "main".to_owned(), engine(), owner, NOW, TTL)
}

pub(super) fn record(sql: &str) -> QueryRecord {
    record_of(InstanceId::generate(), sql)
}

fn accepted_after(millis: u64) -> QueryRecord {
    let shift = Duration::from_millis(millis);
    QueryRecord { created_at: NOW + shift, ttl_expires_at: NOW + TTL + shift, ..record("select 1") }
}

pub(super) fn keyed(key: &str) -> QueryRecord {
    QueryRecord { idempotency_key: Some(key.to_owned()), ..record("select 1") }
}

pub(super) fn add(journal: &dyn Journal, record: &QueryRecord) {
    assert_eq!(journal.insert(record, &Uniqueness::default()), Ok(Inserted::New));
}

pub(super) fn next(record: &QueryRecord) -> QueryRecord {
    QueryRecord { version: record.version + 1, ..record.clone() }
}

/// Stores the next version of `record`, changed by `change`.
pub(super) fn change(
    journal: &dyn Journal,
    record: &QueryRecord,
    change: impl FnOnce(&mut QueryRecord),
) -> QueryRecord {
    let mut after = next(record);
    change(&mut after);
    assert_eq!(journal.update(record, &after), Ok(Updated::Applied));
    after
}

fn ids(records: &[QueryRecord]) -> Vec<QueryId> {
    records.iter().map(|record| record.id).collect()
}

fn conflict(with: &QueryRecord) -> Result<Updated, JournalError> {
    Ok(Updated::Conflict(Some(Box::new(with.clone()))))
}

pub(super) fn a_record_reads_back_as_it_was_stored(journal: &dyn Journal) {
    let mut stored = keyed("k");
    stored.sql = "select 'é\u{10ffff}\"\\', '\r\n\t'".to_owned();
    stored.label = Some("näme".to_owned());
    stored.options.query_timeout = Some(Duration::from_nanos(1_000_000_007));
    stored.owes.insert(Obligation::CancelRemote);
    stored.intent = Some(Intent { reason: StopReason::Timeout, at: NOW });
    stored.version = u64::MAX;
    stored.created_at = Timestamp::from_millis(i64::MIN);
    add(journal, &stored);
    assert_eq!(journal.get(stored.id), Ok(Some(stored)));
    assert_eq!(journal.get(QueryId::generate()), Ok(None));
}

pub(super) fn an_id_is_taken_once(journal: &dyn Journal) {
    let first = record("select 1");
    let second = QueryRecord { id: first.id, ..record("select 2") };
    add(journal, &first);
    let refused = journal.insert(&second, &Uniqueness::default());
    assert!(matches!(refused, Err(JournalError::Other { .. })), "{refused:?}");
    assert_eq!(journal.get(first.id), Ok(Some(first)));
}

pub(super) fn an_update_applies_to_the_state_it_was_made_from(journal: &dyn Journal) {
    let first = record("select 1");
    add(journal, &first);
    let second = change(journal, &first, |record| record.status = QueryStatus::Running);
    assert_eq!(journal.get(first.id), Ok(Some(second)));
}

pub(super) fn an_update_from_an_older_state_is_refused_and_told_the_present_one(journal: &dyn Journal) {
    let first = record("select 1");
    add(journal, &first);
    let second = change(journal, &first, |record| record.lease.epoch += 1);
    let mut other_epoch = second.clone();
    other_epoch.lease.epoch = first.lease.epoch;
    let other_status = QueryRecord { status: QueryStatus::Running, ..second.clone() };
    for stale in [&first, &other_epoch, &other_status] {
        assert_eq!(journal.update(stale, &next(stale)), conflict(&second));
    }
    assert_eq!(journal.get(first.id), Ok(Some(second)));
}

pub(super) fn an_update_of_a_removed_record_is_refused(journal: &dyn Journal) {
    let gone = record("select 1");
    assert_eq!(journal.update(&gone, &next(&gone)), Ok(Updated::Conflict(None)));
    assert_eq!(journal.get(gone.id), Ok(None));
}

pub(super) fn a_key_stands_for_one_query_of_its_connection(journal: &dyn Journal) {
    let first = keyed("k");
    add(journal, &first);
    let ended = change(journal, &first, |record| record.status = QueryStatus::Failed);
    let repeat = QueryRecord { sql: "select 2".to_owned(), ..keyed("k") };
    assert_eq!(journal.insert(&repeat, &Uniqueness::default()), Ok(Inserted::SameKey(Box::new(ended))));
    assert_eq!(journal.get(repeat.id), Ok(None));
    add(journal, &keyed("K"));
    add(journal, &QueryRecord { connection: "other".to_owned(), ..keyed("k") });
    add(journal, &record("select 1"));
    add(journal, &record("select 1"));
}

pub(super) fn a_key_is_free_again_once_its_record_is_forgotten(journal: &dyn Journal) {
    let first = keyed("k");
    add(journal, &first);
    change(journal, &first, |record| record.forgotten = true);
    add(journal, &keyed("k"));
}

pub(super) fn an_identical_running_query_of_this_process_stands_for_the_new_one(journal: &dyn Journal) {
    let owner = InstanceId::generate();
    let first = record_of(owner, "select 1");
    add(journal, &first);
    let repeat = record_of(owner, "select 1");
    let unique = Uniqueness { identical_running: Some(owner), ..Uniqueness::default() };
    assert_eq!(journal.insert(&repeat, &unique), Ok(Inserted::Identical(Box::new(first))));
    assert_eq!(journal.get(repeat.id), Ok(None));
    add(journal, &repeat);
}

pub(super) fn nothing_is_added_when_only_an_earlier_record_will_do(journal: &dyn Journal) {
    let owner = InstanceId::generate();
    let (first, repeat) = (record_of(owner, "select 1"), record_of(owner, "select 1"));
    let unique = Uniqueness { identical_running: Some(owner), refuse_new: true };
    assert_eq!(journal.insert(&first, &unique), Ok(Inserted::Refused));
    assert_eq!(journal.get(first.id), Ok(None));
    add(journal, &first);
    assert_eq!(journal.insert(&repeat, &unique), Ok(Inserted::Identical(Box::new(first))));
}

pub(super) fn settings_that_change_no_result_leave_a_statement_identical(journal: &dyn Journal) {
    let owner = InstanceId::generate();
    let first = QueryRecord { row_ceiling: Some(10), ..record_of(owner, "select 1") };
    add(journal, &first);
    let unique = Uniqueness { identical_running: Some(owner), ..Uniqueness::default() };
    let options = || first.options.clone();
    for options in [
        QueryOptions { query_timeout: Some(TTL), ..options() },
        QueryOptions { max_inline_rows: 7, ..options() },
        QueryOptions { priority: Priority::Low, ..options() },
        QueryOptions { poll_interval: TTL, ..options() },
    ] {
        let repeat = QueryRecord { options, row_ceiling: Some(9), ..record_of(owner, "select 1") };
        assert_eq!(journal.insert(&repeat, &unique), Ok(Inserted::Identical(Box::new(first.clone()))));
    }
}

pub(super) fn what_is_not_identical_does_not_stand_for_the_new_one(journal: &dyn Journal) {
    let owner = InstanceId::generate();
    let base = || QueryRecord { row_ceiling: Some(10), ..record_of(owner, "select 1") };
    let mut other_context = base();
    other_context.options.context.schema = Some("OTHER".to_owned());
    for different in [
        record_of(InstanceId::generate(), "select 1"),
        record_of(owner, "select 1 "),
        QueryRecord { connection: "other".to_owned(), ..base() },
        QueryRecord { status: QueryStatus::Succeeded, ..base() },
        QueryRecord { intent: Some(Intent { reason: StopReason::User, at: NOW }), ..base() },
        QueryRecord { forgotten: true, ..base() },
        QueryRecord { row_ceiling: Some(9), ..base() },
        other_context,
    ] {
        add(journal, &different);
    }
    let unique = Uniqueness { identical_running: Some(owner), ..Uniqueness::default() };
    assert_eq!(journal.insert(&base(), &unique), Ok(Inserted::New));
}

pub(super) fn the_oldest_of_several_identical_queries_stands_for_the_new_one(journal: &dyn Journal) {
    let owner = InstanceId::generate();
    let at = |millis| QueryRecord {
        created_at: NOW + Duration::from_millis(millis),
        ..record_of(owner, "select 1")
    };
    let (young, old) = (at(7), at(3));
    add(journal, &young);
    add(journal, &old);
    let unique = Uniqueness { identical_running: Some(owner), ..Uniqueness::default() };
    assert_eq!(journal.insert(&at(9), &unique), Ok(Inserted::Identical(Box::new(old))));
}

pub(super) fn a_list_is_newest_first_and_bounded(journal: &dyn Journal) {
    let mut expected: Vec<_> = [5, 1, 3, 3, 3].map(accepted_after).to_vec();
    for record in &expected {
        add(journal, record);
    }
    expected.sort_by_key(|record| std::cmp::Reverse((record.created_at, record.id)));
    let list = |status, limit| ids(&journal.list(&ListFilter { status, limit }).unwrap());
    assert_eq!(list(None, None), ids(&expected));
    assert_eq!(list(None, Some(2)), ids(&expected[..2]));
    assert_eq!(list(None, Some(0)), []);
    let failed = change(journal, &expected[4], |record| record.status = QueryStatus::Failed);
    assert_eq!(list(Some(QueryStatus::Failed), None), [failed.id]);
    assert_eq!(list(Some(QueryStatus::Pending), Some(1)), [expected[0].id]);
    assert_eq!(list(Some(QueryStatus::Timeout), None), []);
}

pub(super) fn a_list_hides_what_is_forgotten(journal: &dyn Journal) {
    let hidden = QueryRecord { forgotten: true, ..record("select 1") };
    add(journal, &hidden);
    assert_eq!(journal.list(&ListFilter::default()), Ok(vec![]));
    let filter = ListFilter { status: Some(QueryStatus::Pending), limit: None };
    assert_eq!(journal.list(&filter), Ok(vec![]));
    assert_eq!(journal.get(hidden.id), Ok(Some(hidden)));
}

pub(super) fn the_unsettled_are_those_that_run_or_owe(journal: &dyn Journal) {
    let mut owing = QueryRecord { status: QueryStatus::Canceled, ..accepted_after(1) };
    owing.owes.insert(Obligation::CancelRemote);
    let running = QueryRecord { status: QueryStatus::Running, ..accepted_after(2) };
    let hidden = QueryRecord { forgotten: true, ..accepted_after(3) };
    let ended = QueryRecord { status: QueryStatus::Succeeded, ..accepted_after(0) };
    for record in [&hidden, &ended, &running, &owing] {
        add(journal, record);
    }
    assert_eq!(ids(&journal.unsettled().unwrap()), [owing.id, running.id, hidden.id]);
    change(journal, &owing, |record| record.owes.clear());
    change(journal, &running, |record| record.status = QueryStatus::Failed);
    assert_eq!(ids(&journal.unsettled().unwrap()), [hidden.id]);
}

pub(super) fn the_expired_are_longest_overdue_first_and_bounded(journal: &dyn Journal) {
    let records = [1, 2, 3].map(accepted_after);
    for record in records.iter().rev() {
        add(journal, record);
    }
    let expired =
        |millis, limit| ids(&journal.expired(NOW + TTL + Duration::from_millis(millis), limit).unwrap());
    assert_eq!(expired(0, 9), []);
    assert_eq!(expired(2, 9), ids(&records[..2]));
    assert_eq!(expired(9, 9), ids(&records));
    assert_eq!(expired(9, 1), ids(&records[..1]));
    assert_eq!(expired(9, 0), []);
}

pub(super) fn a_forgotten_record_that_owes_does_not_expire_again(journal: &dyn Journal) {
    let ended = |record| QueryRecord { status: QueryStatus::Canceled, ..record };
    let running = QueryRecord { forgotten: true, ..accepted_after(1) };
    let mut owing = QueryRecord { forgotten: true, ..ended(accepted_after(2)) };
    owing.owes.insert(Obligation::CancelRemote);
    let paid = QueryRecord { forgotten: true, ..ended(accepted_after(3)) };
    let mut in_sight = ended(accepted_after(4));
    in_sight.owes.insert(Obligation::CancelRemote);
    for record in [&running, &owing, &paid, &in_sight] {
        add(journal, record);
    }
    let later = NOW + TTL * 2;
    assert_eq!(ids(&journal.expired(later, 9).unwrap()), [paid.id, in_sight.id]);
    change(journal, &owing, |record| record.owes.clear());
    assert_eq!(ids(&journal.expired(later, 9).unwrap()), [owing.id, paid.id, in_sight.id]);
}

pub(super) fn a_record_is_deleted_only_at_the_version_seen(journal: &dyn Journal) {
    let first = keyed("k");
    add(journal, &first);
    let second = change(journal, &first, |_| ());
    assert_eq!(journal.delete(first.id, first.version), Ok(false));
    assert_eq!(journal.delete(first.id, second.version), Ok(true));
    assert_eq!(journal.delete(first.id, second.version), Ok(false));
    assert_eq!(journal.get(first.id), Ok(None));
    add(journal, &keyed("k"));
}

fn engine() -> EngineFacts {
    EngineFacts { target: "test".to_owned(), embedded: false }
}
