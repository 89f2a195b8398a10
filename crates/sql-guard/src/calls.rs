//! Calls of functions, found by the parenthesis after a name.
//!
//! The search is made over the words, not over the parser's tree: whatever the grammar makes of it, no engine calls a
//! function by name without the name standing before a parenthesis, and the few that need none are looked for by name.
//! The tree only adds to it: a word such as PATTERN is a keyword in one place and may be a user's function in another.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use crate::Dialect;
use crate::heads::{pragma_table_tells, pragma_tells};
use crate::lexer::{Piece, PieceKind};
use crate::question::Question;
use crate::stages;
use crate::verdict::{Objection, Rule, quoted};

type Names = LazyLock<HashSet<&'static str>>;

static SNOWFLAKE: Names = LazyLock::new(|| include_str!("names/snowflake.txt").split_whitespace().collect());
static SQLITE: Names = LazyLock::new(|| include_str!("names/sqlite.txt").split_whitespace().collect());
static BEFORE_PARENTHESIS: Names =
    LazyLock::new(|| include_str!("names/before_parenthesis.txt").split_whitespace().collect());

/// Functions of INFORMATION_SCHEMA.
static INFORMATION_SCHEMA: Names =
    LazyLock::new(|| include_str!("names/information_schema.txt").split_whitespace().collect());

/// System functions that only tell something.
const TELLING_SYSTEM_FUNCTIONS: &[&str] = &[
    "SYSTEM$TYPEOF",
    "SYSTEM$CLUSTERING_INFORMATION",
    "SYSTEM$CLUSTERING_DEPTH",
    "SYSTEM$CLUSTERING_RATIO",
    "SYSTEM$STREAM_HAS_DATA",
    "SYSTEM$STREAM_GET_TABLE_TIMESTAMP",
    "SYSTEM$PIPE_STATUS",
    "SYSTEM$LAST_CHANGE_COMMIT_TIME",
    "SYSTEM$GET_TAG",
    "SYSTEM$GET_TAG_ON_CURRENT_COLUMN",
    "SYSTEM$GET_TAG_ON_CURRENT_TABLE",
    "SYSTEM$ESTIMATE_SEARCH_OPTIMIZATION_COSTS",
    "SYSTEM$ESTIMATE_QUERY_ACCELERATION",
    "SYSTEM$CURRENT_USER_TASK_NAME",
    "SYSTEM$ALLOWLIST",
];

/// Functions that have an effect, hand out a way past the warehouse's own access rules, or run a text as a query.
const EFFECTS: &[&str] = &[
    "GET_PRESIGNED_URL",
    "BUILD_SCOPED_FILE_URL",
    "BUILD_STAGE_FILE_URL",
    "GETNEXTVAL",
    "NEXTVAL",
    "TO_QUERY",
];

/// Methods of Snowflake's own classes that only compute. Those of models are not among them: under the same names, a
/// model's service runs whatever its owner put into the container.
const METHODS: &[&str] = &[
    "FORECAST",
    "DETECT_ANOMALIES",
    "EXPLAIN_FEATURE_IMPORTANCE",
    "SHOW_EVALUATION_METRICS",
    "SHOW_TRAINING_LOGS",
    "SHOW_GLOBAL_EVALUATION_METRICS",
    "SHOW_THRESHOLD_METRICS",
    "SHOW_CONFUSION_MATRIX",
    "SHOW_FEATURE_IMPORTANCE",
];

/// Functions within MATCH_RECOGNIZE; elsewhere a user's function may have the name.
const OF_MATCHED_ROWS: &[&str] =
    &["FIRST", "LAST", "PREV", "NEXT", "CLASSIFIER", "MATCH_NUMBER", "MATCH_SEQUENCE_NUMBER"];

/// What SQLite's functions may reach outside the database.
const SQLITE_FILES: &[&str] =
    &["LOAD_EXTENSION", "READFILE", "WRITEFILE", "EDIT", "LSMODE", "FTS3_TOKENIZER", "SQLAR_COMPRESS"];

/// Tables that SQLite makes of files, and that need no parenthesis.
const SQLITE_FILE_TABLES: &[&str] = &["FSDIR", "ZIPFILE", "SQLITE_DBPAGE"];

/// Names before a parenthesis, by where they stand, of which the parser tells what they are.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Names of tables with columns after them.
    pub(crate) aliases: HashSet<usize>,
    /// Names of functions, even if they are keywords elsewhere: `SELECT pattern(a)`.
    pub(crate) functions: HashSet<usize>,
    /// Texts that are values. SQLite takes any other text for a name.
    pub(crate) values: HashSet<usize>,
}

