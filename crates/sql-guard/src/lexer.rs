//! The pieces of a text, by the engines' own documented rules.

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use crate::Dialect;
use crate::verdict::{Objection, Rule, quoted};

/// More pieces are not looked at.
pub(crate) const MAX_PIECES: usize = 20_000;

/// What a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PieceKind {
    /// A keyword or a name without quotes; with its sign, a variable.
    Word,
    /// A name in quotes, backticks or brackets.
    Name,
    /// A text, or a blob in hexadecimal.
    Text,
    /// A number, without a sign or a dot before it.
    Number,
    /// A comment; kept for comparing two readings.
    Comment,
    /// Anything else: one sign, or several that belong together.
    Sign,
}

/// A piece of a text and where it stands, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    pub(crate) kind: PieceKind,
    pub(crate) start: usize,
    pub(crate) text: &'a str,
}

impl<'a> Piece<'a> {
    /// What stands between the quotes of a text or a name.
    pub(crate) fn inner(&self) -> &'a str {
        self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default()
    }

    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == PieceKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        self.kind == PieceKind::Sign && self.text == sign
    }
}

/// The pieces of `sql` without white space, or what makes it ambiguous.
pub(crate) fn pieces(sql: &str, dialect: Dialect) -> Result<Vec<Piece<'_>>, Objection> {
    let mut lexer = Lexer { sql, dialect, at: 0, path: Path::Outside };
    let mut pieces = Vec::new();
    while let Some(piece) = lexer.next_piece()? {
        if pieces.len() == MAX_PIECES {
            return Err(too_many());
        }
        pieces.push(piece);
    }
    Ok(pieces)
}

fn too_many() -> Objection {
    Objection::refused(
        Rule::TextSize,
        format!("The statement has more than {MAX_PIECES} words and signs."),
        "Shorten it: replace long lists of values by a range or a join, or split the question over several calls.",
    )
}

struct Lexer<'a> {
    sql: &'a str,
    dialect: Dialect,
    at: usize,
    path: Path,
}

/// Where in the path of a stage, in which the first signs of a comment or a text may belong to the path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    Outside,
    /// In the name of the stage, which may be quoted.
    Name,
    /// Behind the first slash.
    Files,
}

