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
        let width = visible(text).width();
        let padding = self.width.saturating_sub(width);
        self.width = width;
        stdio::redraw(text, padding).await;
    }

    pub(super) async fn clear(&mut self) {
        if self.width > 0 {
            stdio::redraw("", self.width).await;
            stdio::redraw("", 0).await;
            self.width = 0;
        }
    }
}
