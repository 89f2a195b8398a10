//! What a statement asks for, as far as the service understands Snowflake's SQL; SQLite gets the rest.

use std::time::Duration;

use super::history::{HELD, QueryError};
use super::table::Table;

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Plan {
    /// SQLite runs it.
    Sql(String),
    /// Made up from the hints.
    Sample { rows: usize, width: usize, types: bool },
    /// The rows of an earlier statement.
    Scan(String),
    /// Parameters of the session; no value unsets.
    Alter(Vec<(String, Option<String>)>),
    /// The role, the warehouse, the database or the schema.
    Use { object: String, name: String },
    /// Which other roles count.
    UseSecondaryRoles { all: bool },
    /// What a role has been granted.
    ShowGrants(String),
    /// The parameters of the session whose name holds a text.
    ShowParameters(String),
    /// The warehouses of a name.
    ShowWarehouses(String),
    /// Accepted and without effect: transactions, comments, and what only a real account has.
    Nothing(&'static str),
}

/// The script of a statement: `/* fake: queued=1 runs=5 rows=100 types */`. Times are in seconds, or
/// `held` until a test lets the statement go on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Hints {
    /// States to pass through before it runs, and for how long.
    pub(super) phases: Vec<(String, Duration)>,
    /// The least time it runs.
    pub(super) runs: Duration,
    /// How long a cancel takes to have its effect.
    pub(super) aborting: Duration,
    /// A cancel is accepted and changes nothing.
    pub(super) ignores_cancel: bool,
    /// An asynchronous submission is answered with the end of the statement.
    pub(super) at_once: bool,
    /// The service kept only a part of the result.
    pub(super) cut: bool,
    /// It ends with this status instead of its result.
    pub(super) ends: Option<(String, QueryError)>,
    rows: Option<usize>,
    width: usize,
    types: bool,
}

/// A statement, understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    pub(super) plan: Plan,
    pub(super) hints: Hints,
}

/// Understands one statement; `wanted` is how many the caller announced.
pub(super) fn understand(sql: &str, wanted: usize) -> Result<Statement, QueryError> {
    let hints = Hints::of(sql);
    let mut texts = split(sql);
    if texts.len() > 1 || wanted != 1 {
        let message = format!(
            "Actual statement count {} did not match the desired statement count {wanted}.",
            texts.len()
        );
        return Err(QueryError::new("000008", "0A000", message));
    }
    let Some(text) = texts.pop() else {
        return Err(QueryError::new("000900", "42601", "SQL compilation error:\nEmpty SQL statement."));
    };
    let plan = match hints.sample() {
        Some(sample) => sample,
        None => plan(&text)?,
    };
    Ok(Statement { plan, hints })
}

/// Statements about the session, transactions and files, which the SQL API refuses.
pub(super) fn needs_session(sql: &str) -> bool {
    let first = words(split(sql).first().map_or("", String::as_str)).into_iter().next().unwrap_or_default();
    matches!(first.as_str(), "use" | "alter" | "begin" | "commit" | "rollback" | "set" | "put" | "get")
}

/// A table function of the information schema of no database in particular.
pub(super) fn needs_database(sql: &str) -> bool {
    let compact: String = sql.split_whitespace().collect::<String>().to_lowercase();
    compact.contains("table(information_schema.")
}

fn plan(text: &str) -> Result<Plan, QueryError> {
    let words = words(text);
    let word = |place: usize| words.get(place).map_or("", String::as_str);
    Ok(match (word(0), word(1)) {
        ("alter", "session") => Plan::Alter(assignments(text, word(2) == "set")),
        ("use", object @ ("role" | "warehouse" | "database" | "schema")) => {
            Plan::Use { object: object.to_owned(), name: last_word(text) }
        }
        ("use", "secondary") => Plan::UseSecondaryRoles { all: word(3) == "all" },
        ("use", _) => Plan::Use { object: "database".to_owned(), name: last_word(text) },
        ("show", "parameters") => Plan::ShowParameters(quoted(text).unwrap_or_default()),
        ("show", "grants") => Plan::ShowGrants(last_word(text)),
        ("show", "warehouses") => Plan::ShowWarehouses(quoted(text).unwrap_or_default()),
        ("show" | "set" | "unset" | "grant" | "comment", _) | ("create", "warehouse" | "role") => {
            Plan::Nothing("Statement executed successfully.")
        }
        ("begin" | "commit" | "rollback", _) => Plan::Nothing("Statement executed successfully."),
        ("put" | "get", _) => return Err(QueryError::new("000612", "02000", "Result not found")),
        ("call", _) => Plan::Sql(rewrite(&format!("select {}", text.get(4..).unwrap_or_default()))),
        _ => scan(text).map_or_else(|| Plan::Sql(rewrite(text)), Plan::Scan),
    })
}

fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '$')
        .filter(|word| !word.is_empty())
        .take(6)
        .map(str::to_lowercase)
        .collect()
}

fn last_word(text: &str) -> String {
    let name = text.split_whitespace().next_back().unwrap_or_default();
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(quoted) => quoted.to_owned(),
        None => name.to_uppercase(),
    }
}

fn quoted(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('\'')?;
    Some(rest.split_once('\'')?.0.trim_matches('%').to_uppercase())
}

