//! The directory that keeps queries.

use std::path::Path;
use std::time::Duration;

use registry_core::instance::Holder;
use registry_core::journal::{self, JournalError};
use registry_core::registry::StateLocation;
use registry_core::state_dir::StateDir;

use super::report::{Finding, Report};

const SCOPE: &str = "state";
const STEPS: [&str; 4] = ["directory", "servers", "space", "journal"];
const MEGABYTE: u64 = 1 << 20;
/// With less a query cannot even be recorded for long.
const LEAST_SPACE: u64 = 64 * MEGABYTE;
/// With less a large result does not fit.
const LITTLE_SPACE: u64 = 1024 * MEGABYTE;

pub(super) async fn examine(report: &mut Report, location: &StateLocation, lease: Duration) {
    let root = match location {
        StateLocation::Directory(root) => root.clone(),
        StateLocation::Ephemeral => return report.skip_rest(SCOPE, &STEPS, "nothing is kept (--ephemeral)"),
    };
    if root.symlink_metadata().is_err() {
        let text = format!("{} is not there yet; the first query creates it", root.display());
        report.take(SCOPE, "directory", async { Finding::ok(text) }).await;
        return report.skip_rest(SCOPE, &STEPS, "there is nothing yet");
    }
    let mut opened = None;
    let directory = blocking({
        let root = root.clone();
        move || StateDir::open(&root)
    });
    let found = async {
        match directory.await {
            Some(Ok(state)) => {
                let text = format!("{} is this user's alone to write", state.root().display());
                opened = Some(state);
                Finding::ok(text)
            }
            Some(Err(error)) => Finding::failed(
                "state_directory",
                error.to_string(),
                "Do what it says, or choose another --state-dir.",
            ),
            None => broken(),
        }
    };
    report.take(SCOPE, "directory", found).await;
    let Some(state) = opened else {
        return report.skip_rest(SCOPE, &STEPS, "the state directory cannot be used");
    };
    let (for_servers, for_space, journal) = (state.clone(), root, state.journal());
    report.take(SCOPE, "servers", off(move || servers(&for_servers, lease))).await;
    report.take(SCOPE, "space", off(move || space(&for_space))).await;
    report.take(SCOPE, "journal", off(move || check_journal(&journal))).await;
}

/// File systems may take their time, which no thread of the runtime may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

async fn off(work: impl FnOnce() -> Finding + Send + 'static) -> Finding {
    blocking(work).await.unwrap_or_else(broken)
}

fn broken() -> Finding {
    Finding::failed("internal", "the look broke off by a fault of this program", "Report the fault.")
}

fn servers(state: &StateDir, lease: Duration) -> Finding {
    let (mut alive, mut stalled) = (0, 0);
    for entry in std::fs::read_dir(state.instances()).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_lock = path.extension().is_some_and(|extension| extension == "lock");
        let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        match id.filter(|_| is_lock).map(|id| state.holder(id, lease)) {
            Some(Holder::Alive) => alive += 1,
            Some(Holder::Stalled) => stalled += 1,
            Some(Holder::Gone) | None => {}
        }
    }
    if stalled > 0 {
        let text = format!("{stalled} server(s) of this state directory hang, {alive} work");
        let mend = "End the processes that hang; their queries are taken over by the others.";
        return Finding::warning("stalled_server", text, mend);
    }
    Finding::ok(match alive {
        0 => "no server uses it now".to_owned(),
        1 => "one server uses it now".to_owned(),
        alive => format!("{alive} servers use it now"),
    })
}

#[cfg(unix)]
fn space(root: &Path) -> Finding {
    let free = match rustix::fs::statvfs(root) {
        Ok(facts) => facts.f_bavail.saturating_mul(facts.f_frsize),
        Err(error) => return Finding::warning("space", format!("not known: {error}"), "Look at it with df."),
    };
    let text = format!("{} MB free", free / MEGABYTE);
    let mend = "Free some space, shorten --ttl, or choose a --state-dir on another disk.";
    match free {
        free if free < LEAST_SPACE => Finding::failed("space", text, mend),
        free if free < LITTLE_SPACE => Finding::warning("space", text, mend),
        _ => Finding::ok(text),
    }
}

#[cfg(not(unix))]
fn space(_root: &Path) -> Finding {
    Finding::skipped("not looked at on this system")
}

fn check_journal(path: &Path) -> Finding {
    if !path.exists() {
        return Finding::ok("not there yet; the first query creates it");
    }
    match journal::check(path) {
        Ok(()) => Finding::ok("opens, and is whole"),
        Err(error) => {
            let kind = match &error {
                JournalError::Busy { .. } => {
                    return Finding::warning("journal", error.to_string(), "Run doctor again.");
                }
                JournalError::Newer { .. } => "newer_release",
                _ => "journal",
            };
            Finding::failed(kind, error.to_string(), "Do what it says; until then no query is taken.")
        }
    }
}
