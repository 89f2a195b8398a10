//! What a verdict says, what the operator can allow, and what happens at the bounds.

use sql_guard::{Allowances, Dialect, Kind, Position, Rule, Verdict, judge};

fn snowflake(sql: &str) -> Verdict {
    judge(sql, Dialect::Snowflake, &Allowances::default())
}

fn sqlite(sql: &str) -> Verdict {
    judge(sql, Dialect::Sqlite, &Allowances::default())
}

fn allowing(sql: &str, allowances: &Allowances) -> (Kind, Rule) {
    let verdict = judge(sql, Dialect::Snowflake, allowances);
    (verdict.kind, verdict.rule)
}

const READ: (Kind, Rule) = (Kind::Read, Rule::OnlyReads);
const UNKNOWN: (Kind, Rule) = (Kind::Write, Rule::Function);

#[test]
fn a_second_statement_is_named_by_its_place_and_the_mend_says_what_to_do() {
    let verdict = snowflake("SELECT 1; DROP TABLE t");
    assert_eq!(verdict.position, Some(Position { line: 1, column: 9, offset: 8 }));
    assert_eq!(
        verdict.explanation(),
        "Only one statement is run at a time, and something follows the ';' at line 1, column 9. Remove everything \
         after that ';', comments too, and send a second statement as a call of its own."
    );
}

#[test]
fn places_are_counted_in_lines_and_characters() {
    let verdict = snowflake("SELECT 'ä',\r\n  'ö', my_udf(1)");
    assert_eq!(verdict.position, Some(Position { line: 2, column: 8, offset: 22 }));
    assert_eq!(snowflake("\u{0}").position, Some(Position { line: 1, column: 1, offset: 0 }));
}

#[test]
fn an_unknown_function_is_named_as_the_operator_must_write_it() {
    let verdict = snowflake("SELECT db.\"My Schema\".f(1)");
    assert!(verdict.mend.contains("--allow-function DB.\"My Schema\".F"), "{}", verdict.mend);
    assert!(verdict.message.contains("'DB.\"My Schema\".F' at line 1, column 23"), "{}", verdict.message);
}

#[test]
fn long_words_are_cut_and_what_does_not_show_is_written_out() {
    let verdict = snowflake(&format!("SELECT {}(1)", "f".repeat(41)));
    assert!(verdict.message.contains(&format!("'{}...'", "F".repeat(40))), "{}", verdict.message);
    let verdict = snowflake(&format!("SELECT {}(1)", "f".repeat(40)));
    assert!(verdict.message.contains(&format!("'{}'", "F".repeat(40))), "{}", verdict.message);
    let verdict = snowflake("SELECT 1 x '\u{1f600}\n{at}'");
    assert!(verdict.message.contains("\\u{1f600}\\u{a}\\u{7b}at}'' at line 1"), "{}", verdict.message);
}

#[test]
fn what_the_parser_missed_is_quoted_with_its_place_and_no_more_of_the_text() {
    let secret = "x".repeat(500);
    let verdict = snowflake(&format!("SELECT a FROM t WHERE b '{secret}'"));
    assert_eq!((verdict.kind, verdict.rule), (Kind::Write, Rule::Unparsed));
    assert_eq!(verdict.position.map(|position| position.offset), Some(24));
    assert!(!verdict.explanation().contains(&secret[..41]), "{}", verdict.explanation());
    let third = snowflake("SELECT a\nFROM t\nWHERE b 'x'");
    assert_eq!(third.position, Some(Position { line: 3, column: 9, offset: 24 }));
    let fourth = snowflake("SELECT a\nFROM t -- x\n  WHERE\n  a = (1 +)");
    assert_eq!(fourth.position, Some(Position { line: 4, column: 11, offset: 39 }), "{}", fourth.message);
    let deep = snowflake(&format!("SELECT {}1{}", "(".repeat(2_000), ")".repeat(2_000)));
    assert!(deep.message.contains("nested too deeply"), "{}", deep.message);
    let early = snowflake("SELECT * FROM a LIMIT 1 END COMMIT");
    assert_eq!(early.position.map(|position| position.offset), Some(24));
}

