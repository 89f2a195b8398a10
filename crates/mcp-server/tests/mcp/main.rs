//! The server in memory, spoken to by the protocol's own client: what it announces, answers, refuses and survives.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so and stops"
)]

mod announced;
mod answers;
mod arguments;
mod bounds;
mod confirming;
mod ending;
mod export;
mod hostile;
mod messages;
mod resources;
mod snapshot;
mod waiting;
mod world;
