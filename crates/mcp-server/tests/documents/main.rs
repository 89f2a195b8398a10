//! The documents say what the program does: what can be made from it is made from it, and the rest is held to it.
//!
//! `UPDATE_DOCUMENTS=1 cargo test -p mcp-server --test documents` writes the made parts anew.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so and stops")]

mod agents;
mod clients;
mod commands;
mod fields;
mod limits;
mod made;
mod messages;
mod pages;
mod reference;
mod settings;
mod sources;
mod transcript;

const BINARY: &str = env!("CARGO_BIN_EXE_async-query-mcp");
