//! Ways of writing that the parser does not know, put as ones it does.
//!
//! Only the parser sees the difference: the engine gets the caller's text, and functions are looked for in that text as
//! well. Each rule takes out or replaces words whose meaning their neighbours settle, and nothing that could hold a
//! statement.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{Token, TokenWithSpan, Whitespace};

use crate::Dialect;
use crate::tokens::Placed;

/// What to put in place of the first `length` tokens.
struct Change {
    length: usize,
    put: Option<Token>,
}

type RuleOfWriting = fn(&View<'_>) -> Option<Change>;

const SNOWFLAKE: &[RuleOfWriting] = &[
    directed_join,
    method,
    structured_type,
    nth_value,
    sample,
    star_object,
    local_time,
    date_part,
    result_of_previous,
    semantic_view,
];
const SQLITE: &[RuleOfWriting] = &[indexed_by, not_indexed, is_null, is_equal, materialized, frame_exclusion];

/// The tokens as the parser is to see them.
pub(crate) fn adapted(placed: &[Placed], dialect: Dialect) -> Vec<TokenWithSpan> {
    let rules = match dialect {
        Dialect::Snowflake => SNOWFLAKE,
        Dialect::Sqlite => SQLITE,
    };
    let mut tokens = Vec::with_capacity(placed.len());
    let (mut at, mut path) = (0, false);
    while let Some(first) = placed.get(at) {
        path |= first.token.token == Token::AtSign;
        let view = View { placed, at };
        if path {
            tokens.push(first.token.clone());
            at += 1;
            if view.ends_path() {
                // Without it the parser takes the next words for more of the path.
                let space = Token::Whitespace(Whitespace::Space);
                tokens.push(TokenWithSpan { token: space, span: first.token.span });
                path = false;
            }
            continue;
        }
        let change = rules.iter().find_map(|rule| rule(&view)).unwrap_or_else(|| keep(first));
        tokens.extend(change.put.map(|token| TokenWithSpan { token, span: first.token.span }));
        at += change.length;
    }
    tokens
}

fn keep(placed: &Placed) -> Change {
    Change { length: 1, put: Some(placed.token.token.clone()) }
}

fn without(length: usize) -> Option<Change> {
    Some(Change { length, put: None })
}

fn instead(length: usize, token: Token) -> Option<Change> {
    Some(Change { length, put: Some(token) })
}

fn word(name: &str) -> Token {
    Token::make_word(name, None)
}

/// The tokens around one place.
struct View<'a> {
    placed: &'a [Placed],
    at: usize,
}

impl View<'_> {
    fn token(&self, ahead: usize) -> &Token {
        self.placed.get(self.at + ahead).map_or(&Token::EOF, |placed| &placed.token.token)
    }

    fn before(&self, back: usize) -> &Token {
        self.at
            .checked_sub(back)
            .and_then(|at| self.placed.get(at))
            .map_or(&Token::EOF, |placed| &placed.token.token)
    }

    fn is(&self, ahead: usize, words: &[&str]) -> bool {
        is_word(self.token(ahead), words)
    }

    fn follows(&self, back: usize, words: &[&str]) -> bool {
        is_word(self.before(back), words)
    }

    /// Whether the path of a stage does not go on behind the token here.
    fn ends_path(&self) -> bool {
        let [here, next] = [0, 1].map(|ahead| self.placed.get(self.at + ahead));
        let apart = here.zip(next).is_none_or(|(here, next)| here.end < next.start);
        apart || *self.token(1) == Token::Comma
    }

    /// How many tokens the group in parentheses takes that opens at `ahead`, if `allowed` allows all inside.
    fn group(&self, ahead: usize, allowed: impl Fn(&Token) -> bool) -> Option<usize> {
        let mut depth = 0_usize;
        for (length, placed) in self.placed.iter().skip(self.at + ahead).enumerate() {
            match &placed.token.token {
                Token::LParen => depth += 1,
                Token::RParen => depth = depth.checked_sub(1)?,
                token if !allowed(token) => return None,
                _ => {}
            }
            if depth == 0 {
                return (length > 0).then_some(length + 1);
            }
        }
        None
    }
}

