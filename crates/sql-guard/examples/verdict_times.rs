//! How long a verdict takes: over the corpus, and over texts made to be slow.
//!
//! `cargo run --release -p sql-guard --example verdict_times`; fails if a bound is not kept.
#![allow(clippy::print_stdout, clippy::panic)]

use std::time::{Duration, Instant};

use serde::Deserialize;
use sql_guard::{Allowances, Dialect, Verdict, judge};

#[derive(Deserialize)]
struct Case {
    dialect: Dialect,
    sql: String,
}

const CORPUS: &[&str] = &[
    include_str!("../tests/corpus/reads.jsonl"),
    include_str!("../tests/corpus/metadata.jsonl"),
    include_str!("../tests/corpus/writes.jsonl"),
    include_str!("../tests/corpus/effects.jsonl"),
    include_str!("../tests/corpus/concealment.jsonl"),
    include_str!("../tests/corpus/several_statements.jsonl"),
    include_str!("../tests/corpus/not_understood.jsonl"),
    include_str!("../tests/corpus/engines_differ.jsonl"),
];

/// The most bytes that are looked at.
const ROOM: usize = 64 * 1024;
const ROUNDS: usize = 20;

fn main() {
    let mut times = corpus_times();
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    println!(
        "corpus: {} verdicts, mean {:?}",
        times.len(),
        times.iter().sum::<Duration>() / times.len() as u32
    );
    println!("corpus: p50 {:?}, p99 {:?}, p99.9 {:?}, worst {:?}", at(500), at(990), at(999), at(1000));
    let mut worst = Duration::ZERO;
    for (name, sql) in hostile() {
        for dialect in [Dialect::Snowflake, Dialect::Sqlite] {
            let (time, verdict) = best(5, &sql, dialect);
            worst = worst.max(time);
            println!(
                "{name} ({} bytes, {dialect:?}): {time:?}, {} {}",
                sql.len(),
                verdict.kind,
                verdict.rule
            );
        }
    }
    println!("hostile: worst {worst:?}");
    assert!(at(990) <= Duration::from_millis(1), "p99 over the corpus is above 1 ms");
    assert!(worst <= Duration::from_millis(250), "a hostile text took more than 250 ms");
}

fn corpus_times() -> Vec<Duration> {
    let cases: Vec<Case> = CORPUS
        .iter()
        .flat_map(|text| text.lines())
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    cases.iter().map(|case| best(ROUNDS, &case.sql, case.dialect).0).collect()
}

/// The shortest of several times, which is the guard's; the others are the machine's as well.
fn best(rounds: usize, sql: &str, dialect: Dialect) -> (Duration, Verdict) {
    let first = timed(sql, dialect);
    (1..rounds)
        .map(|_| timed(sql, dialect))
        .fold(first, |best, next| if next.0 < best.0 { next } else { best })
}

fn timed(sql: &str, dialect: Dialect) -> (Duration, Verdict) {
    let started = Instant::now();
    let verdict = judge(sql, dialect, &Allowances::default());
    (started.elapsed(), verdict)
}

/// `SELECT` and as many `part`s as there is room for.
fn filled(start: &str, part: &str, end: &str) -> String {
    let count = (ROOM - start.len() - end.len()) / part.len();
    [start, &part.repeat(count), end].concat()
}

fn few(start: &str, part: &str, end: &str) -> String {
    [start, &part.repeat(6_000), end].concat()
}

