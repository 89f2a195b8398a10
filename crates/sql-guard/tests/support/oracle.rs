//! A second reader of statements, as dumb as can be, that objects to what the guard allows.
//!
//! It knows the quotes and comments of each engine from the engine's own documentation and nothing of the guard: a text
//! is only fit to be a read if it holds one statement, whose first word, and the first word behind the tables of a WITH,
//! is one that reads.

#![allow(clippy::unwrap_used)]

use sql_guard::Dialect;

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Hidden,
}

/// What is wrong with calling `sql` a read, if anything.
pub(crate) fn objection(sql: &str, dialect: Dialect) -> Option<String> {
    let code = code_of(sql, dialect);
    let statements: Vec<&str> = code.split(';').filter(|part| !part.trim().is_empty()).collect();
    let [statement] = statements.as_slice() else { return Some(format!("{} statements", statements.len())) };
    let parts: Vec<&str> = match dialect {
        Dialect::Snowflake => statement.split("->>").collect(),
        Dialect::Sqlite => vec![statement],
    };
    parts.into_iter().find_map(|part| bad_head(part, dialect).or_else(|| bad_call(part, dialect)))
}

/// The text with everything in quotes and comments replaced, so that only code is left.
fn code_of(sql: &str, dialect: Dialect) -> String {
    let bytes = sql.as_bytes();
    let snowflake = dialect == Dialect::Snowflake;
    let mut code = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (part, length) = match rest[0] {
            b'\'' => (Part::Code, quoted(rest, b'\'', snowflake)),
            b'"' => (Part::Code, quoted(rest, b'"', false)),
            b'`' if !snowflake => (Part::Code, quoted(rest, b'`', false)),
            b'[' if !snowflake => (Part::Code, until(rest, 1, b"]")),
            b'$' if snowflake && rest.starts_with(b"$$") => (Part::Code, until(rest, 2, b"$$")),
            b'-' if rest.starts_with(b"--") => (Part::Hidden, until(rest, 2, b"\n")),
            b'/' if snowflake && rest.starts_with(b"//") => (Part::Hidden, until(rest, 2, b"\n")),
            b'/' if rest.starts_with(b"/*") => (Part::Hidden, until(rest, 2, b"*/")),
            _ => {
                let c = sql[at..].chars().next().unwrap();
                code.push(c);
                at += c.len_utf8();
                continue;
            }
        };
        code.push_str(if part == Part::Hidden { " " } else { " \u{1} " });
        at += length;
    }
    code
}

fn until(rest: &[u8], from: usize, end: &[u8]) -> usize {
    let found = rest[from..].windows(end.len()).position(|window| window == end);
    found.map_or(rest.len(), |at| from + at + end.len())
}

fn quoted(rest: &[u8], quote: u8, backslashes: bool) -> usize {
    let mut at = 1;
    while at < rest.len() {
        let doubled = rest[at] == quote && rest.get(at + 1) == Some(&quote);
        if backslashes && rest[at] == b'\\' || doubled {
            at += 2;
        } else if rest[at] == quote {
            return at + 1;
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn words(code: &str) -> Vec<String> {
    let is_word = |c: char| c.is_alphanumeric() || "_$\u{1}".contains(c);
    let spaced: String =
        code.chars().flat_map(|c| if is_word(c) { vec![c] } else { vec![' ', c, ' '] }).collect();
    spaced.split_whitespace().map(str::to_ascii_uppercase).collect()
}

fn bad_head(part: &str, dialect: Dialect) -> Option<String> {
    let words = words(part);
    let mut heads = words.iter().skip_while(|word| *word == "(");
    let mut head = heads.next()?.as_str();
    if head == "EXPLAIN" {
        let skipped = ["USING", "JSON", "TEXT", "TABULAR", "QUERY", "PLAN", "("];
        head = heads.find(|word| !skipped.contains(&word.as_str()))?.as_str();
    }
    let reads = match dialect {
        Dialect::Snowflake => {
            ["SELECT", "WITH", "VALUES", "SHOW", "DESC", "DESCRIBE", "LIST", "LS"].contains(&head)
        }
        Dialect::Sqlite => ["SELECT", "WITH", "VALUES", "PRAGMA"].contains(&head),
    };
    match (reads, head) {
        (false, _) => Some(format!("the head {head}")),
        (true, "PRAGMA") => words.iter().any(|word| word.contains('=')).then(|| pragma(&words)).flatten(),
        (true, "WITH") => behind_with(&words),
        _ => None,
    }
}

/// The one pragma in the corpus that is asked with `=`.
fn pragma(words: &[String]) -> Option<String> {
    let text = words.join(" ");
    let asked = ["TABLE_INFO", "TABLE_XINFO", "INDEX_", "FOREIGN_KEY_", "_CHECK", "_LIST", "COMPILE_OPTIONS"];
    (!asked.iter().any(|name| text.contains(name))).then(|| "a pragma with a value".to_owned())
}

fn behind_with(words: &[String]) -> Option<String> {
    let mut depth = 0_i32;
    for pair in words.windows(2) {
        match pair[0].as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        let verbs = ["INSERT", "UPDATE", "DELETE", "MERGE", "CALL", "REPLACE"];
        if pair[0] == ")" && depth == 0 && verbs.contains(&pair[1].as_str()) {
            return Some(format!("{} behind WITH", pair[1]));
        }
    }
    None
}

/// Calls of what no engine has under that name for anything harmless.
fn bad_call(part: &str, dialect: Dialect) -> Option<String> {
    let words = words(part);
    let told = words.first().is_some_and(|head| ["SHOW", "DESC", "DESCRIBE"].contains(&head.as_str()));
    let bad = |name: &str| match dialect {
        Dialect::Snowflake => {
            ["SYSTEM$CANCEL", "SYSTEM$ABORT", "SYSTEM$WAIT"].iter().any(|bad| name.starts_with(bad))
                || name == "GET_PRESIGNED_URL"
                || name == "MY_UDF" && !told
        }
        Dialect::Sqlite => ["LOAD_EXTENSION", "READFILE", "WRITEFILE", "EDIT"].contains(&name),
    };
    // Names within PATTERN (...) of MATCH_RECOGNIZE stand for rows.
    let patterns = words.iter().any(|word| word == "MATCH_RECOGNIZE");
    let end = words.iter().position(|word| patterns && word == "PATTERN").unwrap_or(words.len());
    let calls = words[..end].windows(2).filter(|pair| pair[1] == "(").map(|pair| &pair[0]);
    calls.into_iter().find(|name| bad(name)).map(|name| format!("a call of {name}"))
}