fn is_word(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && words.iter().any(|known| word.value.eq_ignore_ascii_case(known)))
}

/// `a INNER DIRECTED JOIN b`
fn directed_join(view: &View<'_>) -> Option<Change> {
    let join = ["INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS", "NATURAL"];
    if view.is(0, &["DIRECTED"]) && view.is(1, &["JOIN"]) && view.follows(1, &join) {
        without(1)
    } else {
        None
    }
}

/// `model!PREDICT(...)`
fn method(view: &View<'_>) -> Option<Change> {
    let named = matches!(
        (view.before(1), view.token(1), view.token(2)),
        (Token::Word(_), Token::Word(_), Token::LParen)
    );
    if named && *view.token(0) == Token::ExclamationMark { instead(1, Token::Period) } else { None }
}

/// `CAST(v AS ARRAY(NUMBER))`, `v::MAP(VARCHAR, NUMBER)`, `OBJECT(a VARCHAR) RENAME FIELDS`
fn structured_type(view: &View<'_>) -> Option<Change> {
    let cast = *view.before(1) == Token::DoubleColon || view.follows(1, &["AS"]);
    if !cast || !view.is(0, &["ARRAY", "OBJECT", "MAP", "VECTOR"]) || *view.token(1) != Token::LParen {
        return None;
    }
    let mut length =
        1 + view.group(1, |token| matches!(token, Token::Word(_) | Token::Number(..) | Token::Comma))?;
    while view.is(length, &["RENAME", "ADD"]) && view.is(length + 1, &["FIELDS"]) {
        length += 2;
    }
    instead(length, word("VARIANT"))
}

/// `NTH_VALUE(x, 2) FROM FIRST IGNORE NULLS OVER (...)`
fn nth_value(view: &View<'_>) -> Option<Change> {
    let window = view.is(2, &["IGNORE", "RESPECT", "OVER"]);
    if *view.before(1) == Token::RParen && view.is(0, &["FROM"]) && view.is(1, &["FIRST", "LAST"]) && window {
        return without(2);
    }
    None
}

/// `SAMPLE BERNOULLI (10) SEED (1)`, which the parser does not take after every kind of table
fn sample(view: &View<'_>) -> Option<Change> {
    let after_table = match view.before(1) {
        Token::RParen => true,
        Token::Word(word) => word.keyword == Keyword::NoKeyword,
        _ => false,
    };
    if !after_table || !view.is(0, &["SAMPLE", "TABLESAMPLE"]) {
        return None;
    }
    let how = usize::from(view.is(1, &["BERNOULLI", "ROW", "SYSTEM", "BLOCK"]));
    let size =
        view.group(1 + how, |token| matches!(token, Token::Number(..)) || is_word(token, &["ROWS"]))?;
    let length = 1 + how + size;
    let seed = view
        .is(length, &["SEED", "REPEATABLE"])
        .then(|| view.group(length + 1, |token| matches!(token, Token::Number(..))));
    without(length + seed.flatten().map_or(0, |seed| seed + 1))
}

/// `{*}`, `{t.*}`, `{* EXCLUDE (a)}`: an object of all columns
fn star_object(view: &View<'_>) -> Option<Change> {
    let star = match (view.token(0), view.token(1), view.token(2), view.token(3)) {
        (Token::LBrace, Token::Mul, ..) => 2,
        (Token::LBrace, Token::Word(_), Token::Period, Token::Mul) => 4,
        _ => return None,
    };
    let end = match view.token(star + 1) {
        _ if *view.token(star) == Token::RBrace => star,
        Token::SingleQuotedString(_) if view.is(star, &["ILIKE"]) => star + 2,
        _ if view.is(star, &["EXCLUDE"]) => {
            star + 1 + view.group(star + 1, |token| matches!(token, Token::Word(_) | Token::Comma))?
        }
        _ => return None,
    };
    if *view.token(end) == Token::RBrace { instead(end + 1, word("NULL")) } else { None }
}