fn hostile() -> Vec<(&'static str, String)> {
    let nested = |open: &str, close: &str, depth: usize| {
        ["SELECT ", &open.repeat(depth), "1", &close.repeat(depth)].concat()
    };
    vec![
        ("sum of 9,990 terms", ["SELECT 1", &"+1".repeat(9_990)].concat()),
        ("sum of 35,000 terms", ["SELECT 1", &"+1".repeat(34_999)].concat()),
        ("chain of AND", few("SELECT 1 WHERE a", " AND b", "")),
        ("chain of ||", few("SELECT a", "||b", "")),
        ("chain of casts", few("SELECT a", "::INT", "")),
        ("chain of paths", few("SELECT a:b", ".c", "")),
        ("chain of NOT", few("SELECT ", "NOT ", "1")),
        ("chain of minus", few("SELECT ", "- ", "1")),
        ("chain of SHOW", few("SHOW TABLES", "->>SHOW TABLES", "")),
        ("chain of queries", filled("SELECT 1", "->>SELECT 1 FROM $1", "")),
        ("chain of short queries", few("SELECT 1", "->>SELECT 1", "")),
        ("chain of what is no query", few("SELECT 1 b", " IS->>SELECT b", "")),
        ("joins", few("SELECT * FROM a", " JOIN a", "")),
        ("joins with conditions", few("SELECT * FROM a", " JOIN a ON a", "")),
        ("as many joins as are read", ["SELECT * FROM a", &" JOIN a".repeat(1_000)].concat()),
        ("patterns in parentheses", ["SELECT * FROM t MATCH_RECOGNIZE(PATTERN", &"(".repeat(9_000)].concat()),
        ("chain of NOT LIKE", few("SELECT ", "NOT LIKE ", "")),
        (
            "as many NOT LIKE as are read",
            ["SELECT ", &"NOT LIKE ".repeat(1_500), &"a ".repeat(15_000)].concat(),
        ),
        ("chain of NOT and minus", few("SELECT ", "NOT - ", "")),
        ("chain of CASE and minus", few("SELECT ", "CASE - ", "")),
        ("UNION ALL", filled("SELECT 1", " UNION ALL SELECT 1", "")),
        ("parentheses, 30 deep", nested("(", ")", 30)),
        ("parentheses, 9,000 deep", nested("(", ")", 9_000)),
        ("subqueries, 40 deep", nested("(SELECT ", ")", 40)),
        ("subqueries, 5,000 deep", nested("(SELECT ", ")", 5_000)),
        ("calls, 40 deep", nested("ABS(", ")", 40)),
        ("calls, 9,000 deep", nested("ABS(", ")", 6_000)),
        ("CASE, 3,000 deep", nested("CASE WHEN 1 THEN ", " END", 2_500)),
        ("brackets, 9,000 deep", nested("[", "]", 9_000)),
        ("braces, 40 deep", nested("{'a':", "}", 40)),
        ("joins in parentheses", ["SELECT * FROM ", &"(".repeat(45), "a", &" JOIN b)".repeat(45)].concat()),
        ("tables in parentheses", ["SELECT * FROM ", &"(".repeat(45), "a", &")".repeat(45)].concat()),
        ("lambdas", ["SELECT FILTER(a, ", &"x -> (".repeat(40), "1", &")".repeat(40), ")"].concat()),
        ("long list", filled("SELECT 1 WHERE a IN (1", ",1234567", ")")),
        ("many calls", few("SELECT 1", ",f(1)", "")),
        ("many known calls", filled("SELECT 1", ",COALESCE(a,1234567890)", "")),
        ("many aliases with columns", filled("SELECT * FROM a", ", (SELECT 1) AS t (a)", "")),
        ("many tables of WITH", filled("WITH a AS (SELECT 1)", ", a AS (SELECT 1)", " SELECT 1")),
        ("many patterns", filled("SELECT * FROM t MATCH_RECOGNIZE(", "PATTERN(", "")),
        ("many structured types", few("SELECT a", "::MAP(", "")),
        ("many samples", few("SELECT * FROM a", " SAMPLE (", "")),
        ("many semantic views", few("SELECT * FROM a", ", SEMANTIC_VIEW(", "")),
        ("many stars in braces", few("SELECT ", "{* EXCLUDE (", "")),
        ("comments", filled("SELECT 1", " /**/", "")),
        ("line comments", filled("SELECT 1", "--\n", "")),
        ("open comments", filled("SELECT 1", " /*", "")),
        ("semicolons", filled("SELECT 1", ";", "")),
        ("one long text", filled("SELECT '", "x", "'")),
        ("one long name", filled("SELECT ", "x", "")),
        ("one long number", filled("SELECT ", "1", "")),
        ("quotes", filled("SELECT ", "''", "")),
        ("wide letters", filled("SELECT '", "\u{4e00}", "'")),
        ("line ends", filled("SELECT", "\n", " 1")),
        ("words", few("SELECT ", "a ", "")),
        ("flow", few("SELECT 1", "->>SELECT 1", "")),
        ("flow of SHOW", few("SHOW a", "->>SHOW a", "")),
        ("words of SHOW", few("SHOW a", " a", "")),
    ]
}
