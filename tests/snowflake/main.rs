//! Both protocols of the Snowflake adapter against the stand-in, over real loopback HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

mod context;
mod fakesnow;
mod live;
mod promises;
mod registry;

use std::collections::BTreeMap;

use secrecy::SecretString;
use snowflake_adapter::config::{self, SnowflakeConfig, Sources};
use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::options::Options;

/// A service with small partitions and chunks, so that a few thousand rows need several.
pub(crate) fn service() -> FakeSnowflake {
    let options =
        Options { partition_rows: 1_000, inline_rows: 500, chunk_rows: 1_000, ..Options::default() };
    FakeSnowflake::start_blocking(options).unwrap()
}

/// A connection to `service`, read the way a user's is, from variables.
pub(crate) fn connection(service: &FakeSnowflake, api: &str) -> SnowflakeConfig {
    connection_to(service.port(), api)
}

/// A connection to whatever listens on a port of this machine.
pub(crate) fn connection_to(port: u16, api: &str) -> SnowflakeConfig {
    let directory = tempfile::tempdir().unwrap();
    let sign_in = match api {
        "sql" => ("TOKEN", "a-programmatic-access-token"),
        _ => ("PASSWORD", "a-password"),
    };
    let authenticator = if api == "sql" { "PROGRAMMATIC_ACCESS_TOKEN" } else { "snowflake" };
    let port = port.to_string();
    let variables: BTreeMap<&str, &str> = BTreeMap::from([
        ("ACCOUNT", "acme-test"),
        ("USER", "ada"),
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("PROTOCOL", "http"),
        ("API", api),
        ("AUTHENTICATOR", authenticator),
        ("DATABASE", "DB"),
        ("WAREHOUSE", "WH"),
        sign_in,
    ]);
    let sources = variables.into_iter().fold(Sources::new(), |sources, (key, value)| {
        sources.with_variable(format!("SNOWFLAKE_CONNECTIONS_TEST_{key}"), SecretString::from(value))
    });
    config::load(Some("test"), &sources.with_directory(directory.path())).unwrap()
}