impl<'a> Lexer<'a> {
    fn next_piece(&mut self) -> Result<Option<Piece<'a>>, Objection> {
        self.skip_white_space();
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(None) };
        self.no_quotes_in_path(rest, first)?;
        let (kind, length) = self.measure(rest, first)?;
        self.path = match (first, self.path) {
            ('@', _) => Path::Name,
            ('(' | ')' | ',' | ';', _) => Path::Outside,
            ('/', Path::Name) => Path::Files,
            (_, path) => path,
        };
        let piece = Piece { kind, start: self.at, text: rest.get(..length).unwrap_or(rest) };
        self.at = piece.end();
        Ok(Some(piece))
    }

    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    fn skip_white_space(&mut self) {
        let rest = self.rest();
        let space = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if space > 0 {
            self.path = Path::Outside;
        }
        self.at += space;
    }

    fn measure(&self, rest: &str, first: char) -> Result<(PieceKind, usize), Objection> {
        use PieceKind as K;
        let snowflake = self.dialect == Dialect::Snowflake;
        match first {
            '-' if rest.starts_with("--") => self.line_comment(rest),
            '/' if snowflake && rest.starts_with("//") => self.line_comment(rest),
            '/' if rest.starts_with("/*") => self.block_comment(rest),
            '#' => {
                Err(self.foreign("#", "not every engine takes it for a comment", "Write comments with --."))
            }
            '\'' => self.text(rest, snowflake).map(|length| (K::Text, length)),
            '"' => self.name(rest, '"').map(|length| (K::Name, length)),
            '`' if !snowflake => self.name(rest, '`').map(|length| (K::Name, length)),
            '`' => Err(self.foreign("`", "names are quoted differently here", "Quote names with \".")),
            '[' if !snowflake => self.bracketed(rest),
            '$' if rest.starts_with("$$") => self.dollar_text(rest, snowflake),
            '$' | '@' | ':' | '?' => self.marked(rest, first),
            '0'..='9' => Ok((K::Number, number(rest))),
            c if is_word_start(c) => self.word(rest),
            c if c.is_ascii() => Ok((K::Sign, sign(rest))),
            c => Err(self.look_alike(c)),
        }
    }

    fn line_comment(&self, rest: &str) -> Result<(PieceKind, usize), Objection> {
        self.not_in_path(rest)?;
        Ok((PieceKind::Comment, rest.find('\n').unwrap_or(rest.len())))
    }

    fn block_comment(&self, rest: &str) -> Result<(PieceKind, usize), Objection> {
        self.not_in_path(rest)?;
        let inside = rest.get(2..).unwrap_or_default();
        let Some(end) = inside.find("*/") else { return Err(self.unclosed("/*", "comment")) };
        let comment = inside.get(..end).unwrap_or_default();
        if comment.starts_with('!') {
            return Err(self.foreign(
                "/*!",
                "some engines run what stands in such a comment",
                "Remove the comment.",
            ));
        }
        // The first slash of `/*/` may be taken for the end of one comment or the start of another.
        if comment.contains("/*") || comment.starts_with('/') {
            return Err(self.foreign(
                "/* ... /*",
                "engines disagree where a comment within a comment ends",
                "Remove the inner '/*' from the comment.",
            ));
        }
        Ok((PieceKind::Comment, end + 4))
    }

    fn not_in_path(&self, rest: &str) -> Result<(), Objection> {
        if self.path != Path::Outside {
            let start: String = rest.chars().take(2).collect();
            return Err(self.foreign(
                &start,
                "within a stage's path it is not clear whether a comment begins",
                "Put the path in single quotes, or remove the comment.",
            ));
        }
        Ok(())
    }

    /// Objects to quotes in a path, but for those around the names of the stage, its schema and its database.
    fn no_quotes_in_path(&self, rest: &str, first: char) -> Result<(), Objection> {
        let before = self.sql.get(..self.at).unwrap_or_default();
        let name = self.path == Path::Name && first == '"' && before.ends_with(['@', '.', '%']);
        let quote = matches!(first, '\'' | '"') || rest.starts_with("$$");
        if self.path != Path::Outside && quote && !name {
            return Err(self.foreign(
                &first.to_string(),
                "within a stage's path it is not clear whether quotes begin",
                "Put the whole path in single quotes.",
            ));
        }
        Ok(())
    }

    fn text(&self, rest: &str, backslashes: bool) -> Result<usize, Objection> {
        let bytes = rest.as_bytes();
        let mut at = 1;
        while let Some(&byte) = bytes.get(at) {
            match byte {
                b'\\' if backslashes => at += 2,
                b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
                b'\'' => return Ok(at + 1),
                _ => at += 1,
            }
        }
        Err(self.unclosed("'", "text"))
    }

    fn name(&self, rest: &str, quote: char) -> Result<usize, Objection> {
        let mut characters = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = characters.next() {
            if c == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
                return Ok(at + 1);
            }
        }
        Err(self.unclosed(&quote.to_string(), "name"))
    }

    fn bracketed(&self, rest: &str) -> Result<(PieceKind, usize), Objection> {
        match rest.find(']') {
            Some(end) => Ok((PieceKind::Name, end + 1)),
            None => Err(self.unclosed("[", "name")),
        }
    }

    fn dollar_text(&self, rest: &str, snowflake: bool) -> Result<(PieceKind, usize), Objection> {
        if !snowflake {
            return Err(self.foreign("$$", "SQLite knows no such quotes", "Write texts in single quotes."));
        }
        match rest.get(2..).and_then(|inside| inside.find("$$")) {
            Some(end) => Ok((PieceKind::Text, end + 4)),
            None => Err(self.unclosed("$$", "text")),
        }
    }

    /// A variable or a parameter with its sign, or the sign alone.
    fn marked(&self, rest: &str, mark: char) -> Result<(PieceKind, usize), Objection> {
        let word = 1 + word_length(rest.get(1..).unwrap_or_default());
        let snowflake = self.dialect == Dialect::Snowflake;
        if mark == '$' && rest.get(1..word).is_some_and(|name| name.contains('$')) {
            let words = rest.get(..word).unwrap_or(rest);
            return Err(self.foreign(
                words,
                "some engines take it for quotes",
                "Write texts in single quotes, or rename the variable.",
            ));
        }
        if snowflake && mark != '$' {
            return Ok((PieceKind::Sign, sign(rest)));
        }
        let after = rest.get(word..).unwrap_or_default();
        if !snowflake && word > 1 && (after.starts_with('(') || after.starts_with("::")) {
            let words = rest.get(..word).unwrap_or(rest);
            return Err(self.foreign(
                words,
                "a parameter may take in what follows",
                "Use a plain parameter such as ?1.",
            ));
        }
        Ok(if word > 1 { (PieceKind::Word, word) } else { (PieceKind::Sign, sign(rest)) })
    }

    fn word(&self, rest: &str) -> Result<(PieceKind, usize), Objection> {
        let length = word_length(rest);
        let word = rest.get(..length).unwrap_or(rest);
        if let Some(look_alike) = look_alike_in(word) {
            return Err(self.look_alike(look_alike));
        }
        let after = rest.get(length..).unwrap_or_default();
        if word.eq_ignore_ascii_case("x") && after.starts_with('\'') {
            return self.blob(rest);
        }
        if word.contains("$$") {
            return Err(self.foreign(
                word,
                "it may be a name, or quotes that begin behind one",
                "Quote the name with \".",
            ));
        }
        let prefix = ["n", "e", "b", "r", "q", "u", "nq", "br", "rb"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known));
        if prefix && (after.starts_with('\'') || after.starts_with("&'") || after.starts_with("&\"")) {
            return Err(self.foreign(
                &format!("{word}'"),
                "engines read a letter before a quote differently",
                "Write the text in plain single quotes.",
            ));
        }
        Ok((PieceKind::Word, length))
    }

    fn blob(&self, rest: &str) -> Result<(PieceKind, usize), Objection> {
        let digits = rest.bytes().skip(2).take_while(u8::is_ascii_hexdigit).count();
        if rest.as_bytes().get(digits + 2) == Some(&b'\'') {
            return Ok((PieceKind::Text, digits + 3));
        }
        Err(self.foreign(
            "X'",
            "what follows is no hexadecimal number",
            "Write two hexadecimal digits for each byte, or a plain text in single quotes.",
        ))
    }

    fn foreign(&self, words: &str, why: &str, mend: &str) -> Objection {
        Objection::refused(Rule::ForeignQuoting, format!("{}{{at}}: {why}.", quoted(words)), mend).at(self.at)
    }

    fn unclosed(&self, quote: &str, what: &str) -> Objection {
        Objection::refused(
            Rule::ForeignQuoting,
            format!("The {what} that begins with {}{{at}} is not closed.", quoted(quote)),
            format!("Close the {what}; inside it, double the closing sign."),
        )
        .at(self.at)
    }

    fn look_alike(&self, c: char) -> Objection {
        Objection::refused(
            Rule::HiddenCharacters,
            format!("The character U+{:04X} {}{{at}} can be taken for another one.", u32::from(c), quoted(&c.to_string())),
            "Outside quotes use plain ASCII signs and letters; put names with other letters in double quotes.",
        )
        .at(self.at)
    }
}

