//! `result` and the rows of `run`.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{BINARY, ENDLESS, Ran, State};

fn numbers(count: u64) -> String {
    format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {count}) select i from n"
    )
}

#[test]
fn a_part_of_a_result_is_printed_and_the_next_part_is_named() {
    let state = State::new();
    let id = state.statement(&numbers(5000));
    let part = state.run(&["result", &id, "--offset", "10", "--limit", "3", "--format", "csv"]);
    assert_eq!((part.out.as_str(), part.code), ("i\n11\n12\n13\n", 0));
    assert!(part.err.contains("rows 11 to 13 of 5000") && part.err.contains("--offset 13"), "{part:?}");
    let all = state.run(&["result", &id, "--format", "csv"]);
    assert_eq!(all.out.lines().count(), 5001);
    assert!(all.err.starts_with("5000 rows ("), "{all:?}");
    let past = state.run(&["result", &id, "--offset", "5000"]);
    assert!(past.code == 0 && past.err.contains("no row at offset 5000 of 5000"), "{past:?}");
}

#[test]
fn rows_for_programs_are_lines_and_the_facts_are_on_stderr() {
    let state = State::new();
    let id = state.statement("select 1 as a, null as b union all select 2, 'x'");
    let ran = state.run(&["result", &id, "--json", "--limit", "1"]);
    assert_eq!(ran.out, "{\"a\":1,\"b\":null}\n");
    let told: Value = serde_json::from_str(&ran.err).unwrap();
    let expected = json!({ "rows": 1, "offset": 0, "total_rows": 2, "has_more": true, "next_offset": 1 });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&told[field], value, "{told}");
    }
    assert_eq!((&told["query_id"], &told["status"]), (&json!(id), &json!("succeeded")));
}

#[test]
fn the_rest_of_a_shortened_run_can_be_read_later() {
    let state = State::new();
    let ran = state.run(&["run", &numbers(10), "--max-rows", "4", "--format", "csv"]);
    assert_eq!((ran.out.as_str(), ran.code), ("i\n1\n2\n3\n4\n", 0));
    let step = ran.err.split("read on with: async-query-mcp ").nth(1).unwrap();
    let step: Vec<&str> = step.split_whitespace().chain(["--format", "csv"]).collect();
    assert_eq!(state.run(&step).out, "i\n5\n6\n7\n8\n9\n10\n");
}

#[test]
fn a_query_without_rows_says_why_and_its_exit_code_too() {
    let state = State::new();
    let mut server = state.serve(&[]);
    let failed = server.submit("select * from missing");
    server.wait_for_end(&failed);
    let endless = server.submit(ENDLESS);
    server.wait_until_running(&endless);
    for (id, code, word) in [(&failed, 1, "no such table"), (&endless, 7, "--wait")] {
        let ran = state.run(&["result", id]);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.out.is_empty() && ran.err.contains(word), "{ran:?}");
    }
    let waited = state.command(&["result", &endless, "--wait"]).stderr(Stdio::piped()).spawn().unwrap();
    server.call("query_cancel", json!({ "query_id": endless }));
    let ran = Ran::of(&waited.wait_with_output().unwrap());
    assert!(ran.code == 4 && ran.err.contains("was canceled"), "{ran:?}");
}

#[test]
fn rows_that_are_gone_are_not_found() {
    let state = State::new();
    let id = state.statement("select 1");
    for entry in std::fs::read_dir(state.path().join("results")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let ran = state.run(&["result", &id]);
    assert!(ran.code == 3 && ran.err.contains("gone"), "{ran:?}");
}

#[test]
fn a_file_holds_the_statement() {
    let state = State::new();
    let file = state.directory.path().join("query.sql");
    std::fs::write(&file, "-- the answer\nselect 42 as answer\n").unwrap();
    let file = file.display().to_string();
    assert_eq!(state.run(&["run", "--file", &file, "--format", "csv"]).out, "answer\n42\n");
    let missing = state.run(&["run", "--file", "/no/such/file.sql"]);
    assert!(missing.code == 2 && missing.err.contains("/no/such/file.sql"), "{missing:?}");
    assert_eq!(state.run(&["run", "select 1", "--file", &file]).code, 2);
}

#[test]
#[cfg(unix)]
fn a_reader_that_has_enough_is_no_failure() {
    let state = State::new();
    let id = state.statement(&numbers(200_000));
    for format in ["table", "csv", "json", "jsonl"] {
        let shell = format!(
            "set -o pipefail; {BINARY} --state-dir {} result {id} --format {format} | head -1 >/dev/null",
            state.path().display()
        );
        let ran = Ran::of(&Command::new("bash").args(["-c", &shell]).output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{format}");
    }
}

/// The rows of a large result are never all in memory.
#[test]
#[cfg(target_os = "linux")]
fn a_large_result_is_printed_in_little_memory() {
    let state = State::new();
    let id = state.statement(&numbers(1_000_000));
    let mut child = state
        .command(&["result", &id, "--format", "csv"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut lines = 0_u64;
    let mut peak = 0;
    let status = format!("/proc/{}/status", child.id());
    let mut line = String::new();
    while std::io::BufRead::read_line(&mut out, &mut line).unwrap() > 0 {
        line.clear();
        lines += 1;
        // What is left is more than a pipe holds, so the process is still there.
        if lines == 900_000 {
            let text = std::fs::read_to_string(&status).unwrap();
            let high = text.lines().find(|line| line.starts_with("VmHWM")).unwrap();
            peak = high.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
        }
    }
    assert_eq!((lines, child.wait().unwrap().code()), (1_000_001, Some(0)));
    assert!(peak > 0 && peak < 64 * 1024, "{peak} KiB");
}

#[test]
fn all_rows_go_into_a_new_file_and_nothing_is_overwritten() {
    let state = State::new();
    let id = state.statement(&numbers(3));
    let file = state.directory.path().join("rows.csv");
    let path = file.to_str().unwrap();
    let ran = state.run(&["result", &id, "--output", path]);
    assert_eq!(
        (ran.code, std::fs::read_to_string(&file).unwrap().as_str()),
        (0, "i\r\n1\r\n2\r\n3\r\n"),
        "{ran:?}"
    );
    assert!(ran.out.starts_with("3 rows and 12 bytes in ") && ran.out.contains("rows.csv"), "{ran:?}");
    assert_eq!(state.run(&["result", &id, "--output", path]).code, 0, "the same rows are there already");

    std::fs::write(&file, "mine").unwrap();
    let refused = state.run(&["result", &id, "--output", path]);
    assert_eq!((refused.code, std::fs::read_to_string(&file).unwrap().as_str()), (2, "mine"), "{refused:?}");
    let nameless =
        state.run(&["result", &id, "--output", state.directory.path().join("rows").to_str().unwrap()]);
    assert!(nameless.code == 2 && nameless.err.contains(".csv or .jsonl"), "{nameless:?}");
}
