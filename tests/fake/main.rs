//! The stand-in for Snowflake, held against the tables of both protocols.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

mod caller;
mod driver;
mod faults;
mod service;
mod sql_api;
