//! Both protocols of the Snowflake adapter against the stand-in, over real loopback HTTP.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

mod context;
mod fakesnow;
mod live;
mod promises;
mod registry;

use secrecy::SecretString;
use snowflake_adapter::config::{self, SnowflakeConfig, Sources};
use support::fake_snowflake::options::Options;
use support::fake_snowflake::{FakeSnowflake, client};

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
    let secret = if api == "sql" { "a-programmatic-access-token" } else { "a-password" };
    let own = [("DATABASE", "DB"), ("WAREHOUSE", "WH")].map(|(key, value)| (key, value.to_owned()));
    let settings = client::place(port).into_iter().chain(client::sign_in(api, secret)).chain(own);
    let sources = settings.fold(Sources::new(), |sources, (key, value)| {
        sources.with_variable(client::variable(key), SecretString::from(value))
    });
    config::load(Some("test"), &sources.with_directory(directory.path())).unwrap()
}