#[test]
fn a_verb_inside_a_query_is_found_where_it_stands() {
    let verdict = sqlite("WITH a AS (SELECT 1) DELETE FROM t");
    assert_eq!((verdict.rule, verdict.position.map(|at| at.offset)), (Rule::WritesInsideQuery, Some(21)));
    let verdict = snowflake("SELECT a INTO :v FROM t");
    assert_eq!((verdict.rule, verdict.position.map(|at| at.offset)), (Rule::WritesInsideQuery, Some(9)));
    for sql in [
        "(DELETE FROM t)",
        "(UPDATE t SET a = 1)",
        "(INSERT INTO t VALUES (1))",
        "(MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE)",
    ] {
        let verb = sql[1..].split(' ').next().unwrap();
        assert!(sqlite(sql).message.contains(&format!("'{verb}' at line 1, column 2")), "{:?}", sqlite(sql));
    }
    let verdict = snowflake("EXPLAIN CALL p()");
    assert_eq!((verdict.rule, verdict.position.map(|at| at.offset)), (Rule::StatementKind, Some(8)));
}

#[test]
fn a_character_that_does_not_show_is_called_by_what_it_is() {
    for (character, name) in [
        ('\0', "NUL"),
        ('\r', "carriage return without line feed"),
        ('\u{7f}', "control character"),
        ('\u{9b}', "control character"),
        ('\u{e0041}', "tag character"),
        ('\u{202e}', "text direction mark"),
        ('\u{2028}', "line separator"),
        ('\u{200b}', "invisible character"),
    ] {
        let verdict = snowflake(&format!("SELECT{character} 1"));
        let said = format!("U+{:04X} ({name}) stands at line 1, column 7;", u32::from(character));
        assert!(verdict.message.contains(&said), "{}", verdict.message);
    }
}

#[test]
fn a_variable_is_never_taken_for_a_function_the_operator_could_allow() {
    for verdict in
        [snowflake("SELECT $f(1)"), sqlite("SELECT @f (1)"), sqlite("SELECT :f (1)"), sqlite("SELECT ?1 (1)")]
    {
        assert_eq!((verdict.kind, verdict.rule), UNKNOWN);
        assert!(!verdict.mend.contains("--allow-function"), "{}", verdict.mend);
    }
}

#[test]
fn the_log_gets_hash_and_length_and_a_read_has_nothing_to_explain() {
    let verdict = snowflake("foobar");
    assert_eq!((verdict.hash, verdict.length), (0x8594_4171_f739_67e8, 6));
    let verdict = snowflake("SELECT 1");
    assert_eq!((verdict.explanation().as_str(), verdict.position, verdict.length), ("", None, 8));
    assert!(verdict.kind.only_reads());
}

#[test]
fn names_of_kinds_and_rules_are_the_same_in_text_and_in_json() {
    use Rule as R;
    let rules = [
        R::OnlyReads,
        R::TextSize,
        R::HiddenCharacters,
        R::ForeignQuoting,
        R::Empty,
        R::OneStatement,
        R::StatementKind,
        R::Transaction,
        R::SessionState,
        R::LocalFiles,
        R::WritesInsideQuery,
        R::Function,
        R::Stage,
        R::Unparsed,
        R::GuardFailure,
    ];
    for rule in rules {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
        assert_eq!(rule.to_string(), rule.as_str());
    }
    for (kind, only_reads) in
        [(Kind::Read, true), (Kind::Metadata, true), (Kind::Write, false), (Kind::Refused, false)]
    {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        assert_eq!((kind.to_string().as_str(), kind.only_reads()), (kind.as_str(), only_reads));
    }
}

