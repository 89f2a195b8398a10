//! Rows that `run` prints before the statement has ended.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use support::fake_snowflake::FakeSnowflake;
use support::fake_snowflake::faults::{Fault, Misbehaviour};
use support::fake_snowflake::options::Options;

use crate::orphans::{CONNECTION, variables};
use crate::{Ran, State};

/// Rows that each take their time; the last one is wider than the others.
const SLOW: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 40) \
    select i, (with recursive m(j) as (select i union all select j + 1 from m where j < 200000) \
    select count(*) from m) as c, case when i = 40 then 'the widest' end as t from n";

/// Never ends, and produces rows all the time.
const COUNTING: &str = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n";

/// A `run` whose rows go into a pipe.
struct Run {
    process: Child,
    rows: Lines<BufReader<ChildStdout>>,
}

impl Run {
    fn of(state: &State, arguments: &[&str]) -> Self {
        let mut command = state.command(arguments);
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let rows = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, rows }
    }

    fn lines(&mut self, count: usize) -> Vec<String> {
        self.rows.by_ref().take(count).map(Result::unwrap).collect()
    }

    /// What it leaves when nobody reads on.
    fn unread(self) -> Ran {
        drop(self.rows);
        Ran::of(&self.process.wait_with_output().unwrap())
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([name, &self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// What it leaves when it gets this signal.
    #[cfg(unix)]
    fn ended_by(self, signal: &str) -> Ran {
        self.signal(signal);
        // Its rows can be read until then.
        let left = Ran::of(&self.process.wait_with_output().unwrap());
        drop(self.rows);
        left
    }
}

#[test]
fn rows_go_into_a_pipe_while_the_statement_runs() {
    for (format, head) in [
        ("csv", ["i", "1", "2"]),
        ("jsonl", [r#"{"i":1}"#, r#"{"i":2}"#, r#"{"i":3}"#]),
        ("json", ["[", r#"{"i":1},"#, r#"{"i":2},"#]),
        // As wide as its first page of 2,000 rows asks for.
        ("table", ["   i", "────", "   1"]),
    ] {
        let state = State::new();
        let mut run = Run::of(&state, &["run", COUNTING, "--format", format]);
        assert_eq!(run.lines(3), head, "{format}");
        let left = run.unread();
        assert_eq!(left.code, 4, "{format}: {left:?}");
        assert!(left.err.contains("nobody reads the rows; canceling query"), "{format}: {left:?}");
        assert_eq!(state.listed(&[])[0]["status"], "canceled", "{format}");
    }
}

#[test]
fn no_more_rows_than_wanted_are_printed_on_the_way() {
    let state = State::new();
    let mut run =
        Run::of(&state, &["run", COUNTING, "--format", "csv", "--max-rows", "3", "--timeout", "2s"]);
    let rows: Vec<_> = run.rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(rows, ["i", "1", "2", "3"]);
    assert_eq!(run.unread().code, 5);
}

#[test]
fn a_table_is_as_wide_as_its_widest_row_however_slowly_that_comes() {
    let ran = State::new().run(&["run", SLOW]);
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!((lines.len(), lines[41].trim()), (42, "40  199961  the widest"), "{ran:?}");
    assert_eq!(lines[1].chars().count(), lines[41].chars().count(), "{ran:?}");
}

#[test]
fn a_failure_after_some_rows_is_told_behind_them() {
    // Each row takes its time, and the fortieth is a number that there is not.
    let sql = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 40) \
        select i, (with recursive m(j) as (select i union all select j + 1 from m where j < 200000) \
        select count(*) from m), abs(-9223372036854775768 - i) from n";
    let ran = Ran::of(&State::new().command(&["run", sql, "--format", "csv"]).output().unwrap());
    assert!(ran.out.contains("\n1,200000,9223372036854775769\n"), "{ran:?}");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("integer overflow"), "{ran:?}");
}

/// A service that gives the first `rows` of a result and then falls silent: in one protocol they come with the status, in
/// the other one with the answer before the chunks.
fn falling_silent(api: &str) -> (FakeSnowflake, State, usize) {
    let (endpoint, rows) = if api == "sql" { ("fetch", 200) } else { ("chunk", 100) };
    let options = Options { partition_rows: 200, inline_rows: 100, chunk_rows: 100, ..Options::default() };
    let service = FakeSnowflake::start_blocking(options).unwrap();
    service.faults.add(Fault::once(endpoint, Misbehaviour::HalfOpen).times(99));
    let mut state = State::new();
    state.variables = variables(&service, api, &state);
    (service, state, rows)
}

fn thousand_rows(state: &State) -> Run {
    let sql = "select seq4() as n from table(generator(rowcount => 1000))";
    Run::of(state, &[&CONNECTION[..], &["run", sql, "--format", "csv"]].concat())
}

#[test]
fn the_rows_of_a_part_are_printed_while_the_next_one_is_fetched() {
    for api in ["sql", "driver"] {
        let (_service, state, rows) = falling_silent(api);
        let mut run = thousand_rows(&state);
        let lines = run.lines(rows + 1);
        let last = (rows - 1).to_string();
        assert_eq!((lines[0].as_str(), &lines[rows]), ("N", &last), "{api}");
        assert_eq!(state.listed(&[])[0]["status"], "running", "{api}");
        // The statement has succeeded, so there is nothing to cancel.
        let left = run.unread();
        assert!(left.code == 0 && !left.err.contains("cancel"), "{api}: {left:?}");
    }
}

#[test]
#[cfg(unix)]
fn an_interruption_while_rows_are_fetched_tells_that_the_statement_has_succeeded() {
    for api in ["sql", "driver"] {
        let (_service, state, rows) = falling_silent(api);
        let mut run = thousand_rows(&state);
        run.lines(rows + 1);
        let left = run.ended_by("-INT");
        assert_eq!(left.code, 130, "{api}: {left:?}");
        assert!(
            left.err.contains("the statement has succeeded; not all of its rows are here"),
            "{api}: {left:?}"
        );
    }
}

#[test]
#[cfg(unix)]
fn whatever_signal_ends_a_run_its_statement_is_canceled() {
    let mut signals = vec!["-INT", "-TERM"];
    // Elsewhere a run without a terminal cannot tell a closed terminal from one that it shall outlive.
    if cfg!(target_os = "linux") {
        signals.push("-HUP");
    }
    for signal in signals {
        let state = State::new();
        let mut run = Run::of(&state, &["run", COUNTING, "--format", "csv"]);
        run.lines(2);
        let left = run.ended_by(signal);
        assert_eq!(left.code, 130, "{signal}: {left:?}");
        assert_eq!(state.listed(&[])[0]["status"], "canceled", "{signal}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_that_shall_outlive_its_terminal_does() {
    let state = State::new();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh", crate::BINARY, "--state-dir"]).arg(state.path());
    shell.args(["run", COUNTING, "--format", "csv"]).stdin(Stdio::null());
    let mut process = shell.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let rows = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut run = Run { process, rows };
    run.lines(2);
    run.signal("-HUP");
    assert_eq!(run.lines(100_000).len(), 100_000, "more than a pipe holds");
    assert_eq!(run.unread().code, 4);
}
