//! `list --watch`: the list again and again, in place on a terminal, block after block elsewhere.

use tokio::time::{MissedTickBehavior, interval};

use super::{Found, ListArgs};
use crate::call::now;
use crate::commands::failure::Failure;
use crate::commands::guest::Guest;
use crate::commands::terminal::{self, Screen};
use crate::shutdown::Signals;
use crate::stdio;

/// q, Q, and what Ctrl-C types while keys come one by one.
const QUIT: &[u8] = b"qQ\x03";

/// Ends when a person asks for it, or when nobody reads any more; either is a good end.
pub(super) async fn watch(guest: &Guest, args: &ListArgs, signals: &mut Signals) -> Result<(), Failure> {
    match terminal::size() {
        Some(_) if !args.json && !terminal::is_dumb() => on_screen(guest, args, signals).await,
        _ => as_blocks(guest, args, signals).await,
    }
}

async fn on_screen(guest: &Guest, args: &ListArgs, signals: &mut Signals) -> Result<(), Failure> {
    let screen = Screen::take().await?;
    let quit = async {
        match screen.has_keys() {
            true => stdio::until_key(QUIT).await,
            false => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        never = redraw(guest, args, &screen) => never,
        () = quit => Ok(()),
        () = signals.next() => Ok(()),
    };
    screen.give_back().await?;
    outcome
}

async fn redraw(guest: &Guest, args: &ListArgs, screen: &Screen) -> Result<(), Failure> {
    let mut ticks = interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let found = Found::look(guest, args).await?;
        let (columns, lines) = terminal::size().unwrap_or((80, 24));
        // A last line of its own would scroll the first one away.
        let lines = lines.saturating_sub(1);
        let mut frame = vec![head(&found, args, columns), String::new()];
        frame.extend(body(found, guest, args, lines.saturating_sub(frame.len())));
        frame.truncate(lines);
        screen.show(&frame).await?;
    }
}

/// The list in so many lines; what is left out is counted.
fn body(mut found: Found, guest: &Guest, args: &ListArgs, lines: usize) -> Vec<String> {
    let text = |found: &Found| found.text(guest, args).lines().map(str::to_owned).collect::<Vec<_>>();
    let whole = text(&found);
    if whole.len() <= lines {
        return whole;
    }
    // Beside the heading and the last line; none at all would say that there are none.
    let left_out = found.fit(lines.saturating_sub(2).max(1));
    found.has_more = false;
    let mut cut = text(&found);
    cut.push(format!("{left_out} more, for which this window has no lines."));
    cut
}

fn head(found: &Found, args: &ListArgs, columns: usize) -> String {
    let unfinished = found.queries.iter().filter(|one| !one.snapshot.status.is_terminal()).count();
    let every = crate::words::span(args.interval);
    let head = format!(
        "{unfinished} unfinished, {} listed · {} · every {every} · q ends",
        found.queries.len(),
        now()
    );
    head.chars().take(columns).collect()
}

async fn as_blocks(guest: &Guest, args: &ListArgs, signals: &mut Signals) -> Result<(), Failure> {
    tokio::select! {
        never = blocks(guest, args) => never,
        () = signals.next() => Ok(()),
    }
}

async fn blocks(guest: &Guest, args: &ListArgs) -> Result<(), Failure> {
    let mut ticks = interval(args.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let text = Found::look(guest, args).await?.text(guest, args);
        // A program reads a document a line; a person finds the moment above each block.
        let block = if args.json { text } else { format!("{}\n{text}\n", now()) };
        stdio::print(&block).await?;
    }
}
