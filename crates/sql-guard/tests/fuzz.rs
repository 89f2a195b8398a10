//! Statements of the corpus, changed at random, against a second reader.
//!
//! The suite does this for a few seconds; `GUARD_FUZZ_SECONDS=600 cargo test --release -p sql-guard --test fuzz` for as
//! long as wanted, and `GUARD_FUZZ_SEED` takes up a run again.
#![allow(clippy::unwrap_used)]

#[path = "support/oracle.rs"]
mod oracle;
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sql_guard::{Allowances, Dialect, Rule, judge};
use support::corpus;

/// Numbers that only look random, the same again for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (sides.max(1) as u64)).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.roll(from.len())]
    }
}

/// Pieces that attackers are fond of.
const SPICE: &[&str] = &[
    ";",
    "; DROP TABLE t",
    " END",
    " END; DROP TABLE t",
    "--",
    "\n",
    "\r",
    "/*",
    "*/",
    "//",
    "#",
    "'",
    "''",
    "\\'",
    "\\",
    "\"",
    "`",
    "[",
    "]",
    "$$",
    "$a$",
    "$",
    "@",
    "@s/",
    "(",
    ")",
    "->>",
    "->",
    "::",
    ":",
    ",",
    ".",
    "..",
    "!",
    "{",
    "}",
    "*",
    "=",
    "=>",
    " SELECT ",
    " WITH a AS (",
    " DELETE FROM t ",
    " INSERT INTO t ",
    " CALL p() ",
    " INTO ",
    " FOR UPDATE",
    " AS PROCEDURE ",
    " EXPLAIN ",
    " USING TEXT ",
    "SHOW ",
    "LIST ",
    "DESC ",
    "PRAGMA ",
    "SYSTEM$WAIT(1)",
    "my_udf(1)",
    "load_extension('x')",
    " SAMPLE (1)",
    " DIRECTED ",
    " IS ",
    " NOT INDEXED ",
    " INDEXED BY ",
    "SEMANTIC_VIEW(",
    " FROM FIRST OVER ",
    "::ARRAY(",
    " MATCH_RECOGNIZE(",
    " PATTERN(",
    "X'",
    "N'",
    "U&'",
    "\u{0}",
    "\u{a0}",
    "\u{200b}",
    "\u{17f}",
    "\u{ff1b}",
    "1e5",
    "0x1F",
];

fn fragments(sql: &str) -> Vec<&str> {
    let mut fragments = Vec::new();
    let mut start = 0;
    let mut last = None;
    for (at, c) in sql.char_indices() {
        let class = (c.is_alphanumeric() || c == '_', c.is_whitespace());
        if last.is_some_and(|last| last != class || class == (false, false)) {
            fragments.push(&sql[start..at]);
            start = at;
        }
        last = Some(class);
    }
    fragments.push(&sql[start..]);
    fragments
}

fn mutated(dice: &mut Dice, sql: &str, other: &str) -> String {
    let mut parts: Vec<String> = fragments(sql).into_iter().map(str::to_owned).collect();
    let others = fragments(other);
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(parts.len());
        match dice.roll(7) {
            0 if parts.len() > 1 => drop(parts.remove(at)),
            1 => parts.insert(at, (*dice.pick(SPICE)).to_owned()),
            2 => parts[at] = (*dice.pick(SPICE)).to_owned(),
            3 => parts.insert(at, (*dice.pick(&others)).to_owned()),
            4 => {
                let with = dice.roll(parts.len());
                parts.swap(at, with);
            }
            5 => parts.push(format!("{}{other}", dice.pick(SPICE))),
            _ => parts[at] = bytes_changed(dice, &parts[at]),
        }
    }
    parts.concat()
}

fn bytes_changed(dice: &mut Dice, part: &str) -> String {
    let mut bytes = part.as_bytes().to_vec();
    let at = dice.roll(bytes.len() + 1);
    let byte = u8::try_from(dice.roll(256)).unwrap();
    match dice.roll(3) {
        0 => bytes.insert(at, byte),
        1 if at < bytes.len() => bytes[at] = byte,
        _ if at < bytes.len() => drop(bytes.remove(at)),
        _ => {}
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

#[test]
fn the_second_reader_objects_to_nothing_that_the_guard_allows() {
    let end = Instant::now() + Duration::from_secs(number("GUARD_FUZZ_SECONDS", 3));
    let seed = number("GUARD_FUZZ_SEED", 0x5eed);
    let mut dice = Dice(seed | 1);
    let cases = corpus();
    let reads: Vec<_> = cases.iter().filter(|(_, case)| case.kind.only_reads()).cloned().collect();
    let (mut runs, mut allowed, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    let mut objections: BTreeMap<String, String> = BTreeMap::new();
    while runs < 2_000 || Instant::now() < end {
        // Changed reads are what is allowed now and then, so most texts begin as one.
        let (_, case) = dice.pick(if runs % 4 == 0 { &cases } else { &reads });
        let (_, other) = dice.pick(&cases);
        let sql = mutated(&mut dice, &case.sql, &other.sql);
        let dialect = if dice.roll(8) == 0 { other.dialect } else { case.dialect };
        let started = Instant::now();
        let verdict = judge(&sql, dialect, &Allowances::default());
        slowest = slowest.max(started.elapsed());
        runs += 1;
        assert_ne!(verdict.rule, Rule::GuardFailure, "{sql:?}");
        if verdict.kind.only_reads() {
            allowed += 1;
            if let Some(objection) = oracle::objection(&sql, dialect) {
                objections.entry(objection).or_insert(format!("{dialect:?} {sql:?}"));
            }
        }
    }
    println!(
        "seed {seed}: {runs} texts, {allowed} allowed, slowest {slowest:?}, {} objections",
        objections.len()
    );
    assert!(objections.is_empty(), "{objections:#?}");
}

#[test]
fn the_second_reader_objects_to_no_read_of_the_corpus_and_to_several_statements() {
    for (file, case) in corpus() {
        let objection = oracle::objection(&case.sql, case.dialect);
        if case.kind.only_reads() {
            assert_eq!(objection, None, "{:?}", case.sql);
        }
        if file == "several_statements"
            && !case.sql.ends_with(";;")
            && !case.sql.starts_with(';')
            && !ends_in_comment(&case.sql)
        {
            assert!(objection.is_some(), "{:?}", case.sql);
        }
    }
    assert!(oracle::objection("SELECT [a;b]", Dialect::Sqlite).is_none());
}

/// A comment after a semicolon is refused by the guard, but it is no second statement.
fn ends_in_comment(sql: &str) -> bool {
    sql.ends_with("-- x") || sql.ends_with("/* x */")
}
