//! Statements that never end by themselves, made of the longest single steps that SQLite can be brought to take.

/// Gives `n(i)` without end.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

/// About 8 MB of zeros as text, different in every row, so that nothing is computed once for all.
const ZEROS: &str = "substr(hex(zeroblob(4000000)), 1 + i % 7)";
/// A list of about 4 million numbers as JSON text.
const LIST: &str = "'[' || replace(substr(hex(zeroblob(1900000)), 1 + i % 7), '0', '1,') || '1]'";

/// Names and statements.
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    let mut all: Vec<_> =
        OVER_ALL_NUMBERS.iter().map(|(name, of)| (*name, format!("{ENDLESS} {of}"))).collect();
    all.push(("a join", JOIN.to_owned()));
    all.extend(
        calls()
            .into_iter()
            .map(|(name, call)| (name, format!("{ENDLESS} SELECT sum(length({call})) FROM n"))),
    );
    all
}

const JOIN: &str =
    "SELECT count(*) FROM order_items a, order_items b, order_items c WHERE a.line + b.line = 99";

const OVER_ALL_NUMBERS: &[(&str, &str)] = &[
    ("a loop", "SELECT count(*) FROM n"),
    ("rows", "SELECT i, i * 2, 'row ' || i FROM n"),
    ("large rows", "SELECT i, hex(zeroblob(2000000)) FROM n"),
    ("a sort", "SELECT i FROM n ORDER BY i * 7919 % 1000003"),
    ("a sort of large values", "SELECT i FROM n ORDER BY randomblob(8000000)"),
    ("groups", "SELECT i % 1000003, count(*) FROM n GROUP BY 1"),
    ("groups of large values", "SELECT count(*) FROM n GROUP BY randomblob(8000000)"),
    ("windows", "SELECT sum(i) OVER (ORDER BY i % 1009) FROM n"),
    ("distinct values", "SELECT count(DISTINCT i % 5000011) FROM n"),
    ("distinct large values", "SELECT count(DISTINCT randomblob(8000000)) FROM n"),
];

/// Calls that take long steps over large values.
fn calls() -> Vec<(&'static str, String)> {
    let paths: Vec<_> = (0..62).map(|at| format!("'$[{}]'", 3_700_000 + at)).collect();
    let values: Vec<_> = (0..31).map(|at| format!("'$[{}]', 2", 3_700_000 + at)).collect();
    let same = vec!["t COLLATE NOCASE"; 63].join(", ");
    let many = |times: usize, of: &str| vec![of; times].join(", ");
    vec![
        ("replace", format!("replace({ZEROS}, '0', 'a')")),
        ("replace of a long pattern", format!("replace({ZEROS}, hex(zeroblob(2000000)) || '1', '')")),
        ("instr", format!("instr({ZEROS}, hex(zeroblob(2000000)) || '1')")),
        ("trim", format!("trim({ZEROS}, hex(randomblob(2000000)) || '0')")),
        ("hex", "hex(randomblob(4000000 + i % 7))".to_owned()),
        ("unhex", format!("unhex(replace({ZEROS}, '0', '-'), hex(zeroblob(2000000)) || '-')")),
        ("like", format!("{ZEROS} LIKE '%' || hex(zeroblob(48)) || '1'")),
        ("like with an escape", format!("{ZEROS} LIKE '%' || hex(zeroblob(48)) || '1' ESCAPE '!'")),
        (
            "like of single letters",
            format!("{ZEROS} LIKE '%' || replace(hex(zeroblob(49)), '0', '_') || '1'"),
        ),
        ("like of many parts", format!("{ZEROS} LIKE replace(hex(zeroblob(24)), '0', '%0') || '%1'")),
        ("glob", format!("{ZEROS} GLOB '*' || hex(zeroblob(48)) || '1'")),
        ("glob of sets", format!("{ZEROS} GLOB '*' || replace(hex(zeroblob(9)), '0', '[^1]') || '1'")),
        ("upper and lower", format!("upper(lower(upper({ZEROS})))")),
        ("quote", "quote(zeroblob(3500000 + i % 7))".to_owned()),
        ("soundex", format!("soundex({ZEROS})")),
        ("strftime", format!("strftime({ZEROS}, 'now')")),
        ("printf", format!("printf('%*.*s%Q', 3000000, 3000000, {ZEROS}, i)")),
        ("json", format!("json_array_length({LIST})")),
        ("json_extract of many paths", format!("json_extract({LIST}, {})", paths.join(", "))),
        ("json_remove of many paths", format!("json_remove({LIST}, {})", paths.join(", "))),
        ("json_set of many paths", format!("json_set({LIST}, {})", values.join(", "))),
        ("json_each", format!("(SELECT count(*) FROM json_each({LIST}))")),
        ("json_tree", format!("(SELECT sum(length(fullkey)) FROM json_tree({LIST}))")),
        ("json of many parts", format!("json_array({})", many(6, ZEROS))),
        ("the largest of many", format!("(SELECT max({same}) FROM (SELECT {ZEROS} AS t LIMIT 1))")),
        ("a comparison", format!("{ZEROS} = {ZEROS} COLLATE NOCASE")),
        (
            "group_concat",
            "(SELECT group_concat(b.name, hex(zeroblob(200000))) FROM products b LIMIT 1)".to_owned(),
        ),
    ]
}