#[test]
fn the_operator_allows_functions_by_name_or_by_schema() {
    let allowed = Allowances::default().function("my_udf").function(" Db.Util.* ").function("db.\"s\".\"f\"");
    assert_eq!(
        allowing("SELECT MY_UDF(1), db.util.f(1), DB.UTIL.\"G\"(1), db.\"s\".\"f\"(1)", &allowed),
        READ
    );
    for other in [
        "my_udf2(1)",
        "db.my_udf(1)",
        "db.util2.f(1)",
        "util.f(1)",
        "db.s.f(1)",
        "db.\"s\".f(1)",
        "x.db.util.f(1)",
    ] {
        assert_eq!(allowing(&format!("SELECT {other}"), &allowed), UNKNOWN, "{other}");
    }
    let behind_quotes = Allowances::default().function("db.\"s\".g");
    assert_eq!(allowing("SELECT db.\"s\".G(1)", &behind_quotes), READ);
    let method = Allowances::default().function("db.s.model!PREDICT");
    assert_eq!(allowing("SELECT db.s.model!predict(a) FROM t", &method), READ);
    assert_eq!(allowing("SELECT db.s.other!predict(a) FROM t", &method), UNKNOWN);
    let system = Allowances::default().function("SYSTEM$WAIT");
    assert_eq!(allowing("SELECT SYSTEM$WAIT(1)", &system), READ);
    assert_eq!(allowing("SELECT SYSTEM$ABORT_SESSION(1)", &system), UNKNOWN);
}

#[test]
fn models_that_cost_money_are_a_switch_of_their_own() {
    let paying = Allowances::default().cortex(true);
    for call in ["SNOWFLAKE.CORTEX.COMPLETE('m', 'x')", "AI_COMPLETE('m', 'x')"] {
        assert_eq!(allowing(&format!("SELECT {call}"), &Allowances::default()), UNKNOWN, "{call}");
        assert_eq!(allowing(&format!("SELECT {call}"), &paying), READ, "{call}");
    }
    assert_eq!(allowing("SELECT OTHER.CORTEX.COMPLETE('m', 'x')", &paying), UNKNOWN);
    assert_eq!(allowing("SELECT MY_AI_X('m', 'x')", &paying), UNKNOWN);
    assert_eq!(allowing("SELECT AI_COMPLETE('m', 'x')", &paying.cortex(false)), UNKNOWN);
}

#[test]
fn stages_are_read_only_if_the_operator_says_so() {
    let reading = Allowances::default().stage_reads(true);
    for source in [
        "@s",
        "@s/a/b.csv",
        "'@s/x'",
        "DIRECTORY(@s)",
        "TABLE(INFER_SCHEMA(LOCATION => '@s', FILE_FORMAT => 'f'))",
    ] {
        let sql = format!("SELECT * FROM {source}");
        assert_eq!(allowing(&sql, &Allowances::default()), (Kind::Write, Rule::Stage), "{sql}");
        assert_eq!(allowing(&sql, &reading), READ, "{sql}");
    }
    let verdict = snowflake("SELECT ab1c FROM t, 'b1'");
    assert_eq!((verdict.rule, verdict.position.map(|at| at.offset)), (Rule::Stage, Some(20)));
    assert_eq!(allowing("SELECT my_udf(1) FROM @s", &reading), UNKNOWN);
    assert_eq!(allowing("SELECT '@s'", &Allowances::default()), READ);
}

