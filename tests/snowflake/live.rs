//! The promises of every engine on a real account, for whoever has one and says so.
//!
//! ```sh
//! ASYNC_QUERY_MCP_LIVE_TEST=1 SNOWFLAKE_ACCOUNT=... cargo test -p integration-tests --test snowflake live
//! ```
//!
//! The connection is the default one, read as the server reads it. It needs a warehouse. The statements write nothing.

use std::io::Write;
use std::time::Duration;

use registry_core::Backend;
use registry_core::testing::conformance::{Statements, exercise};
use snowflake_adapter::config::{self, Credentials, SnowflakeConfig, Sources};
use snowflake_adapter::driver::DriverOptions;
use snowflake_adapter::{DriverBackend, SqlApiBackend};

const SWITCH: &str = "ASYNC_QUERY_MCP_LIVE_TEST";
/// One of these says which account is meant, so that none is met by accident.
const NAMES: [&str; 2] = ["SNOWFLAKE_ACCOUNT", "SNOWFLAKE_DEFAULT_CONNECTION_NAME"];

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_api_keeps_every_promise_on_a_real_account() {
    let Some(config) = wanted("the SQL API") else { return };
    if matches!(config.credentials, Credentials::Password(_)) {
        return say("skipped: the SQL API on a real account takes no passwords");
    }
    let backend = SqlApiBackend::new(&config).unwrap();
    say(&format!("the SQL API on {}", backend.target()));
    exercise(&backend, &statements()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_driver_protocol_keeps_every_promise_on_a_real_account() {
    let Some(config) = wanted("the driver protocol") else { return };
    let backend = DriverBackend::new(&config, DriverOptions::default()).unwrap();
    say(&format!("the driver protocol on {}", backend.target()));
    exercise(&backend, &statements()).await;
    backend.shut_down().await;
    let stats = backend.stats();
    assert_eq!(stats.opened, stats.closed, "{stats:?}");
}

/// The connection to test; none unless somebody asks for it. Who asks and has a faulty one is told.
fn wanted(what: &str) -> Option<SnowflakeConfig> {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if std::env::var(SWITCH).as_deref() != Ok("1") || !NAMES.into_iter().any(is_set) {
        say(&format!("skipped: {what} on a real account needs {SWITCH}=1 and {}", NAMES.join(" or ")));
        return None;
    }
    Some(config::load(None, &Sources::from_process()).unwrap())
}

/// Past the harness, which keeps what passing tests print to itself.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}

fn statements() -> Statements {
    Statements {
        quick: "select 1 as one".to_owned(),
        empty: "select one from (select 1 as one) where one = 0".to_owned(),
        wrong: "select no_such_column".to_owned(),
        endless: "select max(seq8()) from table(generator(timelimit => 7200))".to_owned(),
        many_rows: |rows| {
            // A sequence alone may have gaps.
            format!(
                "select row_number() over (order by seq8()) as n from table(generator(rowcount => {rows})) order by n"
            )
        },
        values: "select null, 'Zoë 東京 🎁', 9007199254740993, -9223372036854775808, 'a' || char(10) || 'b'"
            .to_owned(),
        stop_bound: Duration::from_secs(30),
    }
}
