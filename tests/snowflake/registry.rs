//! The registry over the stand-in: what lost and bad answers make of a record, and what a query costs in calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use registry_core::error::ErrorKind;
use registry_core::id::QueryId;
use registry_core::journal::{Journal, MemoryJournal};
use registry_core::options::{QueryOptions, QueryRequest};
use registry_core::record::QueryRecord;
use registry_core::registry::{RegistryConfig, Shutdown};
use registry_core::results::{ResultLimits, ResultStore};
use registry_core::snapshot::QueryStatus;
use registry_core::{Backend, QueryRegistry};
use serde_json::{Value, json};
use snowflake_adapter::driver::DriverOptions;
use snowflake_adapter::{DriverBackend, SqlApiBackend};
use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::faults::{Fault, Misbehaviour};

use crate::{connection, service};

const PATIENCE: Duration = Duration::from_secs(60);
/// A minute goes by in a second and a half, and all that depends on it: the stand-in holds a question as much shorter.
const FASTER: u32 = 40;

/// A registry over a service of its own.
struct Site {
    service: FakeSnowflake,
    journal: Arc<MemoryJournal>,
    registry: QueryRegistry,
    _directory: tempfile::TempDir,
}

impl Site {
    async fn new(api: &str, change: impl FnOnce(&mut RegistryConfig)) -> Self {
        let service = service();
        let config = connection(&service, api);
        let backend: Arc<dyn Backend> = match api {
            "sql" => Arc::new(SqlApiBackend::new(&config).unwrap()),
            _ => Arc::new(DriverBackend::new(&config, DriverOptions::default()).unwrap()),
        };
        let directory = tempfile::tempdir().unwrap();
        let results = ResultStore::open(directory.path().to_owned(), ResultLimits::default()).unwrap();
        let journal = Arc::new(MemoryJournal::default());
        let mut settings = RegistryConfig::default();
        change(&mut settings);
        let connections = vec![("test".to_owned(), backend)];
        let shared = Arc::clone(&journal) as Arc<dyn Journal>;
        let registry = QueryRegistry::open_with_journal(settings, shared, results, connections);
        Self { service, journal, registry: registry.await.unwrap(), _directory: directory }
    }

    async fn submit(&self, sql: &str, poll_interval: Duration) -> QueryId {
        let options = QueryOptions { poll_interval, ..QueryOptions::default() };
        let request = QueryRequest { options, ..QueryRequest::new(sql) };
        self.registry.execute_query(request).await.unwrap().snapshot.query_id
    }

    fn record(&self, id: QueryId) -> QueryRecord {
        self.journal.get(id).unwrap().unwrap()
    }

    async fn end(&self, id: QueryId) -> QueryRecord {
        self.registry.wait_for_end(id, PATIENCE).await.unwrap();
        let record = self.record(id);
        assert!(record.is_terminal(), "{record:#?}");
        record
    }

