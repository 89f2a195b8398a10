//! Queries: parsed to the end, and searched for what does not belong in a read.

use std::ops::ControlFlow;

use sqlparser::ast::{Query, Select, SetExpr, Statement, TableAlias, TableFactor, Visit, Visitor};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::calls;
use crate::heads::{Question, unparsed};
use crate::lexer::Piece;
use crate::tokens::{self, Placed};
use crate::verdict::{Objection, Rule, quoted};

/// Objects unless the query `words`, a part of the text `all`, only reads.
pub(crate) fn judge(
    question: &Question<'_>,
    all: &[Piece<'_>],
    words: &[Piece<'_>],
) -> Result<(), Objection> {
    calls::refuse_stages(question, words)?;
    let placed = match tokens::agreed(question.sql, question.dialect, all) {
        Ok(placed) => part(placed, words),
        Err(reason) => return Err(unparsed(&reason)),
    };
    match parse(question, &placed) {
        Ok(statement) => judge_tree(question, words, &placed, &statement),
        Err(error) => {
            calls::refuse_calls(question, words, &[])?;
            Err(unparsed(&error.to_string()))
        }
    }
}

fn part(placed: Vec<Placed>, words: &[Piece<'_>]) -> Vec<Placed> {
    let start = words.first().map_or(0, |piece| piece.start);
    let end = words.last().map_or(0, Piece::end);
    placed.into_iter().filter(|token| start <= token.start && token.end <= end).collect()
}

fn parse(question: &Question<'_>, placed: &[Placed]) -> Result<Statement, ParserError> {
    let tokens: Vec<TokenWithSpan> = placed.iter().map(|placed| placed.token.clone()).collect();
    let mut parser = Parser::new(tokens::grammar(question.dialect)).with_tokens_with_locations(tokens);
    let statement = parser.parse_statement()?;
    // The parser is content to stop early; a statement is only known when nothing is left.
    match parser.next_token().token {
        Token::EOF => Ok(statement),
        _ => Err(ParserError::ParserError("the query ends before the text does".to_owned())),
    }
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
    let aliases: Vec<usize> = placed
        .iter()
        .filter(|token| search.aliases.contains(&token.token.span.start))
        .map(|token| token.start)
        .collect();
    calls::refuse_calls(question, words, &aliases)
}

fn inside(what: &'static str, words: &[Piece<'_>]) -> Objection {
    let culprit = words.iter().find(|piece| piece.is_word(what));
    Objection {
        offset: culprit.or(words.first()).map(|piece| piece.start),
        ..Objection::write(
            Rule::WritesInsideQuery,
            format!("The query holds {}{{at}}, which does more than read.", quoted(what)),
            "Leave it out, and write the query as a plain SELECT.",
        )
    }
}

/// Walks a tree for what writes, and notes the names that only look like calls.
#[derive(Default)]
struct Search {
    statements: usize,
    aliases: Vec<Location>,
}

impl Search {
    fn note(&mut self, alias: Option<&TableAlias>) {
        let named = alias.filter(|alias| !alias.columns.is_empty());
        self.aliases.extend(named.map(|alias| alias.name.span.start));
    }
}

impl Visitor for Search {
    type Break = &'static str;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<Self::Break> {
        self.statements += 1;
        match statement {
            Statement::Query(_) if self.statements == 1 => ControlFlow::Continue(()),
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
        match query.body.as_ref() {
            SetExpr::Insert(_) => ControlFlow::Break("INSERT"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() { ControlFlow::Break("INTO") } else { ControlFlow::Continue(()) }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Self::Break> {
        use TableFactor as T;
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