/// Objects to calls of functions not known to be harmless.
pub(crate) fn refuse_calls(
    question: &Question<'_>,
    words: &[Piece<'_>],
    seen: &Seen,
) -> Result<(), Objection> {
    refuse_effects(question, words, seen)?;
    let (patterns, matched) = recognized(words);
    let paths = stages::with_options(words);
    for at in (0..words.len()).filter(|at| words.get(at + 1).is_some_and(|next| next.is_sign("("))) {
        let call = Call::at(words, at, seen);
        let named = patterns.contains(&at)
            || seen.aliases.contains(&call.callee.start)
            || paths.contains(&call.callee.start);
        if !matched.contains(&at) && (call.function || !named) {
            call.judge(question)?;
        }
    }
    Ok(())
}

/// The places within patterns of rows, as in `MATCH_RECOGNIZE (... PATTERN ((a | b) (c)+) ...)`, where names call nothing,
/// and those of the functions of matched rows.
fn recognized(words: &[Piece<'_>]) -> (HashSet<usize>, HashSet<usize>) {
    let (mut patterns, mut matched) = (HashSet::new(), HashSet::new());
    let mut openers: Vec<bool> = Vec::new();
    for (at, piece) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        match piece.text {
            "(" => openers.push(before.is_some_and(|before| before.is_word("MATCH_RECOGNIZE"))),
            ")" => drop(openers.pop()),
            _ if piece.is_word("PATTERN") && openers.last() == Some(&true) => {
                patterns.extend(pattern(words, at + 1))
            }
            _ if piece.is_any(OF_MATCHED_ROWS) && openers.contains(&true) => {
                let unqualified = before.is_none_or(|before| ![".", "!"].contains(&before.text));
                matched.extend(unqualified.then_some(at));
            }
            _ => {}
        }
    }
    (patterns, matched)
}

/// The places of the pattern whose parenthesis opens at `start`; none if anything else is in it.
fn pattern(words: &[Piece<'_>], start: usize) -> Range<usize> {
    const SIGNS: [&str; 12] = ["(", ")", "|", "+", "*", "?", "{", "}", ",", "^", "$", "-"];
    let mut depth = 0_usize;
    for (at, piece) in words.iter().enumerate().skip(start) {
        match piece.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            sign if piece.kind == PieceKind::Sign && !SIGNS.contains(&sign) => break,
            _ if piece.kind == PieceKind::Text => break,
            _ => {}
        }
        if depth == 0 {
            return start..at;
        }
    }
    start..start
}

/// Objects to what has an effect wherever its name stands.
pub(crate) fn refuse_effects(
    question: &Question<'_>,
    words: &[Piece<'_>],
    seen: &Seen,
) -> Result<(), Objection> {
    for (at, piece) in words.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| words.get(at));
        if seen.values.contains(&piece.start) {
            continue;
        }
        let Some(name) = plain_name(piece, question.dialect) else { continue };
        let called = words.get(at + 1).is_some_and(|next| next.is_sign("("));
        match question.dialect {
            Dialect::Snowflake if name == "NEXTVAL" && before.is_some_and(|dot| dot.is_sign(".")) => {
                return Err(effect(piece));
            }
            Dialect::Snowflake if called && has_effect(&name) && !question.allowances.names(&name) => {
                return Err(effect(piece));
            }
            Dialect::Sqlite => refuse_sqlite(piece, &name, called)?,
            Dialect::Snowflake => {}
        }
    }
    Ok(())
}

fn has_effect(name: &str) -> bool {
    EFFECTS.contains(&name) || name.starts_with("SYSTEM$") && !TELLING_SYSTEM_FUNCTIONS.contains(&name)
}

fn refuse_sqlite(piece: &Piece<'_>, name: &str, called: bool) -> Result<(), Objection> {
    if called && SQLITE_FILES.contains(&name) || SQLITE_FILE_TABLES.contains(&name) {
        return Err(reaches_files(piece));
    }
    match name.strip_prefix("PRAGMA_") {
        Some(pragma) if !pragma_table_tells(pragma) => Err(effect(piece)),
        _ => Ok(()),
    }
}

/// A name with a parenthesis after it.
struct Call<'a> {
    words: &'a [Piece<'a>],
    at: usize,
    callee: Piece<'a>,
    /// The parser takes it for a function, not for a keyword.
    function: bool,
}

