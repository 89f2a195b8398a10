//! `run`: what a person or a script at a shell sees.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

use clap::CommandFactory;
use mcp_server::cli::Cli;

const ENDLESS: &str =
    "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_async-query-mcp"));
    command.arg("--ephemeral").arg("run").args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_table_goes_to_stdout_and_the_count_to_stderr() {
    let output = run(&["select 1 as id, null as nil, '' as empty"]);
    assert_eq!(out(&output), "id  nil   empty\n───────────────\n 1  NULL\n");
    assert!(err(&output).starts_with("1 row ("), "{}", err(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_format_tells_null_from_empty() {
    let sql = "select 1 as a, null as b, '' as c";
    assert_eq!(out(&run(&[sql, "--format", "csv"])), "a,b,c\n1,,\"\"\n");
    assert_eq!(out(&run(&[sql, "--format", "json"])), "[\n{\"a\":1,\"b\":null,\"c\":\"\"}\n]\n");
    assert_eq!(out(&run(&[sql, "--format", "jsonl"])), "{\"a\":1,\"b\":null,\"c\":\"\"}\n");
}

#[test]
fn a_statement_that_writes_is_refused_unless_allowed() {
    let refused = run(&["delete from orders"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(err(&refused).contains("--mode read-write"), "{}", err(&refused));
}

#[test]
fn variables_that_say_nothing_do_not_stop_the_program() {
    let line = Cli::command();
    let variables: Vec<_> = line.get_arguments().filter_map(clap::Arg::get_env).collect();
    assert!(variables.len() > 20, "{variables:?}");
    for nothing in ["", "${user_config.some_setting}"] {
        let output = command(&["select 1 as a", "--format", "csv"])
            .envs(variables.iter().map(|name| (name, nothing)))
            .output()
            .unwrap();
        assert_eq!((out(&output).as_str(), output.status.code()), ("a\n1\n", Some(0)), "{}", err(&output));
    }
}

#[test]
fn a_time_limit_stops_the_statement() {
    let output = run(&[ENDLESS, "--timeout", "1s"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(err(&output).contains("time limit"), "{}", err(&output));
}

#[test]
fn a_dash_reads_the_statement_from_stdin() {
    let mut child =
        command(&["-", "--format", "csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"select 7 as lucky\n").unwrap();
    assert_eq!(out(&child.wait_with_output().unwrap()), "lucky\n7\n");
}

#[test]
fn a_time_limit_that_was_cut_is_told() {
    let told = |arguments: &[&str]| {
        err(&run(arguments)).contains("The time limit was cut to 24 h 0 min (--max-timeout).")
    };
    assert!(told(&["select 1", "--timeout", "48h"]));
    assert!(!told(&["select 1", "--timeout", "48h", "--max-timeout", "2d"]));
    assert!(!told(&["select 1"]));
}

/// What the command says after a Ctrl-C that comes once its log has told of `moment`.
#[cfg(unix)]
fn interrupted(mut command: Command, moment: &str) -> String {
    command.args(["--log-level", "info"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(moment) {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "never: {moment}");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    rest
}

#[test]
#[cfg(unix)]
fn an_interruption_cancels_the_query_and_says_what_the_engine_said() {
    let rest = interrupted(command(&[ENDLESS]), "to=running");
    assert!(rest.contains("is canceled; the engine confirmed"), "{rest}");
}

/// A statement for an account at an address where nobody listens.
fn unreachable(arguments: &[&str]) -> Command {
    let mut command = command(&[&["--connection", "bad=snowflake", "select 77"], arguments].concat());
    let settings = [("ACCOUNT", "a"), ("USER", "u"), ("PASSWORD", "p"), ("HOST", "127.0.0.1"), ("PORT", "1")];
    for (name, value) in settings.into_iter().chain([("PROTOCOL", "http")]) {
        command.env(format!("SNOWFLAKE_CONNECTIONS_BAD_{name}"), value);
    }
    command.env("SNOWFLAKE_HOME", "/nonexistent");
    command
}

#[test]
#[cfg(unix)]
fn an_interruption_before_the_statement_was_sent_claims_no_word_of_the_engine() {
    let rest = interrupted(unreachable(&[]), "cannot be reached");
    assert!(
        rest.contains("is canceled; it was never sent to the engine") && !rest.contains("confirmed"),
        "{rest}"
    );
}

#[test]
fn a_time_limit_without_an_engine_within_reach_names_the_engine_and_a_way_to_look() {
    let output = unreachable(&["--timeout", "1s"]).output().unwrap();
    let told = err(&output);
    for part in ["could not be reached within 1 s", "async-query-mcp doctor"] {
        assert!(told.contains(part), "{part:?} is missing in {told}");
    }
    assert!(!told.contains("--timeout"), "{told}");
    assert_eq!(output.status.code(), Some(6), "{told}");
}

#[test]
fn a_statement_may_begin_with_a_comment() {
    let sql = "-- daily report\nselect 1 as a";
    for arguments in [&[sql, "--format", "csv"][..], &["--format", "csv", sql], &["--format=csv", "--", sql]]
    {
        let output = run(arguments);
        assert_eq!((out(&output).as_str(), output.status.code()), ("a\n1\n", Some(0)), "{}", err(&output));
    }
}

#[test]
fn a_flag_that_does_not_exist_is_no_statement() {
    for arguments in [&["--formt", "csv", "select 1"][..], &["--formt=csv", "select 1"], &["--formt"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(err(&output).contains("--formt"), "{}", err(&output));
    }
}

#[test]
fn a_negative_number_is_told_from_a_flag() {
    for arguments in [&["--max-rows", "-1"][..], &["--max-running", "-1"], &["--timeout", "-1"]] {
        let output = run(&[&["select 1"], arguments].concat());
        let text = err(&output);
        assert!(text.contains("invalid value '-1'") && !text.contains("'-- -1'"), "{text}");
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn one_byte_order_mark_at_the_start_of_a_file_is_no_part_of_the_statement() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.sql");
    for (marks, code) in [("", 0), ("\u{feff}", 0), ("\u{feff}\u{feff}", 1)] {
        std::fs::write(&path, format!("{marks}select 1 as a")).unwrap();
        let output = run(&["--file", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(code), "{marks:?}: {}", err(&output));
    }
}

#[test]
#[cfg(unix)]
fn a_query_whose_rows_nobody_will_read_is_canceled() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(&[ENDLESS, "--timeout", "60s"]).stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", err(&output));
    assert!(err(&output).contains("nobody reads the rows; canceling query"), "{}", err(&output));
}
