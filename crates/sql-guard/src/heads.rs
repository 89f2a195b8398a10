//! What kind of statement the first words name.

use crate::lexer::{Piece, PieceKind};
use crate::question::Question;
use crate::verdict::{Objection, Rule, quoted};
use crate::{Dialect, Kind, calls, query};

/// The words of the one statement in `pieces`, without comments and the semicolon that may end it.
pub(crate) fn one_statement<'a>(pieces: &[Piece<'a>]) -> Result<Vec<Piece<'a>>, Objection> {
    let end = pieces.iter().position(|piece| piece.is_sign(";")).unwrap_or(pieces.len());
    if let (Some(semicolon), Some(_)) = (pieces.get(end), pieces.get(end + 1)) {
        return Err(several(semicolon));
    }
    let words: Vec<_> =
        pieces.iter().take(end).filter(|piece| piece.kind != PieceKind::Comment).copied().collect();
    if words.is_empty() {
        return Err(Objection::refused(
            Rule::Empty,
            "There is no statement in the text.",
            "Send one SQL statement.",
        ));
    }
    Ok(words)
}

fn several(semicolon: &Piece<'_>) -> Objection {
    Objection::refused(
        Rule::OneStatement,
        "Only one statement is run at a time, and something follows the ';'{at}.",
        "Remove everything after that ';', comments too, and send a second statement as a call of its own.",
    )
    .at(semicolon.start)
}

/// What the statement of these words would do.
pub(crate) fn judge(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    match question.dialect {
        Dialect::Snowflake => judge_flow(question, words),
        Dialect::Sqlite => judge_sqlite(question, words),
    }
}

/// A chain of statements, each of which gets the result of the one before.
fn judge_flow(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    let mut kind = Kind::Metadata;
    for part in words.split(|piece| piece.is_sign("->>")) {
        kind = judge_snowflake(question, part)?;
    }
    Ok(kind)
}

fn judge_snowflake(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    let Some(head) = words.first() else {
        return Err(unparsed("a part of the chain of '->>' is empty").at(question.sql.len()));
    };
    if is_query(head) {
        return query::judge(question, words).map(|()| Kind::Read);
    }
    match upper(head).as_str() {
        "SHOW" | "DESC" | "DESCRIBE" => metadata(question, words),
        "LIST" | "LS" => listing(words),
        "EXPLAIN" => explained_snowflake(question, words),
        _ => Err(other_kind(words)),
    }
}

fn judge_sqlite(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    match words {
        [head, ..] if is_query(head) => query::judge(question, words).map(|()| Kind::Read),
        [explain, query, plan, rest @ ..]
            if explain.is_word("EXPLAIN") && query.is_word("QUERY") && plan.is_word("PLAN") =>
        {
            explained(question, rest)
        }
        [explain, rest @ ..] if explain.is_word("EXPLAIN") => explained(question, rest),
        [pragma, rest @ ..] if pragma.is_word("PRAGMA") => judge_pragma(pragma, rest),
        _ => Err(other_kind_sqlite(words)),
    }
}

fn is_query(head: &Piece<'_>) -> bool {
    head.is_any(&["SELECT", "WITH", "VALUES"]) || head.is_sign("(")
}

fn upper(piece: &Piece<'_>) -> String {
    if piece.kind == PieceKind::Word { piece.text.to_ascii_uppercase() } else { String::new() }
}

/// SHOW and DESCRIBE, of which the parser knows only some and skips what it does not know.
fn metadata(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    let strange = words.iter().find(|piece| {
        piece.kind == PieceKind::Sign && ![".", ",", "(", ")", "=", "=>"].contains(&piece.text)
            || piece.is_any(&["CALL", "EXECUTE"])
    });
    if let Some(piece) = strange {
        return Err(unparsed(&format!("{}{{at}} does not belong in a SHOW or DESCRIBE", quoted(piece.text)))
            .at(piece.start));
    }
    if words.len() == 1 {
        return Err(unparsed("the statement ends after its first word").at(question.sql.len()));
    }
    calls::refuse_effects(question, words, &calls::Seen::default())?;
    Ok(Kind::Metadata)
}

