//! Judges the statements given as lines on standard input: `DIALECT TAB STATEMENT`, with `\n` for line ends.
#![allow(clippy::print_stdout)]
fn main() {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (dialect, sql) = line.split_once('\t').unwrap_or(("snowflake", &line));
        let dialect =
            if dialect == "sqlite" { sql_guard::Dialect::Sqlite } else { sql_guard::Dialect::Snowflake };
        let sql = sql.replace("\\n", "\n");
        let v = sql_guard::judge(&sql, dialect, &sql_guard::Allowances::default());
        println!("{}\t{}\t{}\t{}", v.kind, v.rule, sql.replace('\n', " "), v.explanation());
    }
}
