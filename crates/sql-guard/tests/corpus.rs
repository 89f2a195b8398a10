//! Every statement of the corpus gets the verdict written beside it.

mod support;

use sql_guard::{Allowances, judge};
use support::{Case, corpus};

fn differences(wanted: impl Fn(&Case) -> bool) -> Vec<String> {
    let cases = corpus().into_iter().filter(|(_, case)| wanted(case));
    cases
        .filter_map(|(file, case)| {
            let verdict = judge(&case.sql, case.dialect, &Allowances::default());
            let same = (verdict.kind, verdict.rule) == (case.kind, case.rule);
            let got = format!("{} {} {}", verdict.kind, verdict.rule, verdict.explanation());
            (!same).then(|| {
                format!(
                    "{file} {:?}: {:?}\n  wanted {} {}\n  got {got}",
                    case.dialect, case.sql, case.kind, case.rule
                )
            })
        })
        .collect()
}

#[test]
fn nothing_that_does_more_than_read_is_called_a_read() {
    let wrong = differences(|case| !case.kind.only_reads());
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn everything_that_only_reads_is_called_a_read() {
    let wrong = differences(|case| case.kind.only_reads());
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), wrong.join("\n"));
}