#[test]
fn what_stands_behind_the_path_of_a_stage_is_read_as_part_of_the_query() {
    let reading = Allowances::default().stage_reads(true);
    for rest in [
        "@s/x.csv (FILE_FORMAT => 'f')",
        "@s/x.csv(FILE_FORMAT => 'f', PATTERN => '.*') t",
        "@s (FILE_FORMAT => 'f')",
        "@db.sc.s/a-b/2024_01=x/%y+z.csv.gz LIMIT 10",
        "@\"My Stage\"/x",
        "@db.\"S\".\"My Stage\"/x q WHERE q.$1 = 'x' ORDER BY 1",
        "@%\"My Table\"",
        "@~/x WHERE $1 > 1",
        "@s/x GROUP BY 1",
        "@s/x t JOIN u ON u.a = t.$1",
        "@s/x, t",
        "@s/x,t",
        "@s/x t INNER DIRECTED JOIN u ON TRUE",
        "@s/x x, LATERAL FLATTEN(x.$1) f",
        "(@s/x)",
        "t WHERE a IN (SELECT $1 FROM @s/x)",
        "@s/x UNION ALL SELECT a FROM t",
        "t, '@s\\''",
    ] {
        let sql = format!("SELECT $1 FROM {rest}");
        assert_eq!(allowing(&sql, &Allowances::default()), (Kind::Write, Rule::Stage), "{sql}");
        assert_eq!(allowing(&sql, &reading), READ, "{sql}");
    }
    for (rest, rule) in [
        ("@s/x INSERT INTO t", Rule::Unparsed),
        ("@s/x INTO :v", Rule::Unparsed),
        ("@s/x UNION ALL garbage here DROP TABLE u", Rule::Unparsed),
        ("@s/x FOR UPDATE", Rule::WritesInsideQuery),
        ("@s FOR UPDATE", Rule::WritesInsideQuery),
        ("t, @s/x FOR UPDATE", Rule::WritesInsideQuery),
        ("@s/x WHERE a IN (DELETE FROM t)", Rule::WritesInsideQuery),
        ("@s/x my_udf(1)", Rule::Function),
        ("@s/x my_udf(a => 1)", Rule::Function),
        ("@s/my_udf(1)", Rule::Function),
        ("@s/x, my_udf(a => 1)", Rule::Function),
        ("@s/x,my_udf(a => 1)", Rule::Function),
        ("@s/x,my_udf(a => 1) b c d", Rule::Function),
        ("@s/x(my_udf(a => 1)) b c d", Rule::Function),
        ("@s/x(my_udf(a => 1))", Rule::Function),
        ("(@s/x)my_udf(a => 1)", Rule::Function),
        ("t my_udf(a => 1)", Rule::Function),
        ("@s/x (FILE_FORMAT => my_udf())", Rule::Function),
        ("@s/x WHERE my_udf($1) = 1", Rule::Function),
    ] {
        let sql = format!("SELECT $1 FROM {rest}");
        assert_eq!(allowing(&sql, &reading), (Kind::Write, rule), "{sql}");
    }
}

#[test]
fn what_tells_about_a_stage_is_known_with_the_switch_for_stages() {
    let reading = Allowances::default().stage_reads(true);
    for call in ["FL_GET_SIZE('@s', 'f')", "FL_IS_IMAGE('@s', 'f')", "GET_STAGE_LOCATION(@s)"] {
        assert_eq!(allowing(&format!("SELECT {call}"), &reading), READ, "{call}");
    }
    assert_eq!(allowing("SELECT FL_OTHER('@s')", &reading), UNKNOWN);
    assert_eq!(allowing("SELECT IDENTIFIER('sq.nextval')", &reading), UNKNOWN);
}

#[test]
fn texts_up_to_64_kib_are_looked_at_and_longer_ones_are_refused() {
    let text = |length: usize| format!("SELECT '{}'", "x".repeat(length - 9));
    assert_eq!(snowflake(&text(65_536)).kind, Kind::Read);
    let verdict = snowflake(&text(65_537));
    assert_eq!((verdict.kind, verdict.rule), (Kind::Refused, Rule::TextSize));
    assert!(verdict.message.contains("65537"), "{}", verdict.message);
}

#[test]
fn statements_of_up_to_20_000_words_and_signs_are_looked_at() {
    // SELECT, the first number, and a sign and a number for each of the others.
    let sum = |terms: usize| format!("SELECT  1{}", "+1".repeat(terms - 1));
    assert_eq!(snowflake(&sum(9_999)).rule, Rule::OnlyReads);
    assert_eq!(snowflake(&format!("{};", sum(9_999))).rule, Rule::OnlyReads);
    assert_eq!(snowflake(&format!("{} ;", sum(10_000))).rule, Rule::TextSize);
}

/// `start` and as often `step`, of `words` words and signs, as a statement may be long.
fn chain(start: &str, step: &str, words: usize) -> String {
    let count = (19_990 / words).min((64 * 1024 - start.len()) / step.len());
    [start, &step.repeat(count)].concat()
}

