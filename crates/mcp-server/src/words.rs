//! Sentences about queries: what is the case and what to do next. Pure functions, so that every word can be tested.

use std::time::Duration;

use registry_core::clock::Timestamp;
use registry_core::error::ErrorKind;
use registry_core::options::{Priority, QueryContext, QueryOptions};
use registry_core::record::{LostRows, StopReason};
use registry_core::registry::{CancelReason, Joined};
use registry_core::results::Truncation;
use registry_core::snapshot::{QuerySnapshot, QueryStatus};

/// A span of time as a person says it: `420 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..=9 => format!("{} s", (time.as_secs_f64() * 10.0).floor() / 10.0),
        10..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// What is the case with a query whose rows follow.
pub fn succeeded(snapshot: &QuerySnapshot, now: Timestamp) -> String {
    format!("Query {} succeeded in {}.", snapshot.query_id, span(snapshot.elapsed(now)))
}

/// What is the case with a query, in one sentence.
pub fn state(snapshot: &QuerySnapshot, now: Timestamp) -> String {
    let id = snapshot.query_id;
    let time = span(snapshot.elapsed(now));
    match snapshot.status {
        QueryStatus::Pending => match snapshot.queue_position {
            Some(place) => format!("Query {id} waits for a free place, number {place} in line ({time})."),
            None => format!("Query {id} is being started ({time}).{}", out_of_reach(snapshot)),
        },
        QueryStatus::Running => {
            let (rows, fetching) = (rows_so_far(snapshot), fetching(snapshot));
            format!("Query {id} is running ({time}{rows}).{fetching}{}", out_of_reach(snapshot))
        }
        QueryStatus::Succeeded => {
            format!("Query {id} succeeded in {time}{}.{}", rows_in_all(snapshot), rows_lost(snapshot))
        }
        QueryStatus::Failed => format!("Query {id} failed after {time}{}", reason(snapshot)),
        QueryStatus::Canceled if snapshot.never_sent => {
            format!("Query {id} was canceled after {time}, before it was sent to the engine.")
        }
        QueryStatus::Canceled if snapshot.stop_confirmed => format!("Query {id} was canceled after {time}."),
        QueryStatus::Canceled => {
            format!("Query {id} was canceled after {time}; the engine has not confirmed that it stopped.")
        }
        QueryStatus::Timeout => {
            format!("Query {id} ended after {time}{}", reason(snapshot))
        }
    }
}

/// The state of a waiting query without its id: short, because clients show it beside a spinner.
pub fn progress(snapshot: &QuerySnapshot, now: Timestamp) -> String {
    let time = span(snapshot.elapsed(now));
    if let Some(error) = &snapshot.unreachable {
        return format!("{}: {time}, engine out of reach: {}", snapshot.status, error.message);
    }
    match snapshot.queue_position {
        Some(place) => format!("{}: {time}, number {place} in line", snapshot.status),
        None => format!("{}: {time}{}", snapshot.status, rows_so_far(snapshot)),
    }
}

fn rows_so_far(snapshot: &QuerySnapshot) -> String {
    match snapshot.stored_rows {
        0 => String::new(),
        rows => format!(", {rows} rows so far"),
    }
}

fn fetching(snapshot: &QuerySnapshot) -> &'static str {
    if snapshot.is_fetching { " The statement has succeeded; its rows are being fetched." } else { "" }
}

fn out_of_reach(snapshot: &QuerySnapshot) -> String {
    let error = snapshot.unreachable.as_ref();
    error
        .map(|e| format!(" The engine cannot be reached: {}", crate::answer::short(&e.message)))
        .unwrap_or_default()
}

fn rows_in_all(snapshot: &QuerySnapshot) -> String {
    if let Some(cut) = cut(snapshot).filter(|_| snapshot.lost_rows.is_none()) {
        return format!("; {cut}");
    }
    snapshot.row_count.map(|rows| format!(" with {}", count(rows, "row"))).unwrap_or_default()
}

/// That only a part of the result is stored, where that is so.
pub fn cut(snapshot: &QuerySnapshot) -> Option<String> {
    let flag = flag_of(snapshot.truncated?);
    let (stored, all) = (snapshot.stored_rows, all_rows(snapshot));
    Some(format!("only the first {stored} of {all} rows are stored ({flag})"))
}