impl<'a> Call<'a> {
    fn at(words: &'a [Piece<'a>], at: usize, seen: &Seen) -> Self {
        let nothing = Piece { kind: PieceKind::Sign, start: 0, text: "" };
        let callee = words.get(at).copied().unwrap_or(nothing);
        Self { words, at, callee, function: seen.functions.contains(&callee.start) }
    }

    fn before(&self, back: usize) -> Option<&'a Piece<'a>> {
        self.at.checked_sub(back).and_then(|at| self.words.get(at))
    }

    fn judge(&self, question: &Question<'_>) -> Result<(), Objection> {
        match self.callee.kind {
            PieceKind::Word | PieceKind::Name => self.judge_name(question),
            PieceKind::Text | PieceKind::Number => Err(computed(&self.callee)),
            PieceKind::Sign if self.callee.is_sign(")") || self.callee.is_sign("]") => {
                Err(computed(&self.callee))
            }
            _ => Ok(()),
        }
    }

    fn judge_name(&self, question: &Question<'_>) -> Result<(), Objection> {
        let before = self.before(1);
        if self.is_outer_join_mark() {
            return Ok(());
        }
        let Some(name) = plain_name(&self.callee, question.dialect) else {
            return Err(computed(&self.callee));
        };
        if before.is_some_and(|sign| sign.is_sign("!")) && METHODS.contains(&name.as_str()) {
            return Ok(());
        }
        if before.is_some_and(|sign| sign.is_sign(".") || sign.is_sign("!")) {
            return self.judge_qualified(question);
        }
        // `ILIKE ALL (...)` and `f(a => TABLE(t))` are functions to the parser; no function can have these names.
        let keyword = (!self.function || ["ALL", "TABLE"].contains(&name.as_str()))
            && self.callee.kind == PieceKind::Word
            && BEFORE_PARENTHESIS.contains(name.as_str());
        if keyword || self.is_known(question, &name) || question.allowances.names(&name) {
            return Ok(());
        }
        Err(unknown(&self.callee, &name))
    }

    fn is_known(&self, question: &Question<'_>, name: &str) -> bool {
        match question.dialect {
            Dialect::Sqlite => {
                let empty = self.words.get(self.at + 2).is_some_and(|close| close.is_sign(")"));
                let tells = if empty { pragma_table_tells } else { pragma_tells };
                SQLITE.contains(name) || name.strip_prefix("PRAGMA_").is_some_and(tells)
            }
            Dialect::Snowflake => {
                SNOWFLAKE.contains(name)
                    || TELLING_SYSTEM_FUNCTIONS.contains(&name)
                    || name.starts_with("AI_") && question.allowances.pays_for_models()
                    || stages::is_function(name) && question.allowances.reads_stages()
            }
        }
    }

    /// `column(+)`, the old way to write an outer join.
    fn is_outer_join_mark(&self) -> bool {
        let sign = |ahead: usize, sign: &str| {
            self.words.get(self.at + ahead).is_some_and(|piece| piece.is_sign(sign))
        };
        sign(1, "(") && sign(2, "+") && sign(3, ")")
    }

    fn judge_qualified(&self, question: &Question<'_>) -> Result<(), Objection> {
        let name = self.qualified_name(question.dialect);
        let parts: Vec<&str> = name.split('.').collect();
        let known = match parts.as_slice() {
            ["INFORMATION_SCHEMA", function] | [_, "INFORMATION_SCHEMA", function] => {
                INFORMATION_SCHEMA.contains(function)
            }
            ["SNOWFLAKE", "CORTEX", _] => question.allowances.pays_for_models(),
            _ => false,
        };
        if known && question.dialect == Dialect::Snowflake || question.allowances.names(&name) {
            return Ok(());
        }
        Err(unknown(&self.callee, &name))
    }

    /// The whole name in its canonical form, with what stands before the last dot.
    fn qualified_name(&self, dialect: Dialect) -> String {
        let mut parts = vec![plain_name(&self.callee, dialect).unwrap_or_default()];
        let mut back = 1;
        while let Some(sign) = self.before(back).filter(|sign| sign.is_sign(".") || sign.is_sign("!")) {
            parts.push(sign.text.to_owned());
            back += 1;
            if let Some(part) = self.before(back).and_then(|piece| plain_name(piece, dialect)) {
                parts.push(part);
                back += 1;
            }
        }
        parts.into_iter().rev().collect()
    }
}

/// The name in the form in which names are compared; of a quoted one only if it needs no quotes.
pub(crate) fn plain_name(piece: &Piece<'_>, dialect: Dialect) -> Option<String> {
    match (piece.kind, dialect) {
        (PieceKind::Word, _) if piece.text.starts_with(['$', '@', ':', '?']) => None,
        (PieceKind::Word, _) => Some(piece.text.to_ascii_uppercase()),
        (PieceKind::Name | PieceKind::Text, Dialect::Sqlite) => Some(piece.inner().to_ascii_uppercase()),
        (PieceKind::Name, Dialect::Snowflake) if is_plain(piece.inner()) => Some(piece.inner().to_owned()),
        (PieceKind::Name, Dialect::Snowflake) => Some(piece.text.to_owned()),
        _ => None,
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, b'_' | b'$'))
}

pub(crate) fn effect(piece: &Piece<'_>) -> Objection {
    Objection::write(
        Rule::Function,
        format!("The function {}{{at}} does more than read.", quoted(piece.text)),
        "Write the query without it.",
    )
    .at(piece.start)
}

fn reaches_files(piece: &Piece<'_>) -> Objection {
    Objection::refused(
        Rule::Function,
        format!("The function {}{{at}} reaches files or code outside the database.", quoted(piece.text)),
        "Write the query without it.",
    )
    .at(piece.start)
}

pub(crate) fn computed(piece: &Piece<'_>) -> Objection {
    Objection::write(
        Rule::Function,
        format!("What is called after {}{{at}} is not known before the statement runs.", quoted(piece.text)),
        "Write the function's name in place.",
    )
    .at(piece.start)
}

fn unknown(piece: &Piece<'_>, name: &str) -> Objection {
    Objection::write(
        Rule::Function,
        format!("The function {}{{at}} is not one of the engine's own, so it may do more than read.", quoted(name)),
        format!(
            "Use one of the engine's functions, or ask the operator to allow this one with --allow-function {name}."
        ),
    )
    .at(piece.start)
}