/// `TIMESTAMP WITH LOCAL TIME ZONE`
fn local_time(view: &View<'_>) -> Option<Change> {
    if view.follows(1, &["WITH"]) && view.is(0, &["LOCAL"]) && view.is(1, &["TIME"]) {
        without(1)
    } else {
        None
    }
}

/// `DATE_PART(year FROM d)`
fn date_part(view: &View<'_>) -> Option<Change> {
    let part = view.follows(3, &["DATE_PART"]) && *view.before(2) == Token::LParen;
    if part && view.is(0, &["FROM"]) { instead(1, Token::Comma) } else { None }
}

/// `FROM $1`, the result of the statement before in a chain
fn result_of_previous(view: &View<'_>) -> Option<Change> {
    let source = view.follows(1, &["FROM", "JOIN"]);
    match view.token(0) {
        Token::Placeholder(name) if source && name.starts_with('$') => instead(1, word("previous_result")),
        _ => None,
    }
}

/// `SEMANTIC_VIEW(sales METRICS revenue DIMENSIONS DATE_TRUNC('month', day) AS month)`
fn semantic_view(view: &View<'_>) -> Option<Change> {
    let verbs = ["SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "CALL", "EXECUTE", "INTO"];
    let source = view.follows(1, &["FROM", "JOIN", "LATERAL"]) || *view.before(1) == Token::Comma;
    if !source || !view.is(0, &["SEMANTIC_VIEW"]) || *view.token(1) != Token::LParen {
        return None;
    }
    let length = view.group(1, |token| !is_word(token, &verbs) && *token != Token::EOF)?;
    instead(1 + length, word("semantic_view_result"))
}

/// `FROM t INDEXED BY i`
fn indexed_by(view: &View<'_>) -> Option<Change> {
    let named = matches!((view.before(1), view.token(2)), (Token::Word(_), Token::Word(_)));
    if named && view.is(0, &["INDEXED"]) && view.is(1, &["BY"]) { without(3) } else { None }
}

/// `FROM t NOT INDEXED`
fn not_indexed(view: &View<'_>) -> Option<Change> {
    let named = matches!(view.before(1), Token::Word(_));
    if named && view.is(0, &["NOT"]) && view.is(1, &["INDEXED"]) { without(2) } else { None }
}

/// `a ISNULL`, in place of which the parser knows the opposite
fn is_null(view: &View<'_>) -> Option<Change> {
    if view.is(0, &["ISNULL"]) { instead(1, word("NOTNULL")) } else { None }
}

/// `a IS b`, `a IS NOT b`
fn is_equal(view: &View<'_>) -> Option<Change> {
    if !view.is(0, &["IS"]) {
        return None;
    }
    let length = 1 + usize::from(view.is(1, &["NOT"]));
    let known = view.is(length, &["NULL", "TRUE", "FALSE", "DISTINCT", "UNKNOWN", "JSON", "NORMALIZED"]);
    if known { None } else { instead(length, Token::Eq) }
}

/// `WITH a AS NOT MATERIALIZED (...)`
fn materialized(view: &View<'_>) -> Option<Change> {
    let not = usize::from(view.is(0, &["NOT"]));
    let hint =
        view.follows(1, &["AS"]) && view.is(not, &["MATERIALIZED"]) && *view.token(not + 1) == Token::LParen;
    if hint { without(not + 1) } else { None }
}

/// `ROWS BETWEEN ... EXCLUDE TIES`
fn frame_exclusion(view: &View<'_>) -> Option<Change> {
    let length = match view.token(2) {
        Token::RParen if view.is(1, &["TIES", "GROUP"]) => 2,
        _ if view.is(1, &["NO"]) && view.is(2, &["OTHERS"]) => 3,
        _ if view.is(1, &["CURRENT"]) && view.is(2, &["ROW"]) => 3,
        _ => return None,
    };
    if view.is(0, &["EXCLUDE"]) && *view.token(length) == Token::RParen { without(length) } else { None }
}