#[test]
fn the_longest_chains_are_parsed_walked_and_dropped_on_a_small_stack() {
    let chains = [
        chain("SELECT 1", "+1", 2),
        chain("SELECT 1", " AND 1", 2),
        chain("SELECT a", "||a", 2),
        chain("SELECT 1", " IS NULL", 2),
        chain("SELECT 1", " IN (1)", 4),
        chain("SELECT 1", " BETWEEN 1 AND 1", 4),
        chain("SELECT 1", " LIKE 1", 2),
        chain("SELECT 1", "::INT", 2),
        chain("SELECT a:b", ".c", 2),
        chain("SELECT 1", " UNION SELECT 1", 3),
        ["SELECT a FROM a", &" JOIN a".repeat(1_000), &", a".repeat(8_900)].concat(),
    ];
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    let rules = small.spawn(move || chains.map(|sql| (sql.len(), snowflake(&sql).rule)));
    for (length, rule) in rules.unwrap().join().unwrap() {
        assert_eq!(rule, Rule::OnlyReads, "of {length} bytes");
    }
}

#[test]
fn what_the_parser_follows_without_counting_is_not_given_to_it() {
    let joined = |tables: usize| format!("SELECT * FROM a{}", " JOIN a".repeat(tables));
    let pattern = |depth: usize| {
        let (open, close) = ("(".repeat(depth), ")".repeat(depth));
        format!("SELECT * FROM a MATCH_RECOGNIZE (ORDER BY b PATTERN ({open}x{close}) DEFINE x AS c)")
    };
    let tried = |times: usize| {
        let (not, case) = (" AND a NOT LIKE b".repeat(times / 2), ", CASE a WHEN b THEN c END");
        format!("SELECT a{} FROM a WHERE a{not}", case.repeat(times - times / 2))
    };
    assert_eq!(
        [joined(1_000), pattern(98), tried(1_500)].map(|sql| snowflake(&sql).rule),
        [Rule::OnlyReads; 3]
    );
    for (sql, reason) in [
        (joined(1_001), "it joins more than 1000 tables"),
        (joined(9_000), "it joins more than 1000 tables"),
        (tried(1_501), "more than 1500 times NOT or CASE"),
        (pattern(99), "nested too deeply"),
        (pattern(9_000), "nested too deeply"),
        (pattern(9_000).replace('(', "["), "nested too deeply"),
        (pattern(9_000).replace('(', "{"), "nested too deeply"),
    ] {
        let verdict = snowflake(&sql);
        assert_eq!((verdict.kind, verdict.rule), (Kind::Write, Rule::Unparsed));
        assert!(verdict.message.contains(reason), "{}", verdict.message);
    }
    let side_by_side = format!("SELECT {}1", "(1)+[1]+".repeat(200));
    assert_eq!(snowflake(&side_by_side).rule, Rule::OnlyReads);
}

#[test]
fn a_statement_that_is_not_given_to_the_parser_is_still_searched_for_calls() {
    let sql = format!("SELECT my_udf(1) FROM a{}", " JOIN a".repeat(1_001));
    assert_eq!(snowflake(&sql).rule, Rule::Function);
}

#[test]
fn the_words_of_other_engines_for_looking_around_are_answered_with_those_of_sqlite() {
    for sql in ["show tables", "SHOW COLUMNS FROM orders", "desc orders", "DESCRIBE TABLE orders"] {
        let verdict = sqlite(sql);
        assert_eq!((verdict.kind, verdict.rule), (Kind::Refused, Rule::StatementKind), "{sql}");
        assert!(verdict.mend.contains("sqlite_schema"), "{sql}: {}", verdict.mend);
        assert!(verdict.mend.contains("PRAGMA table_info(TABLE)"), "{sql}: {}", verdict.mend);
        assert!(!verdict.mend.contains("writing"), "{sql}: {}", verdict.mend);
    }
}

#[test]
fn a_table_that_stands_for_a_query_is_not_taken_for_a_read() {
    for sql in ["(TABLE t CREATEa INT)", "(TABLE t)", "SELECT 1 UNION TABLE t DROP x"] {
        for verdict in [snowflake(sql), sqlite(sql)] {
            assert_eq!((verdict.kind, verdict.rule), (Kind::Write, Rule::Unparsed), "{sql}");
        }
    }
    assert_eq!(snowflake("SELECT * FROM TABLE(RESULT_SCAN('x'))").rule, Rule::OnlyReads);
}
