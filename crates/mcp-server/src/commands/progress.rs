//! The line on a terminal that shows a query is alive.

use std::time::Duration;

use registry_core::QueryRegistry;
use registry_core::error::RegistryError;
use registry_core::id::QueryId;
use tokio::time::{Instant, Interval, interval_at};
use unicode_width::UnicodeWidthStr;

use super::terminal;
use crate::call::now;
use crate::stdio;
use crate::table::cut;
use crate::visible::visible;
use crate::words;

/// A query that has nothing to say is looked at this often.
const REFRESH: Duration = Duration::from_millis(250);

/// A line that is written over itself; nothing at all where stderr is no terminal.
#[derive(Debug)]
pub(super) struct ProgressLine {
    shown: bool,
    width: usize,
    ticks: Interval,
}

impl ProgressLine {
    pub(super) fn new(shown: bool) -> Self {
        // A query that ends at once needs no line.
        Self { shown, width: 0, ticks: interval_at(Instant::now() + REFRESH, REFRESH) }
    }

    /// The outcome of `end`, with the line meanwhile.
    pub(super) async fn until<T>(
        &mut self,
        registry: &QueryRegistry,
        id: QueryId,
        end: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        tokio::pin!(end);
        loop {
            tokio::select! {
                ended = &mut end => return ended,
                _ = self.ticks.tick(), if self.shown => {
                    if let Ok(Some(snapshot)) = registry.get_snapshot(id).await {
                        self.show(&words::progress(&snapshot, now())).await;
                    }
                }
            }
        }
    }

    /// Ends the line for good: from now on something else is written where it may stand.
    pub(super) async fn give_way(&mut self) {
        self.clear().await;
        self.shown = false;
    }

    /// A line that wraps could not be written over.
    async fn show(&mut self, text: &str) {
        let text = &cut(&visible(text), terminal::columns().saturating_sub(1));
        let width = text.width();
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
