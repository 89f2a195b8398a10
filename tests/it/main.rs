//! The registry as its users see it, over a scripted engine and under paused time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on says so and stops")]

mod disk;
mod documents;
mod fence;
mod guests;
mod histories;
mod life;
mod origins;
mod resources;
mod restart;
mod results;
mod retention;
mod spool;
mod waiting;
