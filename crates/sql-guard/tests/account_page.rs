//! The scripts for the account: each statement stands alone and ends, and is judged as the page says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so and stops")]

use sql_guard::{Allowances, Dialect, judge};

const PAGE: &str = include_str!("../../../docs/snowflake-account.md");

/// The blocks of SQL: the comment at their head, and their statements.
fn blocks() -> Vec<(&'static str, Vec<String>)> {
    let blocks = PAGE.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks
        .map(|block| {
            let (head, body) = block.split_once('\n').unwrap();
            (head.strip_prefix("-- ").unwrap(), statements(body))
        })
        .collect()
}

/// Cut at each semicolon that ends a line and stands in no text of `$$`.
fn statements(body: &str) -> Vec<String> {
    let (mut all, mut current) = (vec![], String::new());
    for line in body.lines() {
        current.push_str(line);
        current.push('\n');
        if line.ends_with(';') && current.matches("$$").count() % 2 == 0 {
            all.push(std::mem::take(&mut current));
        }
    }
    assert_eq!(current.trim(), "", "a statement has no end");
    all
}

#[test]
fn every_statement_of_the_page_is_judged_as_the_page_says() {
    let blocks = blocks();
    assert!(blocks.len() > 12, "{} blocks", blocks.len());
    for (head, statements) in blocks {
        let said = ["write", "metadata", "read"]
            .into_iter()
            .find(|word| head.ends_with(&format!("; {word}")) || head.contains(&format!("; {word},")));
        let said = said.unwrap_or_else(|| panic!("{head:?} does not say how its statements are judged"));
        assert!(!statements.is_empty(), "{head}");
        for sql in statements {
            let verdict = judge(&sql, Dialect::Snowflake, &Allowances::default());
            assert_eq!(verdict.kind.as_str(), said, "{sql}: {} {}", verdict.rule.as_str(), verdict.message);
        }
    }
}
