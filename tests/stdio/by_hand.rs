//! The command line as a person uses it.

use std::path::Path;
use std::process::{Command, Output};

use crate::BINARY;

fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(["--ephemeral", "--log-level", "error"]).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_transcript_of_the_readme_is_real() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let block = readme.split("$ cargo run --release -- run \"").nth(1).unwrap().split("```").next().unwrap();
    let (statement, shown) = block.split_once("\"\n").unwrap();
    let (table, footer) = shown.trim_end().rsplit_once('\n').unwrap();
    let output = run(&["run", statement]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim_end(), table.trim_end());
    let rows = footer.split(" (").next().unwrap();
    assert!(text(&output.stderr).contains(rows), "{footer}: {}", text(&output.stderr));
}

#[test]
fn each_format_goes_to_stdout_and_everything_else_to_stderr() {
    let statement = "select 1 as a, null as b, 'x,\"y\"' as c";
    for (format, expected) in
        [("csv", "a,b,c\n1,,\"x,\"\"y\"\"\"\n"), ("jsonl", "{\"a\":1,\"b\":null,\"c\":\"x,\\\"y\\\"\"}\n")]
    {
        let output = run(&["run", statement, "--format", format]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stdout), expected);
        assert!(text(&output.stderr).contains("1 row"));
    }
    let output = run(&["run", statement, "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows, serde_json::json!([{ "a": 1, "b": null, "c": "x,\"y\"" }]));
}

#[test]
fn the_exit_code_tells_a_failed_query_from_a_wrong_command() {
    for (arguments, code) in [
        (&["run", "select * from missing"][..], 1),
        (&["run"][..], 2),
        (&["--no-such-flag"][..], 2),
        (&["run", "select 1", "--format", "xml"][..], 2),
        (&["run", "delete from orders"][..], 1),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_result_of_many_rows_streams_and_a_closed_pipe_is_no_error() {
    let many =
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000) select i from n";
    let output = run(&["run", many, "--format", "csv"]);
    assert_eq!(text(&output.stdout).lines().count(), 200_001);
    let shell = format!("{BINARY} --ephemeral --log-level error run '{many}' --format csv | head -1");
    let output = Command::new("sh").args(["-c", &shell]).output().unwrap();
    assert_eq!(text(&output.stdout), "i\n");
    assert!(!text(&output.stderr).to_lowercase().contains("pipe"), "{}", text(&output.stderr));
}