/// The rows that are stored, and of how many: `7 rows`, `435 of 3000 rows`, `100 of more rows`.
pub fn stored_rows(snapshot: &QuerySnapshot) -> String {
    match snapshot.truncated {
        None => count(snapshot.stored_rows, "row"),
        Some(_) => format!("{} of {} rows", snapshot.stored_rows, all_rows(snapshot)),
    }
}

fn all_rows(snapshot: &QuerySnapshot) -> String {
    snapshot.row_count.map_or_else(|| "more".to_owned(), |rows| rows.to_string())
}

fn rows_lost(snapshot: &QuerySnapshot) -> String {
    match snapshot.lost_rows {
        None => String::new(),
        Some(LostRows::Removed) => " Its rows are no longer stored.".to_owned(),
        Some(LostRows::Evicted { limit }) => format!(" {}", made_room("Its rows", limit)),
    }
}

/// Why rows were removed before their time.
pub fn made_room(whose: &str, limit: u64) -> String {
    format!(
        "{whose} were removed to make room for newer ones: all results together may take {} (--max-spool-bytes).",
        size(limit)
    )
}

/// A number of bytes as flags take it: `20 GiB`, `1536 KiB`, `700 bytes`.
pub fn size(bytes: u64) -> String {
    match bytes {
        0 => "0 bytes".to_owned(),
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn reason(snapshot: &QuerySnapshot) -> String {
    snapshot
        .error
        .as_ref()
        .map_or_else(|| ".".to_owned(), |e| format!(": {}", crate::answer::short(&e.message)))
}

/// `1 row`, `2 rows`.
pub fn count(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// What to do about a query that has not ended, or that ended without being read.
pub fn next(snapshot: &QuerySnapshot) -> Option<String> {
    let id = snapshot.query_id;
    match snapshot.status {
        QueryStatus::Pending | QueryStatus::Running if snapshot.is_being_stopped() => {
            Some(format!("It is being stopped. Call query_status with query_id {id} to see how it ended."))
        }
        QueryStatus::Pending if snapshot.unreachable.is_some() => Some(format!(
            "It waits until the engine can be reached, and is tried again by itself. Tell the user what \
             engine_unreachable says if that goes on; to give up, call query_cancel with query_id {id}."
        )),
        QueryStatus::Running if snapshot.unreachable.is_some() => Some(
            "As far as is known it goes on at the engine, which is asked again by itself. Tell the user what \
             engine_unreachable says if that goes on. Do not resubmit the query."
                .to_owned(),
        ),
        QueryStatus::Pending | QueryStatus::Running => Some(format!(
            "Still running normally. Call query_result with query_id {id}; it waits for you. Do not resubmit the query."
        )),
        QueryStatus::Succeeded if snapshot.lost_rows.is_some() => Some(RUN_AGAIN.to_owned()),
        QueryStatus::Succeeded => {
            let which = if snapshot.truncated.is_some() { "the rows that are stored" } else { "the rows" };
            Some(format!("Call query_result with query_id {id} to read {which}."))
        }
        QueryStatus::Failed | QueryStatus::Timeout => {
            Some(with_new_key(snapshot, after_failure(snapshot.error.as_ref().map(|error| error.kind))))
        }
        QueryStatus::Canceled => {
            Some(with_new_key(snapshot, "Call async_execute_query again if the result is still wanted."))
        }
    }
}

/// `step`, and that another submission needs another key: the old one would find the same end for ever.
fn with_new_key(snapshot: &QuerySnapshot, step: &str) -> String {
    let warning = " To submit again, pass a new idempotency_key: the old one only finds this query.";
    format!("{step}{}", if snapshot.has_key { warning } else { "" })
}

/// What to do about a success whose rows are gone. The old key would only find the old query.
pub const RUN_AGAIN: &str =
    "Call async_execute_query to run the statement again, without its old idempotency_key.";

/// What the caller does about an error of this class.
pub fn after_failure(kind: Option<ErrorKind>) -> &'static str {
    match kind {
        Some(ErrorKind::Sql) => "Mend the SQL and call async_execute_query again.",
        Some(ErrorKind::Refused) => {
            "Change the statement as the message says and call async_execute_query again."
        }
        Some(ErrorKind::Permission) => {
            "Query what this role may see, or ask the user to grant the role what is missing."
        }
        Some(ErrorKind::Configuration) => {
            "Tell the user what the message says has to be mended; calling again does not help before that."
        }
        Some(ErrorKind::Authentication) => {
            "Tell the user what the message says about signing in; calling again does not help before that."
        }
        Some(ErrorKind::ResourceLimit) => {
            "Make the statement read or return less: select fewer columns, add WHERE or LIMIT, aggregate."
        }
        Some(ErrorKind::CanceledExternally) => {
            "Somebody stopped it at the engine. Ask the user before running it again."
        }
        Some(ErrorKind::Timeout) => {
            "Make the statement read less, or call async_execute_query again with a larger timeout_seconds; if the limit \
             was that of --max-timeout, only the user can raise it."
        }
        Some(ErrorKind::RemoteLost | ErrorKind::SubmitLost) => {
            "It is not known whether the statement took effect. Check that first if it writes, then run it again."
        }
        Some(ErrorKind::Unavailable) => {
            "Call async_execute_query again; if it fails like this again, tell the user what the message says, and \
             that async-query-mcp doctor checks the connection."
        }
        Some(
            ErrorKind::Throttled | ErrorKind::EngineStopped | ErrorKind::ResultFetch | ErrorKind::ResultStore,
        ) => "Call async_execute_query again; the same statement may succeed now.",
        Some(ErrorKind::Protocol | ErrorKind::Internal) | None => {
            "Tell the user; the server's log on stderr says more."
        }
    }
}

/// What a person at a terminal does about an error of this class, where there is more to say than the error says.
pub fn for_a_person(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Timeout => Some("Give it longer with --timeout, or --max-timeout."),
        ErrorKind::Unavailable => Some("Check the connection with: async-query-mcp doctor"),
        ErrorKind::Sql
        | ErrorKind::Refused
        | ErrorKind::Permission
        | ErrorKind::Authentication
        | ErrorKind::Configuration
        | ErrorKind::Throttled
        | ErrorKind::ResourceLimit
        | ErrorKind::CanceledExternally
        | ErrorKind::EngineStopped
        | ErrorKind::RemoteLost
        | ErrorKind::SubmitLost
        | ErrorKind::ResultFetch
        | ErrorKind::ResultStore
        | ErrorKind::Protocol
        | ErrorKind::Internal => None,
    }
}

/// What a cancel request achieved.
pub fn cancel(reason: CancelReason, snapshot: &QuerySnapshot) -> String {
    let id = snapshot.query_id;
    match reason {
        CancelReason::Canceled => format!("Query {id} is canceled; the engine confirmed that it stopped."),
        CancelReason::NeverSent => {
            format!("Query {id} is canceled; it was never sent to the engine.")
        }
        CancelReason::Requested if snapshot.is_fetching => format!(
            "Too late to cancel query {id}: the statement has succeeded, and its rows are being fetched."
        ),
        CancelReason::Requested => {
            format!("Query cancellation requested: {id}. The engine has not confirmed yet.")
        }
        CancelReason::AlreadyCompleted => {
            format!("Nothing to cancel: query {id} had ended before, as {}.", snapshot.status)
        }
        CancelReason::AlreadyCanceled => format!("Query {id} was canceled before."),
        CancelReason::Refused => {
            let words =
                snapshot.cancel_refused.as_ref().map_or("no reason given", |error| error.message.as_str());
            let words = crate::answer::short(words);
            format!("Failed to cancel query {id}: the engine refused ({words}). The query goes on.")
        }
        CancelReason::Unconfirmed => format!(
            "Query {id} is canceled here, but the engine has not confirmed that it stopped. The server goes on asking \
             it to."
        ),
    }
}

/// What to do after a cancel request.
pub fn after_cancel(reason: CancelReason, snapshot: &QuerySnapshot) -> Option<String> {
    let id = snapshot.query_id;
    match reason {
        CancelReason::Requested if snapshot.is_fetching => next(snapshot),
        CancelReason::Requested => Some(format!("Call query_status with query_id {id} to see how it ended.")),
        CancelReason::AlreadyCompleted => next(snapshot),
        CancelReason::Refused => Some(
            "Ask the user: the role of this connection may need the right to cancel its queries.".to_owned(),
        ),
        CancelReason::Canceled
        | CancelReason::NeverSent
        | CancelReason::AlreadyCanceled
        | CancelReason::Unconfirmed => None,
    }
}

/// What to do about a query that still runs while the server goes away.
pub fn after_restart(snapshot: &QuerySnapshot) -> String {
    let id = snapshot.query_id;
    format!(
        "Once the server has been started again, call query_status with query_id {id} to see what became of it."
    )
}

/// Why a query is being stopped, in a word.
pub fn stop_reason(reason: StopReason) -> &'static str {
    match reason {
        StopReason::User => "canceled by request",
        StopReason::Ttl => "retention ended",
        StopReason::Shutdown => "server shutting down",
        StopReason::Timeout => "time limit passed",
    }
}

