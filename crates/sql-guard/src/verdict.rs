//! What is said about a statement.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a statement would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Reads data and changes nothing.
    Read,
    /// Tells about objects and settings, and changes nothing.
    Metadata,
    /// Changes something, or may: nothing proves that it only reads.
    Write,
    /// Is not to run in any mode.
    Refused,
}

impl Kind {
    /// The word for it on the wire and in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Metadata => "metadata",
            Self::Write => "write",
            Self::Refused => "refused",
        }
    }

    /// Whether a statement of this kind leaves everything as it was.
    pub fn only_reads(self) -> bool {
        matches!(self, Self::Read | Self::Metadata)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The rule that decided; its name does not change between versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Every check was passed: the statement only reads.
    OnlyReads,
    /// The text is longer, or has more words and signs, than is looked at.
    TextSize,
    /// Characters that do not show, or show as something else.
    HiddenCharacters,
    /// Quotes or comments that not every engine ends at the same place.
    ForeignQuoting,
    /// Nothing to run.
    Empty,
    /// More than one statement.
    OneStatement,
    /// The first words name a statement that does not read.
    StatementKind,
    /// Begins, ends or marks a transaction.
    Transaction,
    /// Changes settings of the session.
    SessionState,
    /// Moves files between a stage and this machine, or opens files here.
    LocalFiles,
    /// A query with something inside that writes, locks or runs a procedure.
    WritesInsideQuery,
    /// A function that has an effect, or whose effect is not known.
    Function,
    /// Reads files from a stage.
    Stage,
    /// Not understood well enough to say that it only reads; all other rules are kept.
    Unparsed,
    /// The guard itself failed.
    GuardFailure,
}

impl Rule {
    /// The rule's name in answers and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnlyReads => "only-reads",
            Self::TextSize => "text-size",
            Self::HiddenCharacters => "hidden-characters",
            Self::ForeignQuoting => "foreign-quoting",
            Self::Empty => "empty",
            Self::OneStatement => "one-statement",
            Self::StatementKind => "statement-kind",
            Self::Transaction => "transaction",
            Self::SessionState => "session-state",
            Self::LocalFiles => "local-files",
            Self::WritesInsideQuery => "writes-inside-query",
            Self::Function => "function",
            Self::Stage => "stage",
            Self::Unparsed => "unparsed",
            Self::GuardFailure => "guard-failure",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The line, counted from 1.
    pub line: u32,
    /// The character within the line, counted from 1.
    pub column: u32,
    /// Bytes before it.
    pub offset: usize,
}

impl Position {
    /// The place of the byte at `offset` in `sql`.
    pub(crate) fn of(sql: &str, offset: usize) -> Self {
        let before = sql.get(..offset).unwrap_or(sql);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            line: count(before.matches('\n').count() + 1),
            column: count(before.get(line_start..).map_or(0, |line| line.chars().count()) + 1),
            offset: before.len(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// The judgement on a text.
///
/// It holds no part of the text but the few words quoted in `message`; for a log, `kind`, `rule`, `hash` and `length`
/// are enough to find the statement again without telling what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What the statement would do.
    pub kind: Kind,
    /// The rule that decided.
    pub rule: Rule,
    /// Where the decisive words stand, if they stand somewhere.
    pub position: Option<Position>,
    /// What was found and where, for the caller to read; empty for a statement that only reads.
    pub message: String,
    /// How to rewrite the statement so that it passes; empty for a statement that only reads.
    pub mend: String,
    /// FNV-1a of the text, 64 bits.
    pub hash: u64,
    /// The length of the text in bytes.
    pub length: usize,
}

impl Verdict {
    /// What was found, where, and what to do, in one text.
    pub fn explanation(&self) -> String {
        [self.message.as_str(), self.mend.as_str()].join(" ").trim().to_owned()
    }

    pub(crate) fn allowed(sql: &str, kind: Kind) -> Self {
        Self {
            kind,
            rule: Rule::OnlyReads,
            position: None,
            message: String::new(),
            mend: String::new(),
            hash: hash(sql),
            length: sql.len(),
        }
    }

    pub(crate) fn objecting(sql: &str, objection: Objection) -> Self {
        let position = objection.offset.map(|offset| Position::of(sql, offset));
        let place = position.map(|position| format!(" at {position}")).unwrap_or_default();
        Self {
            kind: objection.kind,
            rule: objection.rule,
            position,
            message: objection.found.replace("{at}", &place),
            mend: objection.mend,
            hash: hash(sql),
            length: sql.len(),
        }
    }
}

/// A reason not to call a statement a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Objection {
    pub(crate) kind: Kind,
    pub(crate) rule: Rule,
    pub(crate) offset: Option<usize>,
    /// A sentence; `{at}` in it stands for the place.
    pub(crate) found: String,
    pub(crate) mend: String,
}

impl Objection {
    pub(crate) fn refused(rule: Rule, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, rule, offset: None, found: found.into(), mend: mend.into() }
    }

    pub(crate) fn write(rule: Rule, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { kind: Kind::Write, rule, offset: None, found: found.into(), mend: mend.into() }
    }

    pub(crate) fn at(self, offset: usize) -> Self {
        Self { offset: Some(offset), ..self }
    }
}

/// Words of the statement as a message may show them: short, on one line, nothing invisible.
pub(crate) fn quoted(words: &str) -> String {
    const SHOWN: usize = 40;
    let mut shown: String = words.chars().take(SHOWN).map(visible).collect();
    if words.chars().nth(SHOWN).is_some() {
        shown.push_str("...");
    }
    format!("'{shown}'")
}

fn visible(c: char) -> String {
    match c {
        // A message has places to be filled in, and marks them with a brace.
        '{' => c.escape_unicode().to_string(),
        ' ' => c.to_string(),
        c if c.is_alphanumeric() || c.is_ascii_graphic() => c.to_string(),
        c => c.escape_unicode().to_string(),
    }
}

fn hash(text: &str) -> u64 {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}
