//! The service as a process of its own, for tests in which it is to be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running service. Dropping it kills the process.
#[derive(Debug)]
pub struct FakeProcess {
    child: Child,
    /// `http://127.0.0.1:PORT`
    pub address: String,
}

impl FakeProcess {
    /// Starts the binary with some arguments and waits for its address.
    ///
    /// # Errors
    ///
    /// When it does not start, or ends before it has an address.
    pub fn start(binary: &str, arguments: &[&str]) -> std::io::Result<Self> {
        let mut child = Command::new(binary).args(arguments).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut address)?;
        }
        let process = Self { child, address: address.trim().to_owned() };
        if process.address.is_empty() {
            return Err(std::io::Error::other("the service ended without an address"));
        }
        Ok(process)
    }

    /// The port of the address.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or(0)
    }

    /// Kills the process as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for FakeProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