/// `k = v` pairs, by commas or by spaces; names alone when something is unset.
fn assignments(text: &str, set: bool) -> Vec<(String, Option<String>)> {
    let rest: String = text.split_whitespace().skip(3).collect::<Vec<_>>().join(" ");
    if !set {
        let names = rest.split([',', ' ']).filter(|name| !name.is_empty());
        return names.map(|name| (name.to_uppercase(), None)).collect();
    }
    let mut pairs = vec![];
    let mut rest = rest.as_str();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, after) = match after.strip_prefix('\'') {
            Some(inside) => inside.split_once('\'').unwrap_or((inside, "")),
            None => after.split_at(after.find([' ', ',']).unwrap_or(after.len())),
        };
        let name = name.trim_matches([' ', ',']).to_uppercase();
        pairs.push((name, Some(value.to_owned())));
        rest = after;
    }
    pairs
}

/// `select * from table(result_scan('id'))`, and nothing else around it.
fn scan(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_lowercase();
    let id = compact.strip_prefix("select*fromtable(result_scan('")?.strip_suffix("'))")?;
    Some(id.to_owned())
}

/// Snowflake's forms in SQLite's words.
fn rewrite(text: &str) -> String {
    let text = replace_call(text, "current_timestamp(", |_| "current_timestamp".to_owned());
    let text = replace_call(&text, " iff(", |arguments| format!(" iif({arguments})"));
    let text = text.replace(" ilike ", " like ");
    let history = |_: &str| "fake_history".to_owned();
    let text = replace_table(&text, "information_schema.query_history", history);
    let generated = replace_table(&text, "generator", |arguments| {
        let rows: u64 =
            arguments.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
        format!(
            "(with recursive n(i) as (select 0 where {rows} > 0 union all select i + 1 from n where i < {rows} - 1) \
             select i as fake_seq from n)"
        )
    });
    if generated == text {
        return text;
    }
    ["seq1(", "seq2(", "seq4(", "seq8("]
        .iter()
        .fold(generated, |text, sequence| replace_call(&text, sequence, |_| "fake_seq".to_owned()))
}

/// Replaces each `table(NAME...(arguments))`, with or without a schema in front.
fn replace_table(text: &str, name: &str, with: impl Fn(&str) -> String) -> String {
    replace_call(text, "table(", |arguments| {
        let lower = arguments.to_ascii_lowercase();
        if lower.trim_start().contains(name) { with(arguments) } else { format!("table({arguments})") }
    })
}

/// Replaces each call that starts with `opening`, which ends in its parenthesis.
fn replace_call(text: &str, opening: &str, with: impl Fn(&str) -> String) -> String {
    let (mut result, mut rest) = (String::new(), text);
    while let Some(start) = rest.to_ascii_lowercase().find(opening) {
        let inside = rest.get(start + opening.len()..).unwrap_or_default();
        let Some(end) = closing(inside) else { break };
        result.push_str(rest.get(..start).unwrap_or_default());
        result.push_str(&with(inside.get(..end).unwrap_or_default()));
        rest = inside.get(end + 1..).unwrap_or_default();
    }
    result + rest
}

fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (place, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return Some(place),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The statements of a text, without comments and without the empty ones.
fn split(sql: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut rest = sql;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\'' | '"' => rest.get(1..).and_then(|inside| inside.find(c)).map_or(rest.len(), |end| end + 2),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            c => c.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match statements.last_mut() {
            _ if token == ";" => statements.push(String::new()),
            Some(statement) if token.starts_with("--") || token.starts_with("/*") => statement.push(' '),
            Some(statement) => statement.push_str(token),
            None => {}
        }
        rest = after;
    }
    statements.into_iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

impl Hints {
    fn of(sql: &str) -> Self {
        let mut hints = Self::default();
        let script = sql.split_once("/* fake:").and_then(|(_, rest)| rest.split_once("*/")).map(|(s, _)| s);
        for word in script.unwrap_or_default().split_whitespace() {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            hints.take(name, value);
        }
        hints
    }

    fn take(&mut self, name: &str, value: &str) {
        let time = || match value {
            "held" => HELD,
            seconds => Duration::try_from_secs_f64(seconds.parse().unwrap_or(0.0)).unwrap_or_default(),
        };
        let failure = |message: &str| QueryError::new("000603", "XX000", message);
        match name {
            "no_data" | "queued" | "queued_reparing_warehouse" | "blocked" | "restarted" => {
                self.phases.push((name.to_uppercase(), time()));
            }
            "resuming" => self.phases.push(("RESUMING_WAREHOUSE".to_owned(), time())),
            "strange" => self.phases.push(("STATUS_OF_TOMORROW".to_owned(), time())),
            "runs" => self.runs = time(),
            "aborting" => self.aborting = time(),
            "ignores_cancel" => self.ignores_cancel = true,
            "at_once" => self.at_once = true,
            "cut" => self.cut = true,
            "rows" => self.rows = value.parse().ok(),
            "width" => self.width = value.parse().unwrap_or(0),
            "types" => self.types = true,
            "fails" => {
                let error = QueryError::new(value, "22012", "Division by zero");
                self.ends = Some(("FAILED_WITH_ERROR".to_owned(), error));
            }
            "incident" => {
                let error = failure("SQL execution internal error: processing aborted by error 300010");
                self.ends = Some(("FAILED_WITH_INCIDENT".to_owned(), error));
            }
            "disconnected" => self.ends = Some(("DISCONNECTED".to_owned(), failure("Session disconnected"))),
            _ => {}
        }
    }

    fn sample(&self) -> Option<Plan> {
        let rows = self.rows.or(self.types.then_some(3))?;
        Some(Plan::Sample { rows, width: self.width, types: self.types })
    }
}

/// The rows of a sample.
pub(super) fn sample(rows: usize, width: usize, types: bool) -> Table {
    if types { Table::all_types(rows) } else { Table::numbered(rows, width) }
}
