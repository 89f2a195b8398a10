//! Many statements leave nothing behind. Alone in its process, because it counts threads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod common;

use common::{BOUND, Fixture, end};
use registry_core::Backend;

#[tokio::test]
async fn ten_thousand_statements_leave_nothing_behind() {
    let fixture = Fixture::sample();
    for number in 0..10_000 {
        let (mut session, handle) = fixture.start("SELECT 1").await;
        end(&mut session, &handle).await;
        session.close().await.unwrap();
        assert!(fixture.backend.known_statements() <= 257, "after {number}");
    }
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let (session, handle) = fixture.start(endless).await;
    session.close().await.unwrap();
    assert_eq!(statement_threads(), usize::from(cfg!(target_os = "linux")));
    fixture.backend.cancel(&handle).await.unwrap();
    assert_eq!(fixture.backend.shutdown(BOUND).await, 0);
    assert_eq!(statement_threads(), 0);
}

/// Threads of this process that run a statement; 0 where the system does not tell.
fn statement_threads() -> usize {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names =
        threads.flatten().filter_map(|thread| std::fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|name| name.starts_with("sql-")).count()
}
