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
}

impl Signals {
    /// From now on these signals no longer end the process by themselves.
    #[cfg(unix)]
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// From now on these signals no longer end the process by themselves.
    #[cfg(not(unix))]
    pub fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Returns when the next one has come.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
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

/// Cancels `shutdown` at the first signal and ends the process at the second: whoever asks twice does not want to
/// wait.
pub async fn on_signals(mut signals: Signals, shutdown: CancellationToken) {
    signals.next().await;
    tracing::info!("asked to end");
    shutdown.cancel();
    signals.next().await;
    std::process::exit(i32::from(INTERRUPTED));
}
