//! Limits that the documents name are those of the program.

use std::fmt::Write as _;

use clap::CommandFactory;
use mcp_server::cli::Cli;
use mcp_server::config::{MOST_PAGE_CHARS, Settings};
use mcp_server::tools::ToolName;
use sql_guard::{Allowances, Dialect, Kind, Rule};

use crate::{made, pages};

/// What is limited, by which flag, and what is said when it is met.
const LIMITS: [(&str, &str, &str); 11] = [
    (
        "bytes of a statement",
        "max-statement-bytes",
        "`statement_refused` with the rule `text-size`; `invalid_request` where the flag sets less",
    ),
    ("time of a statement", "max-timeout", "`timeout`"),
    ("statements at once on a connection", "max-running", "they wait in line"),
    ("statements that wait for a place", "max-queued", "`queue_full`"),
    ("tool calls at once", "max-calls", "`too_many_calls`"),
    ("seconds that a call waits", "max-wait-seconds", "the answer says that it still runs"),
    ("characters of an answer", "page-chars", "`has_more`, `truncated_cells`, `hidden_columns`"),
    ("rows of a result", "max-result-rows", "`truncated`"),
    ("bytes of a result", "max-result-bytes", "`truncated`"),
    ("bytes of all results", "max-spool-bytes", "`rows_evicted`, those of the query that ended first first"),
    ("time that queries and results are kept", "ttl", "`not_found`"),
];

#[test]
fn a_statement_over_the_default_length_is_refused_by_its_size() {
    let long = format!("select '{}'", "x".repeat(70_000));
    for dialect in [Dialect::Sqlite, Dialect::Snowflake] {
        let verdict = sql_guard::judge(&long, dialect, &Allowances::default());
        assert_eq!((verdict.kind, verdict.rule), (Kind::Refused, Rule::TextSize));
    }
}

#[test]
fn the_limits_on_the_page_on_safety_are_those_of_the_flags() {
    let command = Cli::command();
    let mut table = "| limit | flag | default | when it is met |\n|---|---|---|---|\n".to_owned();
    for (what, name, message) in LIMITS {
        let flag = command.get_arguments().find(|flag| flag.get_long() == Some(name)).unwrap();
        let default = flag.get_default_values()[0].to_str().unwrap();
        writeln!(table, "| {what} | `--{name}` | {default} | {message} |").unwrap();
    }
    made::part("docs/safety.md", "limits", &table, made::exactly);
}

/// `30000` as `30,000`.
fn with_commas(number: usize) -> String {
    let digits = number.to_string();
    let places = digits.len();
    let pieces = digits.chars().enumerate().map(|(place, digit)| {
        let comma = if place > 0 && (places - place).is_multiple_of(3) { "," } else { "" };
        format!("{comma}{digit}")
    });
    pieces.collect()
}

#[test]
fn the_numbers_in_the_prose_are_those_of_the_program() {
    let (settings, most) = (Settings::default(), with_commas(MOST_PAGE_CHARS));
    let (page, wait) = (with_commas(settings.page_chars), settings.max_wait.as_secs());
    let kept = settings.retention_words();
    assert_eq!(ToolName::ALL.len(), 5, "the page on clients says that there are five tools");
    for (name, facts) in [
        (
            "README.md",
            vec![format!("{wait} s (`--max-wait-seconds`)"), format!("{most} characters"), kept.clone()],
        ),
        ("docs/agents.md", vec![format!("{page} characters (`--page-chars`)")]),
        ("docs/clients.md", vec![format!("answers within {wait} s"), format!("{page} characters"), most]),
        ("docs/sharing.md", vec![format!("`--ttl`, {kept} by default")]),
        (
            "docs/troubleshooting.md",
            vec![format!("within {wait} seconds"), format!("{page} characters"), kept],
        ),
    ] {
        let text = pages::one(name).text;
        for fact in facts {
            assert!(text.contains(&fact), "{name} does not say {fact:?}");
        }
    }
}
