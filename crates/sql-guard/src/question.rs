//! What is asked of the guard, and what is read from the text only once.

use std::cell::OnceCell;

use crate::lexer::Piece;
use crate::tokens::{self, Placed};
use crate::verdict::Objection;
use crate::{Allowances, Dialect};

/// A text, whose rules it is read by, and what the operator allows.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) sql: &'a str,
    pub(crate) dialect: Dialect,
    pub(crate) allowances: &'a Allowances,
    pieces: &'a [Piece<'a>],
    /// A chain may have thousands of queries, and all of them are parts of the same text.
    tokens: OnceCell<Result<Vec<Placed>, Objection>>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(
        sql: &'a str,
        dialect: Dialect,
        allowances: &'a Allowances,
        pieces: &'a [Piece<'a>],
    ) -> Self {
        Self { sql, dialect, allowances, pieces, tokens: OnceCell::new() }
    }

    /// The parser's tokens of `words`, a part of the text.
    pub(crate) fn tokens(&self, words: &[Piece<'_>]) -> Result<&[Placed], Objection> {
        let tokens = self.tokens.get_or_init(|| tokens::agreed(self.sql, self.dialect, self.pieces));
        let tokens = tokens.as_deref().map_err(Objection::clone)?;
        let start = words.first().map_or(0, |piece| piece.start);
        let end = words.last().map_or(0, Piece::end);
        let first = tokens.partition_point(|token| token.start < start);
        let length = tokens.iter().skip(first).take_while(|token| token.end <= end).count();
        Ok(tokens.get(first..first + length).unwrap_or_default())
    }
}
