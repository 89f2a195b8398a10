//! The terminal of the person at the keyboard: its colours, its size, and its single keys.

use clap::{Args, ValueEnum};
use crossterm::terminal;
use registry_core::snapshot::QueryStatus;

use crate::stdio;

/// Where colours are used.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct ColorArgs {
    /// Where colours are used; NO_COLOR in the environment turns them off where this says auto.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: When,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum When {
    /// On a terminal.
    Auto,
    /// Also in files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// Paints words, or leaves them as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    colours: bool,
}

impl ColorArgs {
    /// How stdout is painted.
    pub(super) fn paint(self) -> Paint {
        match self.color {
            When::Always => Paint { colours: true },
            When::Never => Paint { colours: false },
            When::Auto => Paint::of_stdout(),
        }
    }
}

impl Paint {
    /// Colours are for terminals that have them, and for those who have not said no (`NO_COLOR`).
    pub(super) fn of_stdout() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: stdio::stdout_is_terminal() && !is_dumb() && is_wanted }
    }

    /// `text`, which says `status`, in its colour.
    pub(super) fn status(self, status: QueryStatus, text: &str) -> String {
        let code = match status {
            QueryStatus::Pending => "33",
            QueryStatus::Running => "36",
            QueryStatus::Succeeded => "32",
            QueryStatus::Failed | QueryStatus::Timeout => "31",
            QueryStatus::Canceled => "35",
        };
        self.with(code, text)
    }

    /// `text` as a heading.
    pub(super) fn heading(self, text: &str) -> String {
        self.with("1", text)
    }

    /// `text` in the colour of this code.
    pub(super) fn with(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether the terminal obeys no sequences: no colours, and nothing is shown in place.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// Columns and lines of the terminal that stdout is; `None` where it is none.
pub(super) fn size() -> Option<(usize, usize)> {
    let known = stdio::stdout_is_terminal().then(terminal::size).and_then(Result::ok);
    known
        .map(|(columns, lines)| (usize::from(columns), usize::from(lines)))
        .filter(|size| size.0 > 0 && size.1 > 0)
}

/// Columns of the terminal that stderr is.
pub(super) fn columns() -> usize {
    terminal::size()
        .ok()
        .map(|(columns, _)| usize::from(columns))
        .filter(|&columns| columns > 0)
        .unwrap_or(80)
}

/// While it lives, keys come one by one and the screen is a second one, which is given back at the end.
#[derive(Debug)]
pub(super) struct Screen {
    keys: bool,
}

impl Screen {
    /// Takes the screen, and the keys if stdin is the keyboard.
    pub(super) async fn take() -> std::io::Result<Self> {
        let keys = stdio::stdin_is_terminal() && terminal::enable_raw_mode().is_ok();
        let screen = Self { keys };
        stdio::print("\x1b[?1049h\x1b[?25l").await?;
        Ok(screen)
    }

    /// Whether keys can be read.
    pub(super) fn has_keys(&self) -> bool {
        self.keys
    }

    /// Shows `lines` in place of what was there.
    pub(super) async fn show(&self, lines: &[String]) -> std::io::Result<()> {
        let mut text = String::from("\x1b[H");
        for line in lines {
            text.push_str(line);
            text.push_str("\x1b[K\r\n");
        }
        text.push_str("\x1b[J");
        stdio::print(&text).await
    }

    /// Gives the screen back.
    pub(super) async fn give_back(self) -> std::io::Result<()> {
        stdio::print("\x1b[?25h\x1b[?1049l").await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.keys {
            // A terminal that is gone needs no mending.
            let _ = terminal::disable_raw_mode();
        }
    }
}