/// LIST of a stage's files.
fn listing(words: &[Piece<'_>]) -> Result<Kind, Objection> {
    let strange = words.iter().find(|piece| {
        piece.kind == PieceKind::Sign && !["@", ".", "/", "-", "%", "~", "+", "=", ":"].contains(&piece.text)
    });
    if let Some(piece) = strange {
        return Err(
            unparsed(&format!("{}{{at}} does not belong in a LIST", quoted(piece.text))).at(piece.start)
        );
    }
    match words.get(1) {
        Some(path) if path.is_sign("@") || path.kind == PieceKind::Text => Ok(Kind::Metadata),
        _ => Err(unparsed("LIST wants a stage, as in LIST @name").at(words.first().map_or(0, Piece::end))),
    }
}

fn explained_snowflake(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    match words {
        [_, using, format, rest @ ..]
            if using.is_word("USING") && format.is_any(&["TABULAR", "JSON", "TEXT"]) =>
        {
            explained(question, rest)
        }
        [_, rest @ ..] => explained(question, rest),
        [] => Err(other_kind(words)),
    }
}

fn explained(question: &Question<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    match words.first() {
        Some(head) if is_query(head) => query::judge(question, words).map(|()| Kind::Read),
        _ => Err(Objection {
            offset: words.first().map(|piece| piece.start),
            ..Objection::write(
                Rule::StatementKind,
                "Only queries are explained, and none begins{at}.",
                "Explain a SELECT.",
            )
        }),
    }
}

/// Pragmas that tell something, whatever argument they get.
const TELLING_PRAGMAS: &[&str] = &[
    "TABLE_INFO",
    "TABLE_XINFO",
    "TABLE_LIST",
    "INDEX_LIST",
    "INDEX_INFO",
    "INDEX_XINFO",
    "FOREIGN_KEY_LIST",
    "FOREIGN_KEY_CHECK",
    "FUNCTION_LIST",
    "COLLATION_LIST",
    "DATABASE_LIST",
    "PRAGMA_LIST",
    "MODULE_LIST",
    "COMPILE_OPTIONS",
    "INTEGRITY_CHECK",
    "QUICK_CHECK",
];

/// Pragmas that tell something without an argument and set it with one.
const READABLE_PRAGMAS: &[&str] = &[
    "USER_VERSION",
    "APPLICATION_ID",
    "SCHEMA_VERSION",
    "DATA_VERSION",
    "ENCODING",
    "PAGE_SIZE",
    "PAGE_COUNT",
    "FREELIST_COUNT",
    "JOURNAL_MODE",
    "FOREIGN_KEYS",
    "CACHE_SIZE",
    "SYNCHRONOUS",
    "AUTO_VACUUM",
    "BUSY_TIMEOUT",
    "LOCKING_MODE",
    "TEMP_STORE",
    "RECURSIVE_TRIGGERS",
    "QUERY_ONLY",
];

/// Whether the pragma `name` only tells something, even with an argument.
pub(crate) fn pragma_tells(name: &str) -> bool {
    TELLING_PRAGMAS.contains(&name.to_ascii_uppercase().as_str())
}

/// Whether the table `pragma_` with this name only tells something, of which no argument could set anything.
pub(crate) fn pragma_table_tells(name: &str) -> bool {
    pragma_tells(name) || ["USER_VERSION", "PAGE_COUNT", "PAGE_SIZE"].contains(&name)
}

fn judge_pragma(pragma: &Piece<'_>, words: &[Piece<'_>]) -> Result<Kind, Objection> {
    let (name, argument) = match words {
        [_, dot, name, argument @ ..] if dot.is_sign(".") => (name, argument),
        [name, argument @ ..] => (name, argument),
        [] => return Err(pragma_refused(pragma, "PRAGMA")),
    };
    let tells = match argument {
        [] => pragma_tells(name.text) || READABLE_PRAGMAS.contains(&upper(name).as_str()),
        [open, value, close] if open.is_sign("(") && close.is_sign(")") => {
            is_value(value) && pragma_tells(name.text)
        }
        [equals, value] if equals.is_sign("=") => is_value(value) && pragma_tells(name.text),
        _ => false,
    };
    if tells { Ok(Kind::Metadata) } else { Err(pragma_refused(name, name.text)) }
}

