use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tokio::time::{advance, sleep, timeout};

use super::*;
use crate::backend::{FetchError, Lookup, Rows, Submission, SubmitError};
use crate::error::ErrorInfo;
use crate::id::QueryId;
use crate::record::RemotePhase;
use crate::results::{ResultLimits, ResultStore};
use crate::testing::conformance::{Statements, exercise};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What a driver would hold.
struct Bench {
    engine: ScriptedBackend,
    session: Box<dyn Session>,
    store: ResultStore,
    _directory: TempDir,
}

impl Bench {
    async fn over(engine: &ScriptedBackend) -> Self {
        let directory = TempDir::new().unwrap();
        let store = ResultStore::open(directory.path().join("results"), ResultLimits::default()).unwrap();
        let session = engine.open_session().await.unwrap();
        Self { engine: engine.clone(), session, store, _directory: directory }
    }

    async fn send(&mut self, request_id: RequestId, retry: bool) -> Result<RemoteHandle, SubmitError> {
        let query_id = QueryId::generate();
        let submission = Submission {
            query_id,
            request_id,
            sql: Arc::from("select 1"),
            context: crate::options::QueryContext::default(),
            time_limit: MINUTE,
            row_limit: None,
            tag: "a tag".to_owned(),
            retry,
            rows: self.store.writer(query_id),
        };
        self.session.submit(submission).await
    }

    async fn start(&mut self) -> RemoteHandle {
        self.send(RequestId::generate(), false).await.unwrap()
    }

    async fn check(&mut self, handle: &RemoteHandle) -> Progress {
        self.session.check(handle).await.unwrap()
    }
}

async fn over(script: Script) -> Bench {
    Bench::over(&ScriptedBackend::remote().by_default(script)).await
}

fn error() -> ErrorInfo {
    ErrorInfo::new(ErrorKind::Sql, "no table is called t; list the tables")
}

fn statements() -> Statements {
    Statements {
        quick: "quick".to_owned(),
        empty: "empty".to_owned(),
        wrong: "wrong".to_owned(),
        endless: "endless".to_owned(),
        many_rows: |rows| format!("rows {rows}"),
        values: "values".to_owned(),
        stop_bound: 5 * SECOND,
    }
}

fn conforming(engine: ScriptedBackend) -> ScriptedBackend {
    let values = json!([null, "Zoë 東京 🎁", 9_007_199_254_740_993_i64, i64::MIN, "a\nb"]);
    let columns = [("a", "T"), ("b", "T"), ("c", "I"), ("d", "I"), ("e", "T")];
    let one = [("one", "INTEGER")];
    engine
        .on("quick", Script::runs_for(SECOND).with_rows(&one, vec![vec![json!(1)]]))
        .on("empty", Script::at_once().with_rows(&one, vec![]))
        .on("wrong", Script::rejected(error()))
        .on("endless", Script::never_ends())
        .on("rows 20000", Script::runs_for(SECOND).with_count(20_000))
        .on("values", Script::at_once().with_rows(&columns, vec![values.as_array().unwrap().clone()]))
}

