//! Signals that ask the process to end.

use std::io;

use tokio_util::sync::CancellationToken;

/// What a shell expects of a process that was interrupted.
pub const INTERRUPTED: u8 = 130;

/// Signals that ask the process to end, one after the other.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    /// The terminal is gone. Not there where that shall change nothing, as `nohup` has it.
    #[cfg(unix)]
    hang_up: Option<tokio::signal::unix::Signal>,
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let hang_up = if ignores_hang_up() { None } else { Some(signal(SignalKind::hangup())?) };
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hang_up })
    }

    /// From now on these signals no longer end the process by themselves.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns when the next one has come.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = hang_up => {}
        }
    }

    /// Returns when the next one has come.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the process was started so that it outlives its terminal.
#[cfg(target_os = "linux")]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // The first bit is that of signal 1.
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

/// Whether the process was started so that it outlives its terminal: `nohup` takes the terminal away from stderr.
#[cfg(all(unix, not(target_os = "linux")))]
fn ignores_hang_up() -> bool {
    !crate::stdio::stderr_is_terminal()
}

/// Cancels `shutdown` at the first signal and ends the process at the second: whoever asks twice does not want to
/// wait.
pub async fn on_signals(mut signals: Signals, shutdown: CancellationToken) {
    signals.next().await;
    tracing::info!("asked to end");
    shutdown.cancel();
    signals.next().await;
    std::process::exit(i32::from(INTERRUPTED));
}