/// Why rows are missing for good, in a word.
pub fn truncation(truncated: Truncation) -> &'static str {
    match truncated {
        Truncation::RowCeiling => "row_ceiling",
        Truncation::ByteCeiling => "byte_ceiling",
        Truncation::SpoolCeiling => "spool_ceiling",
    }
}

/// The flag behind a ceiling.
pub fn flag_of(truncated: Truncation) -> &'static str {
    match truncated {
        Truncation::RowCeiling => "--max-result-rows",
        Truncation::ByteCeiling => "--max-result-bytes",
        Truncation::SpoolCeiling => "--max-spool-bytes",
    }
}

/// Why the rows of a success cannot be read any more, in a word.
pub fn lost_rows(lost: LostRows) -> &'static str {
    match lost {
        LostRows::Removed => "gone",
        LostRows::Evicted { .. } => "evicted",
    }
}

/// That a statement may not run for as long as was asked for.
pub fn shortened(limit: Duration) -> String {
    format!("The time limit was cut to {} (--max-timeout).", span(limit))
}

/// Why an earlier query stands for a request.
pub fn joined(joined: Joined) -> &'static str {
    match joined {
        Joined::SameKey => "an earlier query has the same idempotency_key",
        Joined::Identical => "an identical statement is still running",
    }
}

