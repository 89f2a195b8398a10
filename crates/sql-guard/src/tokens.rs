//! The parser's own reading of a text, held against ours.

use sqlparser::dialect::{Dialect as Grammar, SQLiteDialect, SnowflakeDialect};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::Dialect;
use crate::lexer::{Piece, PieceKind};
use crate::verdict::{Objection, Rule};

/// A token of the parser and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) token: TokenWithSpan,
}

#[allow(unreachable_pub, reason = "the macro makes everything public")]
mod derived {
    use super::{SQLiteDialect, SnowflakeDialect};

    // `COUNT(*) FILTER (WHERE ...)` came to Snowflake late.
    sqlparser::derive_dialect!(
        SnowflakeGrammar,
        SnowflakeDialect,
        preserve_type_id = true,
        overrides = { supports_filter_during_aggregation = true }
    );

    // `a << 1`
    sqlparser::derive_dialect!(
        SqliteGrammar,
        SQLiteDialect,
        preserve_type_id = true,
        overrides = { supports_bitwise_shift_operators = true }
    );
}

pub(crate) fn grammar(dialect: Dialect) -> Box<dyn Grammar> {
    match dialect {
        Dialect::Snowflake => Box::new(derived::SnowflakeGrammar::new()),
        Dialect::Sqlite => Box::new(derived::SqliteGrammar::new()),
    }
}

/// The parser's tokens of `sql` without white space, if it sees quotes and comments exactly where `pieces` has them.
///
/// Whoever gets a quote wrong takes words for text or text for words, so two readings that differ are worth nothing.
pub(crate) fn agreed(sql: &str, dialect: Dialect, pieces: &[Piece<'_>]) -> Result<Vec<Placed>, Objection> {
    let grammar = grammar(dialect);
    let tokens = Tokenizer::new(grammar.as_ref(), sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|_| two_readings())?;
    let placed = placed(sql, tokens);
    let theirs = placed.iter().filter_map(|placed| Some((class(sql, placed)?, placed.start, placed.end)));
    let ours =
        pieces.iter().filter(|piece| closed(piece)).map(|piece| (piece.kind, piece.start, piece.end()));
    if !theirs.eq(ours) {
        return Err(two_readings());
    }
    Ok(placed.into_iter().filter(|placed| !matches!(placed.token.token, Token::Whitespace(_))).collect())
}

fn two_readings() -> Objection {
    Objection::refused(
        Rule::ForeignQuoting,
        "The quotes or comments of the statement can be read in two ways.",
        "Write texts in plain single quotes and comments with --, and leave out everything unusual near them.",
    )
}

/// Whether `piece` has a sign at its end that the next words depend on.
fn closed(piece: &Piece<'_>) -> bool {
    matches!(piece.kind, PieceKind::Name | PieceKind::Text | PieceKind::Comment)
}

fn class(sql: &str, placed: &Placed) -> Option<PieceKind> {
    match &placed.token.token {
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
            Some(PieceKind::Comment)
        }
        Token::Word(word) if word.quote_style.is_some() => Some(PieceKind::Name),
        Token::SingleQuotedString(_) | Token::DollarQuotedString(_) => Some(PieceKind::Text),
        // The parser has one kind of token for X'1F' and 0x1F.
        Token::HexStringLiteral(_) if sql.get(..placed.end).is_some_and(|before| before.ends_with('\'')) => {
            Some(PieceKind::Text)
        }
        _ => None,
    }
}

fn placed(sql: &str, tokens: Vec<TokenWithSpan>) -> Vec<Placed> {
    let mut places = Places::new(sql);
    tokens
        .into_iter()
        .map(|token| {
            let start = places.offset(token.span.start);
            Placed { start, end: places.offset(token.span.end), token }
        })
        .collect()
}

/// Turns lines and columns into bytes, for places in rising order.
struct Places<'a> {
    rest: std::str::CharIndices<'a>,
    length: usize,
    at: Location,
}

impl<'a> Places<'a> {
    fn new(sql: &'a str) -> Self {
        Self { rest: sql.char_indices(), length: sql.len(), at: Location { line: 1, column: 1 } }
    }

    fn offset(&mut self, place: Location) -> usize {
        while self.at < place {
            match self.rest.next() {
                Some((_, '\n')) => self.at = Location { line: self.at.line + 1, column: 1 },
                Some(_) => self.at.column += 1,
                None => return self.length,
            }
        }
        self.rest.clone().next().map_or(self.length, |(offset, _)| offset)
    }
}
