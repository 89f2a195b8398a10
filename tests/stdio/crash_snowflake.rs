//! The process is killed around a submission to Snowflake, many times at once; nothing runs twice, nothing is lost, and
//! what is reported is true.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use registry_core::journal::{Durability, Journal, SqliteJournal};
use registry_core::record::QueryRecord;
use serde_json::{Value, json};
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::server_process::{PATIENCE, ServerProcess};

use crate::Schedule;
use crate::snowflake::{APIS, Site};

/// So many schedules are under way at once; most of their time they wait for a window to pass.
const AT_ONCE: usize = 50;
/// So many are between start and kill at once, so that a moment is what it says on two cores.
const STARTING: usize = 2;
/// Longer than a window in which a lost submission may arrive, and than what is owed after it takes.
const LONG: Duration = Duration::from_secs(600);

/// When the process is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So many microseconds after the call was accepted: before the request, or on its way.
    AfterTheCall(u64),
    /// The statement was taken, its answer is held back.
    BeforeTheAnswer,
    /// So many microseconds after the statement was taken: around the answer and what is written of it.
    AroundTheAnswer(u64),
}

/// What a caller wants of the query besides its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Rows,
    Cancel,
    TimeLimit,
}

impl Wish {
    fn end(self) -> &'static str {
        match self {
            Self::Rows => "succeeded",
            Self::Cancel => "canceled",
            Self::TimeLimit => "timeout",
        }
    }
}

/// One history to play.
#[derive(Debug, Clone, Copy)]
struct Plan {
    api: &'static str,
    moment: Moment,
    wish: Wish,
    /// What befalls the submission before the kill.
    fault: Option<bool>,
    /// The next process is killed too, after so many microseconds.
    second_kill: Option<u64>,
}

impl Plan {
    /// `long` has the histories in which a submission may be lost, which takes minutes to be known.
    fn draw(round: usize, long: bool) -> Self {
        let schedule = &mut Schedule(20_261_121 + round as u64 * 7_919);
        schedule.below(2);
        let api = APIS[round % APIS.len()];
        let may_be_lost = long || api == "sql";
        let moment = match schedule.below(4) {
            0 | 1 if may_be_lost => Moment::AfterTheCall(schedule.below(60_000)),
            2 => Moment::BeforeTheAnswer,
            _ => Moment::AroundTheAnswer(schedule.below(8_000)),
        };
        let random = matches!(moment, Moment::AfterTheCall(_));
        let wish = match schedule.below(3) {
            0 if long || !random => Wish::Cancel,
            1 if long || !random => Wish::TimeLimit,
            _ => Wish::Rows,
        };
        let fault = match schedule.below(3) {
            0 if random => Some(false),
            1 if random => Some(true),
            _ => None,
        };
        let second_kill = (schedule.below(4) == 0).then(|| schedule.below(300_000));
        Self { api, moment, wish, fault, second_kill }
    }

    fn arguments(&self) -> Value {
        match self.wish {
            Wish::Rows => json!({ "sql": "select 7 /* fake: runs=1 */", "wait_seconds": 0 }),
            Wish::Cancel => json!({ "sql": "select 7 /* fake: runs=3600 */", "wait_seconds": 0 }),
            Wish::TimeLimit => {
                json!({ "sql": "select 7 /* fake: runs=3600 */", "wait_seconds": 0, "timeout_seconds": 3 })
            }
        }
    }

    fn faults(&self) -> Option<Fault> {
        let of_the_statement = |fault: Fault| Fault { holding: "fake: runs".to_owned(), ..fault };
        let fault = match (self.moment, self.fault) {
            (Moment::BeforeTheAnswer, _) => Fault::once("submit", Misbehaviour::HalfOpen).after_effect(),
            (_, Some(true)) => Fault::once("submit", Misbehaviour::Reset).after_effect(),
            (_, Some(false)) => Fault::once("submit", Misbehaviour::Reset),
            (_, None) => return None,
        };
        Some(of_the_statement(fault))
    }
}

/// Kills around the submission: before the request, between request and answer, between answer and journal.
/// `SCHEDULES=200` in the environment makes the long run, in which submissions are lost too.
#[test]
fn kills_around_the_submission_run_nothing_twice_and_lose_nothing() {
    let asked_for = std::env::var("SCHEDULES").ok().and_then(|count| count.parse().ok());
    let (schedules, long): (usize, bool) = (asked_for.unwrap_or(32), asked_for.is_some());
    let (next, starting) = (AtomicUsize::new(0), Starting::default());
    let (ends, failures) = (Mutex::new(BTreeMap::new()), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..schedules.min(AT_ONCE) {
            scope.spawn(|| {
                loop {
                    let round = next.fetch_add(1, Ordering::Relaxed);
                    if round >= schedules {
                        return;
                    }
                    let plan = Plan::draw(round, long);
                    match catch_unwind(AssertUnwindSafe(|| play(&plan, &starting))) {
                        Ok(status) => *lock(&ends).entry(format!("{} {status}", plan.api)).or_insert(0) += 1,
                        Err(_) => lock(&failures).push(format!("{round}: {plan:?}")),
                    }
                }
            });
        }
    });
    let ends = ends.into_inner().unwrap();
    println!("{ends:#?}");
    assert_eq!(failures.into_inner().unwrap(), Vec::<String>::new(), "each told above; {ends:#?}");
    assert_eq!(ends.values().sum::<usize>(), schedules);
    for api in APIS {
        for status in ["succeeded", "canceled", "timeout"] {
            let seen = ends.contains_key(&format!("{api} {status}"));
            assert!(seen || schedules < 32, "no schedule ends so: {api} {status}");
        }
    }
}

