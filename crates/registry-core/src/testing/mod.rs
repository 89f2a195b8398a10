//! Test support for engines and servers.

pub mod conformance;
pub mod scripted;
