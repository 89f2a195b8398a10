//! The line on a terminal that shows a query is alive.

use unicode_width::UnicodeWidthStr;

use crate::stdio;
use crate::visible::visible;

/// A line that is written over itself; nothing at all where stderr is no terminal.
#[derive(Debug)]
pub(super) struct ProgressLine {
    shown: bool,
    width: usize,
}

impl ProgressLine {
    pub(super) fn new(shown: bool) -> Self {
        Self { shown, width: 0 }
    }

    pub(super) fn is_shown(&self) -> bool {
        self.shown
    }

    pub(super) async fn show(&mut self, text: &str) {
        let text = visible(text);
        let padding = self.width.saturating_sub(text.width());
        self.width = text.width();
        stdio::tell(&format!("\r{text}{:padding$}", "")).await;
    }

    pub(super) async fn clear(&mut self) {
        if self.width > 0 {
            stdio::tell(&format!("\r{:width$}\r", "", width = self.width)).await;
            self.width = 0;
        }
    }
}
