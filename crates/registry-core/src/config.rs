//! How a registry behaves, and where it keeps its state.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::Clock;
use crate::results::ResultLimits;
use crate::state::Timing;

/// How a registry behaves. Every number has a default that suits a person's own machine.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// Queries that run at the same time on one connection.
    pub max_running: usize,
    /// Queries that may wait for a place on one connection.
    pub max_queued: usize,
    /// How long records and rows are kept, counted from acceptance.
    pub ttl: Duration,
    /// How often expired records are looked for.
    pub sweep_interval: Duration,
    /// The longest statement that is taken.
    pub max_statement_bytes: usize,
    /// The deadline of each call to an engine.
    pub call_timeout: Duration,
    /// Try and wait times of the lifecycle.
    pub timing: Timing,
    /// The largest result that is kept.
    pub result_limits: ResultLimits,
    /// Bytes of all results in one state directory together, whoever wrote them.
    pub max_spool_bytes: u64,
    /// A process that shows no sign of life for so long loses its remote queries to another one.
    pub lease: Duration,
    /// What happens to statements at a remote engine when the registry closes.
    pub on_exit: OnExit,
    /// Take up the queries of processes that are gone. A process that ends soon leaves them to one that stays.
    pub takes_over: bool,
    /// Where "now" comes from.
    pub clock: Clock,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            max_running: 8,
            max_queued: 64,
            ttl: Duration::from_secs(24 * 3600),
            sweep_interval: Duration::from_secs(60),
            max_statement_bytes: 64 * 1024,
            call_timeout: Duration::from_secs(60),
            timing: Timing::default(),
            result_limits: ResultLimits::default(),
            max_spool_bytes: 20 << 30,
            lease: Duration::from_secs(30),
            on_exit: OnExit::Detach,
            takes_over: true,
            clock: Clock::system(),
        }
    }
}

/// What happens to statements at a remote engine when the registry closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExit {
    /// They go on; the next start takes them up again.
    Detach,
    /// They are canceled.
    Cancel,
}

/// Where records and rows are kept.
#[derive(Debug, Clone)]
pub enum StateLocation {
    /// In this directory, shared with other processes and kept from run to run.
    Directory(PathBuf),
    /// In memory and a temporary directory, gone with the process.
    Ephemeral,
}

/// How a registry is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Running queries may end within this time.
    Graceful(Duration),
    /// Now.
    Immediate,
}
