//! Files in stages, which a query names by `@`, by an address, or by a text.

use std::collections::HashSet;

use crate::Dialect;
use crate::calls::{computed, effect, plain_name};
use crate::lexer::{Piece, PieceKind};
use crate::literal;
use crate::question::Question;
use crate::verdict::{Objection, Rule, quoted};

/// Functions that read files from a stage named in a text, or tell about them.
const FUNCTIONS: &[&str] = &[
    "INFER_SCHEMA",
    "DIRECTORY",
    "TO_FILE",
    "TRY_TO_FILE",
    "GET_STAGE_LOCATION",
    "GET_RELATIVE_PATH",
    "GET_ABSOLUTE_PATH",
];

/// Whether the function `name` reads a stage.
pub(crate) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name) || name.starts_with("FL_GET_") || name.starts_with("FL_IS_")
}

/// Objects to files read from a stage, unless the operator allows that, and to sequences and computed names in a text.
pub(crate) fn refuse(question: &Question<'_>, words: &[Piece<'_>]) -> Result<(), Objection> {
    if question.dialect == Dialect::Sqlite {
        return Ok(());
    }
    let allowed = question.allowances.reads_stages();
    for (at, piece) in words.iter().enumerate() {
        let source = literal::value(piece).filter(|_| names_a_source(words, at));
        if source.as_deref().is_some_and(names_a_sequence) {
            return Err(effect(piece));
        }
        if piece.is_word("IDENTIFIER") && is_put_together(words, at + 1) {
            return Err(computed(piece));
        }
        let called = words.get(at + 1).is_some_and(|next| next.is_sign("("));
        let function = called && plain_name(piece, question.dialect).is_some_and(|name| is_function(&name));
        let files = source.as_deref().is_some_and(names_files);
        if !allowed && (piece.is_sign("@") || function || files) {
            return Err(objection(piece));
        }
    }
    Ok(())
}

/// Whether the word or sign before the text at `at`, parentheses aside, says that it names a table or another object.
fn names_a_source(words: &[Piece<'_>], at: usize) -> bool {
    let before = words.iter().take(at).rev().find(|piece| !piece.is_sign("("));
    before
        .is_some_and(|before| before.is_any(&["FROM", "JOIN", "TABLE", "IDENTIFIER"]) || before.is_sign("=>"))
}

fn names_files(value: &str) -> bool {
    value.trim_start().starts_with('@') || value.contains("://")
}

/// `'sequence.nextval'`
fn names_a_sequence(value: &str) -> bool {
    let last = value.rsplit_once('.').map_or("", |(_, last)| last);
    last.trim_matches([' ', '"']).eq_ignore_ascii_case("NEXTVAL")
}

/// Whether more than one text or variable stands in the parentheses that open at `start`.
fn is_put_together(words: &[Piece<'_>], start: usize) -> bool {
    let called = words.get(start).is_some_and(|open| open.is_sign("("));
    let inside = words.iter().skip(start).take_while(|piece| !piece.is_sign(")"));
    called && inside.filter(|piece| !["(", ":"].contains(&piece.text)).nth(1).is_some()
}

/// Objects to a text in the place of a table: no table is named so, but files are.
pub(crate) fn refuse_text(
    question: &Question<'_>,
    words: &[Piece<'_>],
    tables: &HashSet<String>,
) -> Result<(), Objection> {
    if question.dialect == Dialect::Sqlite || question.allowances.reads_stages() {
        return Ok(());
    }
    let table = |piece: &&Piece<'_>| piece.kind == PieceKind::Text && tables.contains(piece.inner());
    words.iter().find(table).map_or(Ok(()), |piece| Err(objection(piece)))
}

fn objection(piece: &Piece<'_>) -> Objection {
    Objection::write(
        Rule::Stage,
        format!("The query reads files from a stage: {}{{at}}.", quoted(piece.text)),
        "Query tables and views; LIST shows what a stage holds. The operator can allow queries on stages.",
    )
    .at(piece.start)
}

/// The places of paths such as `@stage/file.csv` that may have options in parentheses behind them.
pub(crate) fn with_options(words: &[Piece<'_>]) -> HashSet<usize> {
    let mut places = HashSet::new();
    let mut end = None;
    for (at, piece) in words.iter().enumerate() {
        let goes_on = end == Some(piece.start) && !["(", ")", ","].contains(&piece.text);
        end = (goes_on || piece.is_sign("@")).then(|| piece.end());
        if end.is_some() && words.get(at + 3).is_some_and(|arrow| arrow.is_sign("=>")) {
            places.insert(piece.start);
        }
    }
    places
}
