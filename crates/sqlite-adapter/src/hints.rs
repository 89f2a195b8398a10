//! What to write instead: from the schema, and from what other dialects call it.

use rusqlite::Connection;

use crate::lexer;

/// Names in one list of an error text.
const LISTED: usize = 40;

/// What other dialects have and SQLite has not.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["now", "getdate", "sysdate", "current_datetime"], "Use datetime('now')."),
    (&["curdate", "today"], "Use date('now')."),
    (&["datediff", "date_diff", "timestampdiff"], "Use julianday(b) - julianday(a)."),
    (&["dateadd", "date_add", "adddate", "date_sub"], "Use date(d, '+1 day')."),
    (&["date_trunc", "trunc"], "Use date(d, 'start of month'), or strftime('%Y-%m', d)."),
    (&["to_char", "date_format", "to_date", "format_date"], "Use strftime('%Y-%m-%d', d)."),
    (
        &["year", "month", "day", "extract", "date_part", "datepart"],
        "Use CAST(strftime('%Y', d) AS INTEGER).",
    ),
    (&["left", "right"], "Use substr(s, 1, n), or substr(s, -n)."),
    (&["isnull", "nvl"], "Use coalesce(a, b)."),
    (&["stddev", "stddev_pop", "stddev_samp", "variance", "var_pop"], "Use sqrt(avg(x*x) - avg(x)*avg(x))."),
    (&["regexp", "regexp_like", "regexp_replace"], "There are no regular expressions; use LIKE or GLOB."),
    (&["listagg", "array_agg"], "Use group_concat(x, ', ')."),
    (&["any_value", "first"], "Use min(x)."),
    (&["greatest"], "Use max(a, b)."),
    (&["least"], "Use min(a, b)."),
    (
        &["generate_series"],
        "Use WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10).",
    ),
    (&["split_part", "string_split", "unnest"], "Use json_each() on a JSON array."),
    (&["top"], "Use LIMIT n at the end."),
    (&["ilike"], "LIKE already ignores the case of ASCII letters."),
    (&["interval"], "Use date(d, '+1 day') for date arithmetic."),
    (&["qualify"], "Filter window functions in an outer SELECT."),
    (&["show", "describe", "desc"], "Use PRAGMA table_list, or PRAGMA table_info(TABLE)."),
    (&["apply", "lateral"], "There are no lateral joins; use a correlated subquery."),
    (&[":"], "Write CAST(x AS TYPE) instead of x::TYPE."),
];

/// A hint for an error of compiling `sql`, from the words of the error.
pub(crate) fn for_message(connection: &Connection, sql: &str, message: &str) -> Option<String> {
    if let Some(name) = message.strip_prefix("no such table: ") {
        return Some(for_table(connection, last_part(name)));
    }
    if let Some(rest) = message.strip_prefix("no such column: ") {
        let name = rest.split(" - ").next().unwrap_or(rest);
        return for_column(connection, &tables_in(connection, sql), last_part(name));
    }
    if let Some((table, column)) =
        message.strip_prefix("table ").and_then(|rest| rest.split_once(" has no column named "))
    {
        return for_column(connection, &[table.to_owned()], column);
    }
    if let Some(name) = message.strip_prefix("no such function: ") {
        return foreign(name);
    }
    if let Some(token) =
        message.strip_prefix("near \"").and_then(|rest| rest.strip_suffix("\": syntax error"))
    {
        return foreign(token).or_else(|| foreign_words(sql, token));
    }
    if let Some(token) = message.strip_prefix("unrecognized token: \"") {
        return foreign(token.trim_end_matches('"'));
    }
    match message {
        "incomplete input" => {
            Some("A closing bracket, a quote or the rest of a clause is missing.".to_owned())
        }
        _ if message.starts_with("ambiguous column name") => Some("Write it as table.column.".to_owned()),
        _ if message.starts_with("misuse of aggregate") => {
            Some("Filter aggregates with HAVING, or in an outer SELECT.".to_owned())
        }
        _ => None,
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name).trim_matches(|c| matches!(c, '"' | '`' | '[' | ']'))
}

