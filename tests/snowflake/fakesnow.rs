//! The driver protocol against fakesnow, an emulator that others wrote; `interop/snowflake/judge_fakesnow.sh` starts it.
//!
//! It knows sign-in, heartbeat and goodbye, rows in Arrow, counts in JSON, and errors. It answers every submission with
//! the result, so nothing here is about statements that run.

use std::io::Write;
use std::time::Duration;

use registry_core::Backend;
use registry_core::backend::{Progress, Rows, Session, SubmitError};
use registry_core::error::ErrorKind;
use registry_core::id::QueryId;
use registry_core::results::{ResultLimits, ResultStore};
use registry_core::testing::submission;
use serde_json::{Value, json};
use snowflake_adapter::DriverBackend;
use snowflake_adapter::driver::DriverOptions;

use crate::connection_to;

const PORT: &str = "FAKESNOW_PORT";
/// The longest wait for a heartbeat.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_emulator_that_others_wrote_is_understood() {
    let Some(port) = std::env::var(PORT).ok().and_then(|port| port.parse().ok()) else {
        writeln!(std::io::stderr(), "skipped: fakesnow as a judge needs {PORT}").ok();
        return;
    };
    let backend = DriverBackend::new(&connection_to(port, "driver"), options()).unwrap();
    let bench = Bench::new(&backend);

    assert_eq!(bench.rows("select 7 as a, 'x' as b, null as c").await, [json!([7, "x", null])]);
    assert_eq!(bench.rows("select 1 as a where 1 = 0").await, Vec::<Value>::new());
    assert_eq!(bench.rows(EVERY_KIND).await, [every_kind()]);
    let many = bench.rows("select seq4() as n from table(generator(rowcount => 20000)) order by n").await;
    assert_eq!((many.len(), &many[19_999]), (20_000, &json!([19_999])));
    bench.rows("create schema if not exists db.public").await;
    bench.rows("create or replace table db.public.judged (n int)").await;
    assert_eq!(bench.rows("insert into db.public.judged values (1), (2)").await, [json!([2])]);

    let Err(SubmitError::Rejected(error)) = bench.submit("select * from db.public.no_such_table").await
    else {
        panic!("a missing table is an error");
    };
    assert_eq!((error.kind, error.code), (ErrorKind::Sql, Some(2003)), "{error:?}");
    assert!(error.message.to_lowercase().contains("no_such_table"), "{error:?}");

    let beating = async {
        while backend.stats().heartbeats == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, beating).await.unwrap();
    backend.shut_down().await;
    let stats = backend.stats();
    // A statement that may change its session, as the creation of a schema does, is the last one in it.
    assert_eq!((stats.opened, stats.opened >= 1 && stats.logouts >= 1), (stats.closed, true), "{stats:?}");
}

/// fakesnow cannot parse the statement that switches secondary roles off.
fn options() -> DriverOptions {
    let heartbeat = Some(Duration::from_millis(50));
    DriverOptions { heartbeat, secondary_roles: true, ..DriverOptions::default() }
}

const EVERY_KIND: &str = "select 123.45::number(10, 2) as a, true as b, '2020-02-29'::date as c, \
     '2021-03-19 17:13:39.123456'::timestamp_ntz as d, 1.5::float as e, '東京' as f";

fn every_kind() -> Value {
    json!(["123.45", true, "2020-02-29", "2021-03-19 17:13:39.123456", 1.5, "東京"])
}

struct Bench<'b> {
    backend: &'b DriverBackend,
    store: ResultStore,
    _directory: tempfile::TempDir,
}

impl<'b> Bench<'b> {
    fn new(backend: &'b DriverBackend) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = ResultStore::open(directory.path().to_owned(), ResultLimits::default()).unwrap();
        Self { backend, store, _directory: directory }
    }

    async fn submit(
        &self,
        sql: &str,
    ) -> Result<(Box<dyn Session>, registry_core::id::RemoteHandle), SubmitError> {
        let mut session = self.backend.open_session().await.unwrap();
        let handle = session.submit(submission(&self.store, sql)).await?;
        Ok((session, handle))
    }

    /// The rows of a statement, each as one value.
    async fn rows(&self, sql: &str) -> Vec<Value> {
        let (mut session, handle) = self.submit(sql).await.unwrap();
        assert_eq!(session.check(&handle).await.unwrap(), Progress::Succeeded(Rows::AtEngine), "{sql}");
        let query_id = QueryId::generate();
        let stored = session.fetch(&handle, self.store.writer(query_id)).await.unwrap();
        session.close().await.unwrap();
        let page = self.store.page(query_id, 0, stored.rows.max(1), u64::MAX).unwrap();
        page.rows.into_iter().map(Value::Array).collect()
    }
}