/// A letter that changes to an ASCII one with its case, or by which the parser takes `word` for a keyword.
fn look_alike_in(word: &str) -> Option<char> {
    let foreign = || word.chars().filter(|c| !c.is_ascii());
    let folds = |c: &char| one_ascii(c.to_uppercase()) || one_ascii(c.to_lowercase());
    let keyword =
        matches!(Token::make_word(word, None), Token::Word(word) if word.keyword != Keyword::NoKeyword);
    if keyword { foreign().next() } else { foreign().find(|c| folds(c)) }
}

fn one_ascii(mut changed: impl Iterator<Item = char>) -> bool {
    changed.next().is_some_and(|c| c.is_ascii()) && changed.next().is_none()
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || !c.is_ascii() && c.is_alphanumeric()
}

fn is_word_part(c: char) -> bool {
    is_word_start(c) || c == '$' || c.is_ascii_digit()
}

fn word_length(rest: &str) -> usize {
    rest.find(|c| !is_word_part(c)).unwrap_or(rest.len())
}

/// The length of the number at the start of `rest`.
fn number(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let part = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.');
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        let signed = matches!(byte, b'+' | b'-')
            && matches!(bytes.get(at - 1), Some(b'e' | b'E'))
            && !rest.starts_with("0x");
        if !part(byte) && !signed {
            break;
        }
        at += 1;
    }
    at
}

/// The length of the sign at the start of `rest`.
fn sign(rest: &str) -> usize {
    ["->>", "->", "::", ":=", "=>", "||", "<=", ">=", "<>", "!=", "=="]
        .iter()
        .find(|sign| rest.starts_with(**sign))
        .map_or(1, |sign| sign.len())
}
