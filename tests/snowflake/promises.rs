//! The promises of every engine, kept by both protocols.

use std::time::Duration;

use registry_core::Backend;
use registry_core::testing::conformance::{Statements, exercise};
use snowflake_adapter::driver::DriverOptions;
use snowflake_adapter::{DriverBackend, SqlApiBackend};

use crate::{connection, service};

fn statements() -> Statements {
    Statements {
        quick: "select 1 as one".to_owned(),
        empty: "select 1 as one where 1 = 0".to_owned(),
        wrong: "select * from no_such_table".to_owned(),
        endless: "select 1 /* fake: runs=7200 */".to_owned(),
        many_rows: |rows| {
            format!(
                "with recursive n(i) as (select 1 union all select i + 1 from n where i < {rows}) select i from n"
            )
        },
        values: "select null, 'Zoë 東京 🎁', 9007199254740993, -9223372036854775808, 'a' || char(10) || 'b'"
            .to_owned(),
        stop_bound: Duration::from_secs(20),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_api_keeps_every_promise() {
    let service = service();
    let backend = SqlApiBackend::new(&connection(&service, "sql")).unwrap();
    assert_eq!((backend.kind(), backend.target().as_str()), ("snowflake", "snowflake:ACME-TEST/ada/-"));
    exercise(&backend, &statements()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_protocol_keeps_every_promise() {
    let service = service();
    let backend = DriverBackend::new(&connection(&service, "driver"), DriverOptions::default()).unwrap();
    exercise(&backend, &statements()).await;
    backend.shut_down().await;
    let stats = backend.stats();
    assert_eq!(stats.opened, stats.closed, "{stats:?}");
}
