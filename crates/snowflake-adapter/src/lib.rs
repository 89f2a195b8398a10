//! Snowflake behind the registry's [`Backend`](registry_core::Backend) trait.
//!
//! Two protocols serve it. The *SQL API v2* is the first choice: stateless, documented, and safe against a crash
//! between a submission and its answer. The *driver protocol* serves password sign-in and everything that needs a
//! session.

pub mod auth;
pub mod config;
pub mod doctor;
pub mod driver;

mod breaker;
mod context;
mod error;
mod fence;
#[cfg(test)]
mod fuzz;
mod history;
mod http;
mod requests;
mod retry;
mod secret;
mod sql_api;
mod values;
mod wire;

pub use driver::DriverBackend;
pub use retry::RetryPolicy;
pub use sql_api::SqlApiBackend;
