//! The real binary over real pipes: what only a process can show.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so and stops"
)]

mod by_hand;
#[cfg(unix)]
mod canaries;
mod confirming;
#[cfg(unix)]
mod crash;
mod crash_snowflake;
#[cfg(unix)]
mod doctor;
#[cfg(unix)]
mod doctor_clients;
#[cfg(unix)]
mod failures;
mod hostile;
mod logs;
mod long_statement;
mod metrics;
#[cfg(unix)]
mod sharing;
mod shutdown;
#[cfg(unix)]
mod site;
mod snowflake;

use support::server_process::ServerProcess;

/// Never ends, and produces no row.
pub(crate) const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_async-query-mcp");

/// A server on a state directory of its own.
pub(crate) struct Server {
    pub(crate) process: ServerProcess,
    directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut server = Self::spawn(arguments);
        server.process.initialize();
        server
    }

    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = ServerProcess::spawn(BINARY, &directory.path().join("state"), arguments);
        Self { process, directory }
    }

    pub(crate) fn state_dir(&self) -> std::path::PathBuf {
        self.directory.path().join("state")
    }

    /// Kills the process and starts the next one on the same state.
    pub(crate) fn crash_and_restart(&mut self) {
        self.process.kill();
        self.process = ServerProcess::start(BINARY, &self.state_dir(), &[]);
    }
}

/// A small generator, so that a failing schedule can be run again.
pub(crate) struct Schedule(pub(crate) u64);

impl Schedule {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