/// Plays one history to its end; returns the status that was reported.
fn play(plan: &Plan, starting: &Starting) -> String {
    let site = Site::new(plan.api);
    if let Some(fault) = plan.faults() {
        site.service.faults.add(fault);
    }
    let (id, mut server) = starting.one_of_few(|| {
        let id = until_the_kill(plan, &site);
        let mut server = site.serve();
        if let Some(micros) = plan.second_kill {
            std::thread::sleep(Duration::from_micros(micros));
            server.kill();
            server = site.serve();
        }
        (id, server)
    });
    if plan.wish == Wish::Cancel {
        // The wish may have gone with the first process.
        server.request("tools/call", json!({ "name": "query_cancel", "arguments": { "query_id": id } }));
    }
    let end = wait_long_for_end(&mut server, &id);
    let status = end["status"].as_str().unwrap().to_owned();
    assert!(site.executions().len() <= 1, "{plan:?}: {:?}", site.executions());
    truthful(plan, &site, &mut server, &end);
    settles(plan, &site, &id);
    status
}

/// Submits, and kills the process at the moment of the plan; returns the query's id.
fn until_the_kill(plan: &Plan, site: &Site) -> String {
    let mut server = site.serve();
    server.call("query_list", json!({}));
    let answer = server.call("async_execute_query", plan.arguments());
    let id = answer["query_id"].as_str().unwrap().to_owned();
    let micros = match plan.moment {
        Moment::AfterTheCall(micros) => {
            if plan.wish == Wish::Cancel {
                server.post_call("query_cancel", json!({ "query_id": id }));
            }
            micros
        }
        Moment::BeforeTheAnswer => {
            until("the statement was taken", || !site.executions().is_empty());
            0
        }
        Moment::AroundTheAnswer(micros) => {
            until("the statement was taken", || !site.executions().is_empty());
            micros
        }
    };
    std::thread::sleep(Duration::from_micros(micros));
    server.kill();
    id
}

/// The status says what happened at Snowflake.
fn truthful(plan: &Plan, site: &Site, server: &mut ServerProcess, end: &Value) {
    let statuses: Vec<Value> = site.executions().iter().map(|query| query["status"].clone()).collect();
    let told = format!("{plan:?}: {end}, {statuses:?}");
    let status = end["status"].as_str().unwrap();
    // Over the driver protocol only the session that is gone would have recognised a repeat.
    if status == "failed" && plan.api == "driver" {
        assert_eq!(end["error"]["type"], "submit_lost", "{told}");
        assert_eq!(statuses, Vec::<Value>::new(), "{told}");
        return;
    }
    assert_eq!(status, plan.wish.end(), "{told}");
    if plan.wish == Wish::Rows {
        assert_eq!(statuses, ["SUCCESS"], "{told}");
        let page = server.call("query_result", json!({ "query_id": end["query_id"] }));
        assert_eq!(page["rows"], json!([[7]]), "{told}");
    } else {
        assert!(!statuses.contains(&json!("SUCCESS")), "{told}");
    }
}

/// Whatever still runs after the end is owed, and what is owed is paid.
fn settles(plan: &Plan, site: &Site, id: &str) {
    let left = Instant::now() + LONG;
    loop {
        // In this order: what is paid between the two looks no longer runs.
        let record = record(&site.state_dir(), id);
        let running = site.running();
        assert!(running == 0 || !record.owes.is_empty(), "{plan:?}: it runs and nobody owes: {record:#?}");
        if record.owes.is_empty() {
            return;
        }
        assert!(Instant::now() < left, "{plan:?}: the debt is not paid: {record:#?}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The record as the processes share it.
pub(crate) fn record(state_dir: &Path, id: &str) -> QueryRecord {
    let journal = SqliteJournal::open(state_dir.join("journal.db"), Durability::Process).unwrap();
    journal.get(id.parse().unwrap()).unwrap().unwrap()
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn wait_long_for_end(server: &mut ServerProcess, id: &str) -> Value {
    let end = Instant::now() + LONG;
    loop {
        let status = server.call("query_status", json!({ "query_id": id, "wait_seconds": 20 }));
        if !matches!(status["status"].as_str(), Some("pending" | "running")) {
            return status;
        }
        assert!(Instant::now() < end, "{status}");
    }
}

/// Lets few at a time through.
#[derive(Default)]
struct Starting {
    turns: [Mutex<()>; STARTING],
    next: AtomicUsize,
}

impl Starting {
    fn one_of_few<T>(&self, work: impl FnOnce() -> T) -> T {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % STARTING;
        let _turn = lock(&self.turns[turn]);
        work()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