fn foreign(name: &str) -> Option<String> {
    let known = |(names, _): &&(&[&str], &str)| names.iter().any(|other| other.eq_ignore_ascii_case(name));
    FOREIGN.iter().find(known).map(|(_, hint)| (*hint).to_owned())
}

/// The engine often stumbles one word after the foreign one: `SELECT TOP 5`, `INTERVAL '1 day'`.
fn foreign_words(sql: &str, token: &str) -> Option<String> {
    let names: Vec<&str> = lexer::names(sql).collect();
    let before = names.iter().position(|name| *name == token)?.checked_sub(1)?;
    names
        .get(before)
        .filter(|name| ["top", "interval", "extract"].contains(&name.to_lowercase().as_str()))?;
    foreign(names[before])
}

fn for_table(connection: &Connection, name: &str) -> String {
    let tables = tables(connection);
    if tables.is_empty() {
        return "The database has no tables.".to_owned();
    }
    format!("{}Known tables: {}.", did_you_mean(name, &tables), listed(&tables))
}

fn for_column(connection: &Connection, tables: &[String], name: &str) -> Option<String> {
    let columns: Vec<(&String, Vec<String>)> = tables
        .iter()
        .map(|table| (table, columns(connection, table)))
        .filter(|(_, c)| !c.is_empty())
        .collect();
    if columns.is_empty() {
        return None;
    }
    let all: Vec<String> = columns.iter().flat_map(|(_, names)| names.clone()).collect();
    let lists: Vec<String> = columns
        .iter()
        .take(6)
        .map(|(table, names)| format!("Columns of {table}: {}.", listed(names)))
        .collect();
    Some(format!("{}{}", did_you_mean(name, &all), lists.join(" ")))
}

/// The tables of the database that the statement names.
fn tables_in(connection: &Connection, sql: &str) -> Vec<String> {
    let names: Vec<String> = lexer::names(sql).map(str::to_lowercase).collect();
    let mut tables = tables(connection);
    tables.retain(|table| names.contains(&table.to_lowercase()));
    tables
}

fn tables(connection: &Connection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE \
               '\\' ORDER BY name LIMIT 1000";
    names(connection, sql, []).unwrap_or_default()
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    names(connection, "SELECT name FROM pragma_table_info(?1)", [table]).unwrap_or_default()
}

fn names(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    statement.query_map(parameters, |row| row.get(0))?.collect()
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn did_you_mean(name: &str, known: &[String]) -> String {
    let name = name.to_lowercase();
    let near = |other: &String| (distance(&name, &other.to_lowercase()), other.clone());
    let Some((edits, best)) = known.iter().map(near).min() else { return String::new() };
    // A third of the letters may be wrong; a name that contains the other counts as near too.
    let allowed = name.chars().count().div_ceil(3);
    let within = name.len() >= 3 && best.to_lowercase().contains(&name);
    if edits > 0 && (edits <= allowed || within) { format!("Did you mean {best:?}? ") } else { String::new() }
}

/// How many letters must be added, removed or changed to get from one name to the other.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let other: Vec<char> = other.chars().take(LONGEST).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().take(LONGEST).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], number + 1);
        for (at, &with) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != with);
            diagonal = row[at + 1];
            row[at + 1] = changed.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (one, other, edits) in
            [("orders", "order", 1), ("custmers", "customers", 1), ("", "abc", 3), ("é", "e", 1)]
        {
            assert_eq!(distance(one, other), edits, "{one} {other}");
        }
    }

    #[test]
    fn a_name_far_from_all_others_gets_no_guess() {
        let known = ["orders".to_owned(), "customers".to_owned()];
        assert_eq!(did_you_mean("ordrs", &known), "Did you mean \"orders\"? ");
        assert_eq!(did_you_mean("weather", &known), "");
    }

    #[test]
    fn words_of_other_dialects_have_a_translation() {
        assert!(foreign("DATEDIFF").unwrap().contains("julianday"));
        assert!(foreign_words("SELECT TOP 5 * FROM t", "5").unwrap().contains("LIMIT"));
        assert_eq!(foreign("sum"), None);
    }
}
