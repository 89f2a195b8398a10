//! What the integration tests share.
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on says why and stops")]

pub mod fake_snowflake;
pub mod server_process;
pub mod snapshot;
pub mod world;