#[tokio::test(start_paused = true)]
async fn a_scripted_engine_keeps_the_promises_of_every_engine() {
    for engine in [ScriptedBackend::remote(), ScriptedBackend::embedded()] {
        let engine = conforming(engine).cancel_takes(SECOND).calls_take(Duration::from_millis(20));
        exercise(&engine, &statements()).await;
        assert_eq!(engine.complaints(), Vec::<String>::new());
        assert_eq!((engine.open_sessions(), engine.dropped_sessions(), engine.running()), (0, 0, 0));
        assert!(engine.most_open_sessions() >= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_queued_then_runs_then_ends_on_the_runtimes_clock() {
    let mut bench = over(Script::runs_for(5 * SECOND).queued_for(2 * SECOND)).await;
    let handle = bench.start().await;
    assert_eq!(bench.check(&handle).await, Progress::Running(RemotePhase::Queued));
    advance(2 * SECOND).await;
    assert_eq!(bench.check(&handle).await, Progress::Running(RemotePhase::Running));
    assert_eq!(bench.engine.running(), 1);
    advance(3 * SECOND).await;
    assert_eq!(bench.check(&handle).await, Progress::Succeeded(Rows::AtEngine));
    assert_eq!(bench.engine.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_statement_follows_its_own_script_and_all_others_the_default() {
    let engine = ScriptedBackend::remote().on("select 1", Script::at_once().then_fails(error()));
    let mut bench = Bench::over(&engine).await;
    let handle = bench.start().await;
    assert_eq!(bench.check(&handle).await, Progress::Failed(error()));
    let mut other = over(Script::rejected(error())).await;
    assert_eq!(other.send(RequestId::generate(), false).await, Err(SubmitError::Rejected(error())));
    assert_eq!(other.engine.all_executions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_statement_ends_at_its_time_limit_unless_told_otherwise() {
    let mut bench = over(Script::never_ends()).await;
    let mut boundless = Bench::over(&ScriptedBackend::remote().by_default(Script::never_ends())).await;
    boundless.engine = boundless.engine.clone().without_time_limits();
    let (limited, free) = (bench.start().await, boundless.start().await);
    advance(MINUTE).await;
    assert_eq!(bench.check(&limited).await, Progress::TimedOut);
    assert_eq!(boundless.check(&free).await, Progress::Running(RemotePhase::Running));
}

#[tokio::test(start_paused = true)]
async fn a_repeat_that_says_so_runs_nothing_and_one_that_does_not_is_a_complaint() {
    let mut bench = over(Script::never_ends()).await;
    let request = RequestId::generate();
    let first = bench.send(request, false).await;
    assert_eq!(bench.send(request, true).await, first);
    assert_eq!((bench.engine.executions(request), bench.engine.complaints().len()), (1, 0));
    bench.send(request, false).await.unwrap();
    assert_eq!((bench.engine.executions(request), bench.engine.complaints().len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unclear_submission_takes_effect_or_not_as_told() {
    for (fault, at_once, later) in
        [(Fault::SubmitLost, 0, 0), (Fault::SubmitAnswerLost, 1, 1), (Fault::SubmitArrivesLate(SECOND), 0, 1)]
    {
        let mut bench = over(Script::never_ends()).await;
        bench.engine.once(fault.clone());
        let answer = bench.send(RequestId::generate(), false).await;
        assert!(matches!(answer, Err(SubmitError::Unclear(_))), "{fault:?}: {answer:?}");
        assert_eq!(bench.engine.running(), at_once, "{fault:?}");
        advance(SECOND).await;
        assert_eq!(bench.engine.running(), later, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_arrives_late_is_recognised_as_what_ran_already() {
    let mut bench = over(Script::never_ends()).await;
    let request = RequestId::generate();
    bench.engine.once(Fault::SubmitArrivesLate(SECOND));
    bench.send(request, false).await.unwrap_err();
    assert_eq!(bench.session.lookup(request).await, Ok(Lookup::Missing));
    let handle = bench.send(request, true).await.unwrap();
    advance(SECOND).await;
    assert_eq!(bench.engine.executions(request), 1);
    assert_eq!(bench.session.lookup(request).await, Ok(Lookup::Found(handle)));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stalls_never_returns_and_has_its_effect_or_not() {
    for (fault, effect) in [(Fault::SubmitStalls, 0), (Fault::SubmitAnswerStalls, 1)] {
        let mut bench = over(Script::never_ends()).await;
        bench.engine.once(fault.clone());
        assert!(timeout(MINUTE / 2, bench.send(RequestId::generate(), false)).await.is_err(), "{fault:?}");
        assert_eq!(bench.engine.running(), effect, "{fault:?}");
    }
    let mut bench = over(Script::never_ends()).await;
    let handle = bench.start().await;
    bench.engine.always(Fault::CheckStalls);
    bench.engine.once(Fault::CancelStalls);
    bench.engine.once(Fault::OpenStalls);
    assert!(timeout(SECOND, bench.session.check(&handle)).await.is_err());
    assert!(timeout(SECOND, bench.engine.cancel(&handle)).await.is_err());
    assert!(timeout(SECOND, bench.engine.open_session()).await.is_err());
    assert_eq!(bench.engine.running(), 1);
    bench.engine.heal();
    assert_eq!(bench.check(&handle).await, Progress::Running(RemotePhase::Running));
}

#[tokio::test(start_paused = true)]
async fn planned_faults_are_met_in_turn_and_then_no_more() {
    let mut bench = over(Script::at_once()).await;
    let handle = bench.start().await;
    bench.engine.times(2, Fault::CheckNoData);
    bench.engine.once(Fault::CheckUnclear);
    bench.engine.times(0, Fault::CheckStalls);
    assert_eq!(bench.check(&handle).await, Progress::NoData);
    assert_eq!(bench.check(&handle).await, Progress::NoData);
    assert!(bench.session.check(&handle).await.is_err());
    assert_eq!(bench.check(&handle).await, Progress::Succeeded(Rows::AtEngine));
    assert_eq!(bench.engine.calls(Call::Check), 4);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_request_does_and_says_what_it_was_told() {
    let refused = || CancelReply::Refused(error());
    for (fault, reply, stops) in [
        (Fault::CancelLost, None, false),
        (Fault::CancelAnswerLost, None, true),
        (Fault::CancelRefused(error()), Some(refused()), false),
        (Fault::CancelNotRunning, Some(CancelReply::NotRunning), false),
        (Fault::CancelIgnored, Some(CancelReply::Accepted), false),
    ] {
        let mut bench = over(Script::never_ends()).await;
        let handle = bench.start().await;
        bench.engine.once(fault.clone());
        assert_eq!(bench.engine.cancel(&handle).await.ok(), reply, "{fault:?}");
        assert_eq!(bench.engine.running() == 0, stops, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_its_time_and_a_success_in_that_time_stays_one() {
    for (runs_for, end) in [(2, Progress::Succeeded(Rows::AtEngine)), (9, Progress::Aborted)] {
        let engine = ScriptedBackend::remote().cancel_takes(5 * SECOND);
        let mut bench = Bench::over(&engine.by_default(Script::runs_for(runs_for * SECOND))).await;
        let handle = bench.start().await;
        assert_eq!(bench.engine.cancel(&handle).await, Ok(CancelReply::Accepted));
        assert_eq!(bench.check(&handle).await, Progress::Running(RemotePhase::Running));
        advance(5 * SECOND).await;
        assert_eq!(bench.check(&handle).await, end);
        assert_eq!(bench.engine.cancel(&handle).await, Ok(CancelReply::NotRunning));
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_has_a_session_of_its_own_in_the_log() {
    let mut bench = over(Script::never_ends()).await;
    let handle = bench.start().await;
    bench.engine.cancel(&handle).await.unwrap();
    let sessions = |wanted: Call| -> Vec<u64> {
        let log = bench.engine.log().into_iter();
        log.filter(|entry| entry.what.call() == Some(wanted)).map(|entry| entry.session).collect()
    };
    assert_eq!((sessions(Call::Submit), sessions(Call::Cancel)), (vec![1], vec![2]));
}

#[tokio::test(start_paused = true)]
async fn rows_can_be_fetched_after_failures_until_they_are_forgotten() {
    let mut bench = over(Script::at_once().with_count(3)).await;
    let handle = bench.start().await;
    bench.engine.once(Fault::FetchFails);
    bench.engine.once(Fault::FetchFailsForGood(error()));
    let id = QueryId::generate();
    let mut answers = vec![];
    for _ in 0..3 {
        answers.push(bench.session.fetch(&handle, bench.store.writer(id)).await);
    }
    assert!(matches!(answers[0], Err(FetchError::Retry(_))));
    assert_eq!(answers[1], Err(FetchError::Final(error())));
    assert_eq!(answers[2].as_ref().unwrap().rows, 3);
    assert_eq!(bench.store.page(id, 1, 9, u64::MAX).unwrap().rows, [[json!(2)], [json!(3)]]);
    bench.engine.forget_results();
    let gone = bench.session.fetch(&handle, bench.store.writer(id)).await;
    assert!(matches!(gone, Err(FetchError::Final(_))));
}

#[tokio::test(start_paused = true)]
async fn a_service_keeps_its_statements_over_a_restart_and_an_embedded_engine_forgets_them() {
    let script = || Script::runs_for(SECOND);
    let remote = ScriptedBackend::remote().by_default(script());
    let embedded = ScriptedBackend::embedded().by_default(script());
    for (engine, known) in [(remote, true), (embedded, false)] {
        let request = RequestId::generate();
        let handle = Bench::over(&engine).await.send(request, false).await.unwrap();
        let mut next = Bench::over(&engine.restarted()).await;
        let (progress, found) = (next.check(&handle).await, next.session.lookup(request).await);
        match known {
            true => {
                assert_eq!(progress, Progress::Running(RemotePhase::Running));
                assert_eq!(found, Ok(Lookup::Found(handle)));
            }
            false => assert_eq!((progress, found), (Progress::Gone, Ok(Lookup::NeverArrived))),
        }
        assert_eq!(next.engine.dropped_sessions(), 1, "the session of the process that died");
    }
}

#[tokio::test(start_paused = true)]
async fn an_embedded_engine_stores_while_it_runs_and_tells_of_the_end() {
    let engine = ScriptedBackend::embedded().by_default(Script::runs_for(3 * SECOND).with_count(2));
    let mut bench = Bench::over(&engine).await;
    let handle = bench.start().await;
    timeout(3 * SECOND, bench.session.changed(&handle)).await.unwrap();
    let Progress::Succeeded(Rows::Stored(rows)) = bench.check(&handle).await else { panic!("no rows") };
    assert_eq!(rows.rows, 2);
}

#[tokio::test(start_paused = true)]
async fn an_embedded_engine_tells_of_a_stop_and_a_service_does_not() {
    for (engine, tells) in [(ScriptedBackend::embedded(), true), (ScriptedBackend::remote(), false)] {
        let mut bench = Bench::over(&engine.by_default(Script::never_ends())).await;
        let (handle, engine) = (bench.start().await, bench.engine.clone());
        let told = tokio::join!(timeout(MINUTE / 2, bench.session.changed(&handle)), async {
            sleep(SECOND).await;
            engine.stop_from_outside();
        });
        assert_eq!(told.0.is_ok(), tells);
        assert_eq!(bench.check(&handle).await, Progress::Aborted);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_and_what_was_left_open_can_be_seen() {
    let mut bench = over(Script::at_once()).await;
    let handle = bench.start().await;
    let sent = bench.engine.submissions();
    assert_eq!((sent[0].sql.as_str(), sent[0].tag.as_str()), ("select 1", "a tag"));
    assert_eq!((sent[0].time_limit, sent[0].retry), (MINUTE, false));
    bench.engine.once(Fault::OpenFails);
    assert!(bench.engine.open_session().await.is_err());
    assert_eq!((bench.engine.open_sessions(), bench.engine.calls(Call::Open)), (1, 2));
    bench.engine.once(Fault::CloseFails);
    assert!(bench.session.close().await.is_err());
    assert_eq!((bench.engine.open_sessions(), bench.engine.dropped_sessions()), (0, 0));
    bench.engine.forget_statements();
    let mut next = Bench::over(&bench.engine).await;
    assert_eq!(next.check(&handle).await, Progress::NoData);
}

#[tokio::test(start_paused = true)]
async fn the_suite_waits_for_a_service_that_does_not_know_its_own_handle_at_first() {
    let engine = ScriptedBackend::remote().on("endless", Script::never_ends());
    engine.times(2, Fault::CheckNoData);
    crate::testing::conformance::a_stopped_statement_ends_as_aborted(&engine, &statements()).await;
}
