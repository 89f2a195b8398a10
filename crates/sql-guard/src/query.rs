//! Queries: parsed to the end, and searched for what does not belong in a read.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableAlias, TableFactor, TableVersion, Visit, Visitor,
};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};

use crate::heads::unparsed;
use crate::lexer::Piece;
use crate::question::Question;
use crate::tokens::{self, Placed};
use crate::verdict::{Objection, Rule, quoted};
use crate::{adapt, calls, stages};

/// Objects unless the query `words`, a part of the text in question, only reads.
pub(crate) fn judge(question: &Question<'_>, words: &[Piece<'_>]) -> Result<(), Objection> {
    refuse_verbs(words)?;
    stages::refuse(question, words)?;
    let placed = question.tokens(words)?;
    match refuse_excess(words).and_then(|()| refuse_bare_table(words)).and_then(|()| parse(question, placed))
    {
        Ok(statement) => judge_tree(question, words, placed, &statement),
        Err(error) => {
            calls::refuse_calls(question, words, &calls::Seen::default())?;
            Err(not_understood(&error, words))
        }
    }
}

/// Objects to a statement that begins behind the tables of a WITH, and to a procedure among them.
fn refuse_verbs(words: &[Piece<'_>]) -> Result<(), Objection> {
    let mut depth = 0_usize;
    let with = words.first().is_some_and(|head| head.is_word("WITH"));
    for (before, piece) in words.iter().zip(words.iter().skip(1)) {
        match before.text {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        let verb = with && depth == 0 && before.is_sign(")") && piece.is_any(&VERBS);
        let procedure = before.is_word("AS") && piece.is_word("PROCEDURE");
        if verb || procedure {
            return Err(more_than_a_read(piece.text).at(piece.start));
        }
    }
    Ok(())
}

const VERBS: [&str; 6] = ["INSERT", "REPLACE", "UPDATE", "DELETE", "MERGE", "CALL"];

/// Why the parser gave up, and at which token if it says so.
struct Failure {
    reason: String,
    offset: Option<usize>,
}

/// The parser counts how deep it is, but not in patterns of rows, nor in tables joined without a condition between.
const MOST_BRACKETS: usize = 100;
const MOST_JOINS: usize = 1_000;
/// It tries each NOT and each CASE in two ways, at every depth.
const MOST_TRIED: usize = 1_500;

/// Fails for what would take the parser too much of the stack or too much time.
fn refuse_excess(words: &[Piece<'_>]) -> Result<(), Failure> {
    let (mut brackets, mut joins, mut tried) = (0_usize, 0_usize, 0_usize);
    for piece in words {
        match piece.text {
            "(" | "[" | "{" => brackets += 1,
            ")" | "]" | "}" => brackets = brackets.saturating_sub(1),
            _ if piece.is_word("JOIN") => joins += 1,
            _ => tried += usize::from(piece.is_any(&["NOT", "CASE"])),
        }
        let reason = if brackets > MOST_BRACKETS {
            "it is nested too deeply".to_owned()
        } else if joins > MOST_JOINS {
            format!("it joins more than {MOST_JOINS} tables")
        } else if tried > MOST_TRIED {
            format!("it has more than {MOST_TRIED} times NOT or CASE")
        } else {
            continue;
        };
        return Err(Failure { reason, offset: None });
    }
    Ok(())
}

/// `TABLE t` as a query is known to neither engine, and the parser passes over the two words behind it.
fn refuse_bare_table(words: &[Piece<'_>]) -> Result<(), Failure> {
    let called = |at: usize| words.get(at + 1).is_some_and(|next| next.is_sign("("));
    let mut places = words.iter().enumerate().filter(|(_, piece)| piece.is_word("TABLE"));
    match places.find(|(at, _)| !called(*at)) {
        Some((_, piece)) => {
            Err(Failure { reason: "only TABLE(...) is known".to_owned(), offset: Some(piece.start) })
        }
        None => Ok(()),
    }
}

fn parse(question: &Question<'_>, placed: &[Placed]) -> Result<Statement, Failure> {
    let grammar = tokens::grammar(question.dialect);
    let tokens = adapt::adapted(placed, question.dialect);
    let mut parser = Parser::new(grammar.as_ref()).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement().map_err(|error| Failure::of(&error, placed))?;
    // The parser is content to stop early; a statement is only known when nothing is left.
    let next = parser.next_token();
    if next.token == Token::EOF {
        return Ok(statement);
    }
    let offset = placed.iter().find(|token| token.token.span == next.span).map(|token| token.start);
    Err(Failure { reason: "the query could end before it".to_owned(), offset })
}

impl Failure {
    /// The parser's message quotes the statement at any length, so only what it expected is taken over.
    fn of(error: &ParserError, placed: &[Placed]) -> Self {
        let message = match error {
            ParserError::RecursionLimitExceeded => {
                return Self { reason: "it is nested too deeply".to_owned(), offset: None };
            }
            ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        };
        let (before, place) = message.rsplit_once(" at Line: ").unwrap_or((message, ""));
        let (line, column) = place.split_once(", Column: ").unwrap_or_default();
        let offset = placed.iter().find(|token| {
            let start = token.token.span.start;
            line.parse() == Ok(start.line) && column.parse() == Ok(start.column)
        });
        let expected = before.split(", found: ").next().unwrap_or_default();
        Self { reason: quoted(expected).replace('\'', ""), offset: offset.map(|token| token.start) }
    }
}

fn not_understood(failure: &Failure, words: &[Piece<'_>]) -> Objection {
    let Some(offset) = failure.offset else { return unparsed(&failure.reason) };
    let found =
        words.iter().find(|piece| piece.start == offset).map_or_else(String::new, |piece| quoted(piece.text));
    unparsed(&format!("{found}{{at}} was not expected there ({})", failure.reason)).at(offset)
}

fn judge_tree(
    question: &Question<'_>,
    words: &[Piece<'_>],
    placed: &[Placed],
    statement: &Statement,
) -> Result<(), Objection> {
    let mut search = Search::default();
    if let ControlFlow::Break(what) = statement.visit(&mut search) {
        return Err(inside(what, words));
    }
    stages::refuse_text(question, words, &search.texts)?;
    let offsets = |places: &HashSet<Location>| {
        let at = |token: &&Placed| places.contains(&token.token.span.start);
        placed.iter().filter(at).map(|token| token.start).collect()
    };
    let seen = calls::Seen {
        aliases: offsets(&search.aliases),
        functions: offsets(&search.functions),
        values: offsets(&search.values),
    };
    calls::refuse_calls(question, words, &seen)
}

fn inside(what: &str, words: &[Piece<'_>]) -> Objection {
    let culprit = words.iter().find(|piece| piece.is_word(what)).or(words.first());
    more_than_a_read(what).at(culprit.map_or(0, |piece| piece.start))
}

fn more_than_a_read(what: &str) -> Objection {
    Objection::write(
        Rule::WritesInsideQuery,
        format!("The query holds {}{{at}}, which does more than read.", quoted(what)),
        "Leave it out, and write the query as a plain SELECT.",
    )
}

/// Walks a tree for what writes, and notes the names that only look like calls, and those that are some.
#[derive(Default)]
struct Search {
    aliases: HashSet<Location>,
    functions: HashSet<Location>,
    values: HashSet<Location>,
    versions: HashSet<Location>,
    /// Texts in the place of a table, as they are written.
    texts: HashSet<String>,
}

impl Search {
    fn note(&mut self, alias: Option<&TableAlias>) {
        let named = alias.filter(|alias| !alias.columns.is_empty());
        self.aliases.extend(named.map(|alias| alias.name.span.start));
    }

    fn call(&mut self, name: &ObjectName) {
        let place = last_place(name).filter(|place| !self.versions.contains(place));
        self.functions.extend(place);
    }

    /// `AT (...)`, `CHANGES (...) AT (...) END (...)`: functions to the parser, but words of the table's clause.
    fn version(&mut self, version: &TableVersion) {
        let clauses = match version {
            TableVersion::Function(clause) => vec![clause],
            TableVersion::Changes { changes, at, end } => [changes, at].into_iter().chain(end).collect(),
            _ => Vec::new(),
        };
        self.versions.extend(clauses.into_iter().filter_map(|clause| match clause {
            Expr::Function(function) => last_place(&function.name),
            _ => None,
        }));
    }
}

fn last_place(name: &ObjectName) -> Option<Location> {
    name.0.last().and_then(|part| part.as_ident()).map(|name| name.span.start)
}

impl Visitor for Search {
    type Break = &'static str;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        match statement {
            Statement::Query(_) => ControlFlow::Continue(()),
            Statement::Insert(_) => ControlFlow::Break("INSERT"),
            Statement::Update(_) => ControlFlow::Break("UPDATE"),
            Statement::Delete(_) => ControlFlow::Break("DELETE"),
            Statement::Merge(_) => ControlFlow::Break("MERGE"),
            _ => ControlFlow::Break("another statement"),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.note(Some(&cte.alias));
        }
        if !query.locks.is_empty() || query.for_clause.is_some() {
            return ControlFlow::Break("FOR");
        }
        if query.settings.is_some() {
            return ControlFlow::Break("SETTINGS");
        }
        if query.format_clause.is_some() {
            return ControlFlow::Break("FORMAT");
        }
        if !query.pipe_operators.is_empty() {
            return ControlFlow::Break("|>");
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() { ControlFlow::Break("INTO") } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::Function(function) => self.call(&function.name),
            Expr::Value(value) => drop(self.values.insert(value.span.start)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        use TableFactor as T;
        if let T::Table { version: Some(version), .. } = factor {
            self.version(version);
        }
        if let T::Table { name, .. } = factor {
            let parts = name.0.iter().filter_map(|part| part.as_ident());
            let texts = parts.filter(|part| part.quote_style == Some('\''));
            self.texts.extend(texts.map(|part| part.value.clone()));
        }
        if let T::Table { name, args: Some(_), .. } | T::Function { name, .. } = factor {
            self.call(name);
        }
        match factor {
            T::Table { alias, .. }
            | T::Derived { alias, .. }
            | T::TableFunction { alias, .. }
            | T::Function { alias, .. }
            | T::UNNEST { alias, .. }
            | T::NestedJoin { alias, .. }
            | T::Pivot { alias, .. }
            | T::Unpivot { alias, .. }
            | T::MatchRecognize { alias, .. }
            | T::SemanticView { alias, .. } => self.note(alias.as_ref()),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