fn is_value(piece: &Piece<'_>) -> bool {
    piece.kind != PieceKind::Sign
}

fn pragma_refused(at: &Piece<'_>, name: &str) -> Objection {
    Objection::refused(
        Rule::SessionState,
        format!("The pragma {}{{at}} is not one that only tells something.", quoted(name)),
        "Settings are fixed; for the schema use PRAGMA table_list, PRAGMA table_info(TABLE), or SELECT sql FROM sqlite_schema.",
    )
    .at(at.start)
}

fn other_kind(words: &[Piece<'_>]) -> Objection {
    let Some(head) = words.first() else { return unparsed("there is nothing to run") };
    let second = words.get(1).map(upper).unwrap_or_default();
    match (upper(head).as_str(), second.as_str()) {
        ("BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "END" | "ABORT", _) => transaction(head),
        ("USE" | "SET" | "UNSET", _) | ("ALTER", "SESSION") => session(head),
        ("PUT" | "GET", _) => files(head),
        _ => not_a_read(head),
    }
}

fn other_kind_sqlite(words: &[Piece<'_>]) -> Objection {
    let Some(head) = words.first() else { return unparsed("there is nothing to run") };
    match upper(head).as_str() {
        "BEGIN" | "COMMIT" | "ROLLBACK" | "END" | "SAVEPOINT" | "RELEASE" => transaction(head),
        "ATTACH" | "DETACH" | "VACUUM" => files(head),
        "SHOW" | "DESC" | "DESCRIBE" => Objection::refused(
            Rule::StatementKind,
            format!("SQLite has no statement that begins with {}{{at}}.", quoted(head.text)),
            "For the tables use SELECT name, sql FROM sqlite_schema; for the columns of one, PRAGMA table_info(TABLE).",
        )
        .at(head.start),
        _ => not_a_read(head),
    }
}

fn not_a_read(head: &Piece<'_>) -> Objection {
    Objection::write(
        Rule::StatementKind,
        format!("The statement begins with {}{{at}}, which is not known to only read.", quoted(head.text)),
        "Write it as a SELECT, or another statement that only reads. If the change is wanted, ask the user whether writing may be allowed.",
    )
    .at(head.start)
}

fn transaction(head: &Piece<'_>) -> Objection {
    Objection::refused(
        Rule::Transaction,
        format!("{}{{at}}: every statement is a transaction of its own.", quoted(head.text)),
        "Send the statement alone, without beginning or ending a transaction.",
    )
    .at(head.start)
}

fn session(head: &Piece<'_>) -> Objection {
    Objection::refused(
        Rule::SessionState,
        format!("{}{{at}} changes the session, and no later statement would see it.", quoted(head.text)),
        "Write names in full (DATABASE.SCHEMA.TABLE) and values in place; role and warehouse are the operator's choice.",
    )
    .at(head.start)
}

fn files(head: &Piece<'_>) -> Objection {
    Objection::refused(
        Rule::LocalFiles,
        format!("{}{{at}} reaches files outside the database.", quoted(head.text)),
        "Query the tables of this database; results are handed out page by page.",
    )
    .at(head.start)
}

/// The statement may be a read, but nothing proves it.
pub(crate) fn unparsed(reason: &str) -> Objection {
    Objection::write(
        Rule::Unparsed,
        format!("The statement was not understood well enough to tell that it only reads: {reason}."),
        "Check the syntax there, or write that part in a plainer way.",
    )
}