/// What of `asked` does not hold for the earlier query that stands for the request and runs with other settings.
pub fn own_settings(asked: &QueryOptions, runs_with: &QueryOptions) -> Option<String> {
    let limit = (asked.query_timeout != runs_with.query_timeout).then(|| match runs_with.query_timeout {
        Some(limit) => format!("a time limit of {}", span(limit)),
        None => "the server's time limit".to_owned(),
    });
    let priority = (asked.priority != runs_with.priority).then(|| match runs_with.priority {
        Priority::High => "high priority".to_owned(),
        Priority::Medium => "medium priority".to_owned(),
        Priority::Low => "low priority".to_owned(),
    });
    let own: Vec<String> = limit.into_iter().chain(priority).collect();
    (!own.is_empty()).then(|| {
        format!("It keeps the settings it was started with: {}. For others, cancel it first.", own.join(", "))
    })
}

/// A retention as a person says it: `24 hours`, `90 minutes`.
pub fn retention(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds >= 3600 && seconds % 3600 == 0 => count(seconds / 3600, "hour"),
        seconds if seconds >= 60 && seconds % 60 == 0 => count(seconds / 60, "minute"),
        seconds => count(seconds, "second"),
    }
}

/// Where and as whom a query runs, where that was asked for.
pub fn context(context: &QueryContext) -> Option<String> {
    let parts: Vec<_> = context.parts().map(|(name, value)| format!("{name} {value}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_a_person_says_them() {
        let cases = [
            (0, "0 ms"),
            (424, "424 ms"),
            (1_000, "1 s"),
            (9_990, "9.9 s"),
            (12_900, "12 s"),
            (119_000, "119 s"),
            (200_000, "3 min 20 s"),
            (7_500_000, "2 h 5 min"),
        ];
        for (millis, expected) in cases {
            assert_eq!(span(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn sizes_are_said_in_the_largest_unit_that_fits() {
        let cases = [
            (0, "0 bytes"),
            (700, "700 bytes"),
            (1536 << 10, "1536 KiB"),
            (64 << 20, "64 MiB"),
            (20 << 30, "20 GiB"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn one_row_is_singular() {
        assert_eq!([count(0, "row"), count(1, "row"), count(2, "row")], ["0 rows", "1 row", "2 rows"]);
    }
}
