//! Measures what the crate promises: `cargo run --release -p sqlite-adapter --example engine_times -- open`.
//!
//! One measure a process, named on the command line, so that the memory told is that of the one: `open`, `cancel`,
//! `steps`, `stream`, `sort`, `parallel`, `wide`.

#![expect(clippy::print_stdout, clippy::expect_used, clippy::panic, reason = "a tool for people")]

#[path = "../tests/common/hostile.rs"]
mod hostile;

use std::time::{Duration, Instant};

use registry_core::Backend;
use registry_core::backend::{Progress, Session, SubmitError};
use registry_core::error::ErrorKind;
use registry_core::id::RemoteHandle;
use registry_core::results::{ResultLimits, ResultStore};
use registry_core::testing::submission;
use sqlite_adapter::{SqliteBackend, SqliteConfig, SqliteSource};

const FIVE_MILLION: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000000) \
     SELECT i, i * 2 AS b, i % 97 AS c, i / 3.0 AS d, 'row ' || i AS e, i * i AS f, NULL AS g, 'constant' AS h, \
     i % 2 AS j, -i AS k FROM n";

struct Bench {
    backend: SqliteBackend,
    store: ResultStore,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let store =
        ResultStore::open(directory.path().join("results"), ResultLimits::default()).expect("a store");
    let bench = Bench { backend: SqliteBackend::new(SqliteConfig::new(SqliteSource::Sample)), store };
    match std::env::args().nth(1).as_deref() {
        Some("open") => bench.open().await,
        Some("cancel") => bench.cancel().await,
        Some("steps") => bench.steps().await,
        Some("stream") => bench.timed("stream 5M x 10", FIVE_MILLION).await,
        Some("sort") => {
            bench.timed("sort 5M x 10", &format!("{FIVE_MILLION} ORDER BY i * 7919 % 1000003")).await
        }
        Some("parallel") => bench.parallel().await,
        Some("wide") => {
            bench.timed("wide", "SELECT zeroblob(8000000), zeroblob(8000000), zeroblob(8000000)").await;
            let many = vec!["randomblob(8000000)"; 900].join(", ");
            bench.timed("900 large values", &format!("SELECT {many}")).await;
        }
        _ => println!("name one of: open, cancel, steps, stream, sort, parallel, wide"),
    }
    println!("peak memory: {} MiB", peak_mib());
}

impl Bench {
    async fn start(&self, sql: &str) -> (Box<dyn Session>, RemoteHandle) {
        let mut session = self.backend.open_session().await.expect("a session");
        loop {
            match session.submit(submission(&self.store, sql)).await {
                Ok(handle) => return (session, handle),
                // Too many that were given up are still at their last step.
                Err(SubmitError::Rejected(error)) if error.kind == ErrorKind::Unavailable => {
                    println!("(waiting: {})", error.message);
                    tokio::time::sleep(Duration::from_secs(5)).await;
                }
                Err(error) => panic!("{sql}: {error}"),
            }
        }
    }

    async fn open(&self) {
        let started = Instant::now();
        let first = self.backend.open_session().await.expect("a session");
        println!("first session, which builds the sample: {:?}", started.elapsed());
        first.close().await.expect("closed");
        let started = Instant::now();
        for _ in 0..1000 {
            self.backend.open_session().await.expect("a session").close().await.expect("closed");
        }
        println!("a session, opened and closed: {:?}", started.elapsed() / 1000);
        let started = Instant::now();
        for _ in 0..1000 {
            let (mut session, handle) = self.start("SELECT count(*) FROM regions").await;
            session.changed(&handle).await;
            session.close().await.expect("closed");
        }
        println!("a session with a statement: {:?}", started.elapsed() / 1000);
    }

    /// Every hostile statement is stopped several times, each time at another moment of its work.
    async fn cancel(&self) {
        let wanted = std::env::args().nth(2).unwrap_or_default();
        let rounds = 4;
        let mut all = Vec::new();
        for (name, sql) in hostile::statements().iter().filter(|(name, _)| name.contains(&wanted)) {
            let mut spent = Vec::new();
            let mut ends = Vec::new();
            for round in 0..rounds {
                let (mut session, handle) = self.start(sql).await;
                tokio::time::sleep(Duration::from_millis(150 + 171 * round)).await;
                let asked = Instant::now();
                self.backend.cancel(&handle).await.expect("an answer");
                session.changed(&handle).await;
                let end = session.check(&handle).await.expect("an end");
                // What had failed before was not stopped.
                match end {
                    Progress::Aborted => spent.push(asked.elapsed()),
                    other => ends.push(format!("{other:?}").chars().take(90).collect::<String>()),
                }
            }
            ends.dedup();
            println!("{name}: {:?} at worst of {}{}", spent.iter().max(), spent.len(), ends.join(" "));
            all.extend(spent);
        }
        all.sort();
        let at = |share: f64| all.get(((all.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
        let quick = all.iter().filter(|spent| **spent <= Duration::from_millis(100)).count();
        println!("{quick} of them within 100 ms");
        println!("{} cancels: p50 {:?}, p99 {:?}, max {:?}", all.len(), at(0.5), at(0.99), at(1.0));
    }

    async fn steps(&self) {
        for (name, sql) in [
            ("replace", "SELECT length(replace(hex(zeroblob(4e6)), '0', 'a'))"),
            (
                "replace, long pattern",
                "SELECT length(replace(hex(zeroblob(4e6)), hex(zeroblob(2e6)) || '1', ''))",
            ),
            ("instr", "SELECT instr(hex(zeroblob(4e6)), hex(zeroblob(2e6)) || '1')"),
            ("trim", "SELECT length(trim(hex(zeroblob(4e6)), hex(randomblob(4e6)) || '0'))"),
            ("like", "SELECT hex(zeroblob(4e6)) LIKE '%' || hex(zeroblob(48)) || '1'"),
            ("glob", "SELECT hex(zeroblob(4e6)) GLOB '*' || replace(hex(zeroblob(12)), '0', '[^1]') || '1'"),
            ("json", "SELECT json_extract('[' || replace(hex(zeroblob(2e6)), '0', '1,') || '1]', '$[#-1]')"),
            (
                "json_each",
                "SELECT count(*) FROM json_each('[' || replace(hex(zeroblob(2e6)), '0', '1,') || '1]')",
            ),
        ] {
            self.timed(name, sql).await;
        }
    }

    /// As many statements as there are cores should take hardly longer than one.
    async fn parallel(&self) {
        let sql = "SELECT count(*), sum(a.quantity * p.price_cents), max(p.name || a.line) FROM order_items a JOIN orders o \
                   ON o.id = a.order_id JOIN products p ON p.id = a.product_id, (VALUES (1), (2), (3), (4), (5), (6), (7), \
                   (8), (9), (10), (11), (12), (13), (14), (15), (16), (17), (18), (19), (20))";
        for together in [1, 2, 4] {
            let started = Instant::now();
            let mut running = Vec::new();
            for _ in 0..together {
                running.push(self.start(sql).await);
            }
            for (session, handle) in &mut running {
                session.changed(handle).await;
            }
            println!("{together} at once: {:?}", started.elapsed());
        }
    }

    async fn timed(&self, name: &str, sql: &str) {
        let started = Instant::now();
        let (mut session, handle) = self.start(sql).await;
        session.changed(&handle).await;
        let spent = started.elapsed();
        let end = format!("{:?}", session.check(&handle).await);
        println!(
            "{name}: {spent:?}, {}",
            end.chars().rev().take(110).collect::<Vec<_>>().iter().rev().collect::<String>()
        );
    }
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}