    /// Waits until the record is as wanted.
    async fn until(&self, id: QueryId, wanted: impl Fn(&QueryRecord) -> bool) -> QueryRecord {
        let end = Instant::now() + PATIENCE;
        loop {
            let record = self.record(id);
            if wanted(&record) {
                return record;
            }
            assert!(Instant::now() < end, "{record:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The statement as the service knows it; none when it never came.
    fn statement(&self) -> Option<Value> {
        let ours = |query: &Value| query["sql"].as_str().is_some_and(|sql| sql.starts_with("select 7"));
        let mut all: Vec<Value> = self.service.queries().into_iter().filter(ours).collect();
        assert!(all.len() <= 1, "it ran twice: {all:#?}");
        all.pop()
    }

    /// Calls about the one statement.
    fn calls(&self) -> u64 {
        let statement = self.statement().unwrap();
        statement["calls"].as_object().unwrap().values().filter_map(Value::as_u64).sum()
    }

    /// How long the statement really took, on a machine that may be busy.
    fn took(&self) -> Duration {
        let statement = self.statement().unwrap();
        let at = |event: &str| {
            let entries = self.service.log.events(event);
            let entry = entries.iter().find(|entry| entry["handle"] == statement["handle"]).cloned();
            entry.and_then(|entry| entry["at_ms"].as_u64()).unwrap()
        };
        Duration::from_millis(at("end").saturating_sub(at("submit")))
    }

    async fn rows(&self, id: QueryId) -> Vec<Vec<Value>> {
        self.registry.fetch_result(id, 0, Some(10), u64::MAX).await.unwrap().rows
    }

    async fn close(self) {
        self.registry.close(Shutdown::Immediate).await;
    }
}

/// A fault of the statement's own calls, not of a sign-in or a search.
fn fault(endpoint: &str, kind: Misbehaviour) -> Fault {
    Fault::once(endpoint, kind)
}

fn of_the_statement(kind: Misbehaviour) -> Fault {
    Fault { holding: "select 7".to_owned(), ..fault("submit", kind) }
}

// ---- lost submissions

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_lost_with_its_session_is_given_up_one_window_after_it_left() {
    let window = Duration::from_secs(8);
    let site = Site::new("driver", |config| {
        config.timing.resubmit_window = window;
        config.timing.backoff = vec![Duration::from_millis(500)];
    })
    .await;
    site.service.faults.add(of_the_statement(Misbehaviour::Lost).times(10_000));
    let id = site.submit("select 7", Duration::from_secs(1)).await;
    site.until(id, |_| site.service.log.count("submit") >= 3).await;
    // In this order, so that nothing arrives: what comes from now on finds no session.
    site.service.drop_sessions();
    site.service.faults.clear();
    let record = site.end(id).await;
    let error = record.error.clone().unwrap();
    assert_eq!((record.status, error.kind), (QueryStatus::Failed, ErrorKind::SubmitLost), "{record:#?}");
    assert!(record.posts.not_sent > 1, "the repeats did not look: {record:#?}");
    let left = record.posts.last_at.unwrap();
    let waited = record.finished_at.unwrap().since(left);
    assert!(waited >= window, "given up while it might arrive: {waited:?}");
    let looks = record.posts.not_sent;
    assert!(record.finished_at.unwrap().since(record.created_at) < window * 2, "two windows, {looks} looks");
    assert_eq!(site.statement(), None);
    site.close().await;
}

// ---- calls

/// Plays a minute, and counts the calls; again when the machine was too busy for it to be one.
#[expect(clippy::panic, reason = "a test that cannot go on says so and stops")]
async fn calls_of_a_minute(api: &str) -> u64 {
    let (minute, interval) = (Duration::from_secs(60) / FASTER, Duration::from_secs(1) / FASTER);
    for _ in 0..10 {
        let site = Site::new(api, |_| {}).await;
        let hold = Duration::from_secs(45) / FASTER;
        site.service.set("hold", &hold.as_secs_f64().to_string()).unwrap();
        let sql = format!("select 7 /* fake: runs={} */", minute.as_secs_f64());
        let id = site.submit(&sql, interval).await;
        let record = site.end(id).await;
        assert_eq!(record.status, QueryStatus::Succeeded, "{record:#?}");
        let (calls, took) = (site.calls(), site.took());
        site.close().await;
        if took <= minute + 2 * interval {
            return calls;
        }
    }
    panic!("the machine is too busy to play a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_costs_at_most_twenty_calls_over_the_sql_api() {
    let calls = calls_of_a_minute("sql").await;
    assert!((10..=20).contains(&calls), "{calls} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_costs_at_most_twenty_calls_over_the_driver_protocol() {
    let calls = calls_of_a_minute("driver").await;
    // The held question stands for most of the looks.
    assert!((5..=17).contains(&calls), "{calls} calls");
}

// ---- bad answers

/// What is refused, and a word of the error that says why.
fn bad_answers() -> [(Misbehaviour, &'static str); 4] {
    let location = "https://elsewhere.invalid/".to_owned();
    [
        (Misbehaviour::NotJson, "JSON"),
        (Misbehaviour::HalfJson, ""),
        (Misbehaviour::HugeBody { bytes: 100 << 20 }, ""),
        (Misbehaviour::Redirect { location }, "elsewhere.invalid"),
    ]
}

/// While Snowflake's word about a running statement cannot be read, the record says that it runs, and why no more is
/// known; afterwards it ends as the statement did.
async fn a_bad_answer_to_a_check(api: &str) {
    for (kind, word) in bad_answers() {
        let site = Site::new(api, |_| {}).await;
        let id = site.submit("select 7 /* fake: runs=held */", Duration::from_millis(100)).await;
        site.until(id, |record| record.handle.is_some()).await;
        for endpoint in ["check", "fetch"] {
            site.service.faults.add(fault(endpoint, kind.clone()).times(10_000));
        }
        let record = site.until(id, |record| record.unreachable.is_some()).await;
        assert_eq!((record.status, record.error), (QueryStatus::Running, None), "{api} {kind:?}");
        let told = record.unreachable.unwrap().message;
        assert!(told.len() > 10 && told.contains(word), "{api} {kind:?}: {told}");
        site.service.faults.clear();
        let handle = site.statement().unwrap()["handle"].as_str().unwrap().to_owned();
        assert!(site.service.step(&handle));
        let record = site.end(id).await;
        assert_eq!(record.status, QueryStatus::Succeeded, "{api} {kind:?}: {record:#?}");
        assert_eq!(site.rows(id).await, [[json!(7)]], "{api} {kind:?}");
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_to_a_check_over_the_sql_api_leaves_a_running_record() {
    a_bad_answer_to_a_check("sql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_to_a_check_over_the_driver_protocol_leaves_a_running_record() {
    a_bad_answer_to_a_check("driver").await;
}

/// A submission whose answer cannot be read may have arrived: it is repeated under its request id and runs once. One
/// that was sent elsewhere did not arrive.
async fn a_bad_answer_to_a_submission(api: &str) {
    for (kind, word) in bad_answers() {
        let site = Site::new(api, |config| config.timing.backoff = vec![Duration::from_millis(100)]).await;
        let redirected = matches!(kind, Misbehaviour::Redirect { .. });
        let times = if redirected { 10_000 } else { 1 };
        site.service.faults.add(of_the_statement(kind.clone()).times(times));
        let id = site.submit("select 7", Duration::from_millis(100)).await;
        if redirected {
            let told = |record: &QueryRecord| record.error.clone().or(record.unreachable.clone());
            let record = site.until(id, |record| told(record).is_some()).await;
            assert!(told(&record).unwrap().message.contains(word), "{api}: {record:#?}");
            assert_ne!(record.status, QueryStatus::Running);
            assert_eq!(site.statement(), None);
        } else {
            let record = site.end(id).await;
            assert_eq!(record.status, QueryStatus::Succeeded, "{api} {kind:?}: {record:#?}");
            assert_eq!(site.rows(id).await, [[json!(7)]], "{api} {kind:?}");
            assert!(site.statement().is_some());
        }
        site.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_to_a_submission_over_the_sql_api_loses_nothing() {
    a_bad_answer_to_a_submission("sql").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_to_a_submission_over_the_driver_protocol_loses_nothing() {
    a_bad_answer_to_a_submission("driver").await;
}

/// The statement succeeded and no row of it can be had: the record says both, and nothing is fetched from there.
#[tokio::test(flavor = "multi_thread")]
async fn rows_at_an_address_without_encryption_are_not_fetched_and_the_record_says_so() {
    let site = Site::new("driver", |config| config.timing.backoff = vec![Duration::from_millis(50)]).await;
    site.service.set("inline_rows", "0").unwrap();
    let base = "http://bucket.invalid".to_owned();
    for endpoint in ["submit", "fetch"] {
        site.service
            .faults
            .add(fault(endpoint, Misbehaviour::ForeignChunks { base: base.clone() }).times(10_000));
    }
    let id = site.submit("select 7 /* fake: runs=0.1 */", Duration::from_millis(100)).await;
    let record = site.end(id).await;
    let error = record.error.unwrap();
    assert_eq!((record.status, error.kind), (QueryStatus::Failed, ErrorKind::ResultFetch), "{error:?}");
    assert!(error.message.contains("http"), "{error:?}");
    assert_eq!(record.result, None);
    assert_eq!(site.statement().unwrap()["status"], "SUCCESS");
    site.close().await;
}

/// Rows that cannot be read are no result, and no success.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_end_the_query_with_what_went_wrong() {
    for (api, endpoint) in [("sql", "fetch"), ("driver", "chunk")] {
        for kind in
            [Misbehaviour::NotJson, Misbehaviour::HalfJson, Misbehaviour::HugeBody { bytes: 100 << 20 }]
        {
            let site = Site::new(api, |config| config.timing.backoff = vec![Duration::from_millis(50)]).await;
            site.service.faults.add(fault(endpoint, kind.clone()).times(10_000));
            let sql = "select 7 /* fake: runs=0.1 rows=5000 */";
            let record = site.end(site.submit(sql, Duration::from_millis(100)).await).await;
            let error = record.error.clone().unwrap();
            assert_eq!(record.status, QueryStatus::Failed, "{api} {kind:?}: {record:#?}");
            assert_eq!(error.kind, ErrorKind::ResultFetch, "{api} {kind:?}: {error:?}");
            assert_eq!(record.result, None, "{api} {kind:?}");
            assert_eq!(site.statement().unwrap()["status"], "SUCCESS", "{api} {kind:?}");
            site.close().await;
        }
    }
}
