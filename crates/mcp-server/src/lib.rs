//! The MCP server over stdio and the command line around it.
//!
//! Nothing here knows how a query lives: that is `registry-core`. This crate turns tool calls into calls of the
//! registry, and what the registry says into answers that models can read. Only [`stdio`] touches stdin and stdout.

pub mod answer;
pub mod call;
pub mod cli;
pub mod clients;
pub mod commands;
pub mod config;
pub mod confirmation;
pub mod connection;
pub mod csv;
pub mod doctor;
pub mod error;
pub mod export;
pub mod jsonl;
pub mod lazy;
pub mod logging;
pub mod metrics;
pub mod page;
mod parameters;
pub mod policy;
pub mod resources;
pub mod schema;
mod serve;
pub mod server;
pub mod shutdown;
pub mod stdio;
pub mod table;
pub mod tools;
mod transport;
pub mod visible;
pub mod words;

pub use serve::serve;
pub use server::Server;
