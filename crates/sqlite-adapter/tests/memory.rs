//! Hostile values in an address space of 1 GiB. The test starts itself again, because the limit is the process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]
#![cfg(target_os = "linux")]

#[path = "common/attacks.rs"]
mod attacks;
mod common;

use std::process::Command;

use common::{Fixture, end};
use registry_core::backend::Progress;
use registry_core::error::ErrorKind;

/// Statements that ask for more memory than there is.
const GREEDY: &[&str] = &[
    "zeroblob",
    "randomblob",
    "printf",
    "replace that grows",
    "group_concat",
    "json_group_array",
    "json_array",
    "json_pretty",
    "concat",
    "many large columns",
    "many large texts that are none",
];
/// The system's allocator keeps some of what every thread has freed: 190 to 270 MiB are seen for the same statements.
const MOST_MIB: u64 = 384;
const MOST_TOGETHER_MIB: u64 = 640;

#[test]
fn hostile_values_cost_a_bounded_amount_of_memory() {
    let run = Command::new("sh")
        .args(["-c", "ulimit -v 1048576 && exec \"$0\" --ignored --exact --nocapture in_a_small_space"])
        .arg(std::env::current_exe().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success());
    assert!(said.contains("peak memory"), "the test did not run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test above, in a small address space"]
async fn in_a_small_space() {
    let fixture = Fixture::sample();
    let bombs = attacks::bombs();
    let greedy = |name: &&str| bombs.iter().find(|(bomb, _)| bomb == name).unwrap();
    for (name, sql) in GREEDY.iter().map(greedy) {
        let error = fixture.error(sql).await;
        println!("{name}: {} (peak {} MiB)", error.message, peak_mib());
        assert_eq!(error.kind, ErrorKind::ResourceLimit, "{name}: {error:?}");
        assert_eq!(fixture.rows("SELECT count(*) FROM orders").await, [[18_000]], "after {name}");
    }
    // Large but allowed: the row takes six times its size on its way.
    let (_, controls) = greedy(&"many control characters");
    fixture.query(controls).await.unwrap();
    println!("one at a time: peak {} MiB", peak_mib());
    assert!(peak_mib() <= MOST_MIB, "one at a time: {} MiB", peak_mib());
    let mut together = Vec::new();
    for (_, sql) in GREEDY.iter().rev().take(8).map(greedy) {
        together.push(fixture.start(sql).await);
    }
    for (mut session, handle) in together {
        let end = end(&mut session, &handle).await;
        assert!(matches!(&end, Progress::Failed(error) if error.kind == ErrorKind::ResourceLimit), "{end:?}");
    }
    assert_eq!(fixture.rows("SELECT count(*) FROM orders").await, [[18_000]], "after all at once");
    println!("peak memory: {} MiB", peak_mib());
    assert!(peak_mib() <= MOST_TOGETHER_MIB, "all at once: {} MiB", peak_mib());
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
