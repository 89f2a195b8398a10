//! A connection on the embedded engine.

use std::sync::Arc;

use registry_core::Backend;
use registry_core::backend::BackendError;
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteSource};

use super::report::{Finding, Report};
use super::{How, safety};
use crate::policy::Mode;

const STEPS: [&str; 2] = ["open", "fence"];

pub(super) async fn examine(report: &mut Report, scope: &str, source: SqliteSource, mode: Mode, how: How) {
    report.take(scope, "policy", async { safety::policy(mode) }).await;
    let config = SqliteConfig::new(source).with_writes(mode == Mode::ReadWrite);
    let backend: Arc<dyn Backend> = Arc::new(SqliteBackend::new(config));
    if !report.take(scope, "open", open(&backend, mode)).await {
        return report.skip_rest(scope, &STEPS, "the database does not open");
    }
    report.take(scope, "fence", safety::fence(backend.as_ref(), how)).await;
}

async fn open(backend: &Arc<dyn Backend>, mode: Mode) -> Finding {
    let target = backend.target();
    let opened: Result<(), BackendError> = async { backend.open_session().await?.close().await }.await;
    match opened {
        Ok(()) if mode == Mode::ReadWrite => Finding::ok(format!("{target} opens for reading and writing")),
        Ok(()) => Finding::ok(format!("{target} opens read-only")),
        Err(error) => Finding::failed(
            error.0.kind.as_str(),
            error.to_string(),
            "Name an existing SQLite file that this user may read, with sqlite:PATH.",
        ),
    }
}
