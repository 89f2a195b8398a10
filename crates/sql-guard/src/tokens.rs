//! The parser's own reading of a text, held against ours.

use sqlparser::dialect::{self, Dialect as Grammar};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace};

use crate::Dialect;
use crate::lexer::{Piece, PieceKind};

/// A token of the parser and where it stands, in bytes.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) token: TokenWithSpan,
}

pub(crate) fn grammar(dialect: Dialect) -> &'static dyn Grammar {
    match dialect {
        Dialect::Snowflake => &dialect::SnowflakeDialect,
        Dialect::Sqlite => &dialect::SQLiteDialect {},
    }
}

/// The parser's tokens of `sql` without white space, if it sees quotes and comments exactly where `pieces` has them.
///
/// Whoever gets a quote wrong takes words for text or text for words, so two readings that differ are worth nothing.
pub(crate) fn agreed(sql: &str, dialect: Dialect, pieces: &[Piece<'_>]) -> Result<Vec<Placed>, String> {
    let tokens = Tokenizer::new(grammar(dialect), sql)
        .with_unescape(false)
        .tokenize_with_location()
        .map_err(|error| error.to_string())?;
    let placed = placed(sql, tokens);
    let theirs =
        placed.iter().filter_map(|placed| Some((class(&placed.token.token)?, placed.start, placed.end)));
    let ours =
        pieces.iter().filter(|piece| closed(piece)).map(|piece| (piece.kind, piece.start, piece.end()));
    if !theirs.eq(ours) {
        return Err("its quotes or comments can be read in two ways".to_owned());
    }
    Ok(placed.into_iter().filter(|placed| !matches!(placed.token.token, Token::Whitespace(_))).collect())
}

/// Whether `piece` has a sign at its end that the next words depend on.
fn closed(piece: &Piece<'_>) -> bool {
    matches!(piece.kind, PieceKind::Name | PieceKind::Text | PieceKind::Comment)
}

fn class(token: &Token) -> Option<PieceKind> {
    match token {
        Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
            Some(PieceKind::Comment)
        }
        Token::Word(word) if word.quote_style.is_some() => Some(PieceKind::Name),
        Token::SingleQuotedString(_) | Token::DollarQuotedString(_) => Some(PieceKind::Text),
        // A number in hexadecimal looks the same to the parser as a blob; it has no closing sign.
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
