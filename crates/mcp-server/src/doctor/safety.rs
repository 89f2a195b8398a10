//! What stands between an agent's statement and the data.

use registry_core::Backend;
use registry_core::backend::{Fence, FenceKind};
use tokio::time::timeout;

use super::How;
use super::report::Finding;
use crate::policy::Mode;

/// What the operator chose.
pub(super) fn policy(mode: Mode) -> Finding {
    Finding::ok(match mode {
        Mode::ReadOnly => "read-only: every statement is read, and one that may write is refused",
        Mode::ReadWrite => "read-write: a person confirms every statement that may write",
    })
}

/// What the engine itself would refuse, should the reading of a statement be wrong.
pub(super) async fn fence(backend: &dyn Backend, how: How) -> Finding {
    let Ok(fence) = timeout(how.patience, backend.fence()).await else {
        return Finding::warning("unknown", "the engine did not say in time what it refuses", ASK_AGAIN);
    };
    found(fence)
}

/// What is to be said of a fence.
pub(super) fn found(fence: Fence) -> Finding {
    match fence.kind {
        FenceKind::Engine | FenceKind::Open => Finding::ok(format!("{}: {}", fence.kind, fence.detail)),
        FenceKind::ParserOnly => {
            Finding::warning("parser_only", format!("{}: {}", fence.kind, fence.detail), GIVE_A_ROLE)
        }
        FenceKind::Unknown => Finding::warning("unknown", fence.detail, ASK_AGAIN),
    }
}

const ASK_AGAIN: &str = "Run doctor again; until it is known, rely on the rights of the user alone.";
const GIVE_A_ROLE: &str = "Give the connection a role that may only do what an agent may do, as the documentation on the \
    Snowflake account shows.";
