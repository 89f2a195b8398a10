//! How far the submission of one statement came.

use std::sync::Arc;

use registry_core::id::RemoteHandle;

use super::session::SnowflakeSession;

/// One submission.
#[derive(Debug, Clone)]
pub(super) enum Attempt {
    /// Nothing of it has left.
    NotSent,
    /// Sent over this session, which alone recognises a repeat; not answered.
    Sent(Arc<SnowflakeSession>),
    /// Taken by Snowflake.
    Taken(RemoteHandle),
}
