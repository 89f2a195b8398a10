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
#[cfg(unix)]
fn an_interruption_cancels_the_query_and_says_what_the_engine_said() {
    let mut child = command(&[ENDLESS]);
    child.args(["--log-level", "info"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("to=running") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "the query never ran");
    }
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("is canceled; the engine confirmed"), "{rest}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
