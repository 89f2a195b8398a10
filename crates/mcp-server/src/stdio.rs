//! The only module that touches stdin and stdout: as the protocol's pipes when serving, as a place to print otherwise.

use std::fs::File;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use rmcp::transport::io::{StdioReader, StdioWriter, stdio_pipes};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, ReadBuf};
use tokio_util::sync::CancellationToken;

use crate::visible::{visible, visible_lines};

/// The time between two looks whether anybody reads.
#[cfg(unix)]
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

/// No statement is longer, whatever the operator allows: a device has no end.
const MOST_TEXT: u64 = 64 << 20;

/// The pipes to the client.
pub fn pipes() -> (StdioReader, StdioWriter) {
    stdio_pipes()
}

/// A reader that tells of its end at once. The protocol's loop would first let every running call finish, and a call
/// may wait longer than a client's patience with a process it wants gone.
#[derive(Debug)]
pub struct EofSignal<R> {
    inner: R,
    eof: CancellationToken,
}

impl<R> EofSignal<R> {
    /// Cancels `eof` when `inner` ends or fails.
    pub fn new(inner: R, eof: CancellationToken) -> Self {
        Self { inner, eof }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for EofSignal<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let ended = match &polled {
            Poll::Ready(Ok(())) => room > 0 && buf.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.eof.cancel();
        }
        polled
    }
}

/// Whether a person can answer a question.
pub fn stdin_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdin())
}

/// Whether rows are read by a person.
pub fn stdout_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stdout())
}

/// Whether what is printed shows nowhere but in a file.
#[cfg(unix)]
pub fn stdout_is_file() -> bool {
    rustix::fs::fstat(io::stdout())
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

/// Where that cannot be told, it may show on the terminal.
#[cfg(not(unix))]
pub fn stdout_is_file() -> bool {
    false
}

/// Whether progress is seen by a person.
pub fn stderr_is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}

/// Returns once nobody reads stdout any more, which a write would tell only when there is something to write.
#[cfg(unix)]
pub async fn until_unread() {
    let mut looks = tokio::time::interval(LOOK);
    while !is_unread() {
        looks.tick().await;
    }
}

/// Where that cannot be told, a write tells it.
#[cfg(not(unix))]
pub async fn until_unread() {
    std::future::pending().await
}

#[cfg(unix)]
fn is_unread() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let looked = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    looked.is_ok() && watched.iter().any(|end| end.revents().intersects(PollFlags::ERR | PollFlags::HUP))
}

/// Prints rows.
pub async fn print(text: &str) -> io::Result<()> {
    let mut out = tokio::io::stdout();
    out.write_all(text.as_bytes()).await?;
    out.flush().await
}

/// Tells the person at the keyboard something, on one line or several; nobody there is no error. Nothing in it rules
/// the terminal.
pub async fn tell(text: &str) {
    to_stderr(&visible_lines(text)).await;
}

/// Writes `line` over the line that the cursor is in, and blanks over the rest of an earlier one.
pub async fn redraw(line: &str, blanks: usize) {
    to_stderr(&format!("\r{}{:blanks$}", visible(line), "")).await;
}

async fn to_stderr(text: &str) {
    let mut err = tokio::io::stderr();
    let _ = err.write_all(text.as_bytes()).await;
    let _ = err.flush().await;
}

/// The next line of stdin; empty at its end.
pub async fn read_line() -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await?;
    Ok(line)
}

/// All of stdin.
pub async fn read_all() -> io::Result<String> {
    let mut bytes = Vec::new();
    tokio::io::stdin().take(MOST_TEXT + 1).read_to_end(&mut bytes).await?;
    text(bytes)
}

/// All of a file, which may be a pipe.
pub fn read_file(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(File::open(path)?, MOST_TEXT + 1), &mut bytes)?;
    text(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    if bytes.len() as u64 > MOST_TEXT {
        return Err(io::Error::other("it does not end where a statement would"));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
    Ok(without_mark(text))
}

/// The text of a file without the byte order mark that some editors put before it; a second one is part of the text.
fn without_mark(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    text
}

/// Returns when one of `keys` was typed, or stdin has ended.
pub async fn until_key(keys: &[u8]) {
    let mut input = tokio::io::stdin();
    while let Ok(key) = input.read_u8().await {
        if keys.contains(&key) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_of_input_is_told_at_once_and_not_before() {
        let eof = CancellationToken::new();
        let (mut client, server) = tokio::io::duplex(64);
        let mut reader = EofSignal::new(server, eof.clone());
        client.write_all(b"hi").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 2);
        assert!(!eof.is_cancelled());
        drop(client);
        assert_eq!(reader.read(&mut buffer).await.unwrap(), 0);
        assert!(eof.is_cancelled());
    }

    #[tokio::test]
    async fn a_read_into_no_room_is_not_the_end() {
        let eof = CancellationToken::new();
        let mut reader = EofSignal::new(&b"hi"[..], eof.clone());
        assert_eq!(reader.read(&mut []).await.unwrap(), 0);
        assert!(!eof.is_cancelled());
    }
}
