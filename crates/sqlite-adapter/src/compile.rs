//! From a text to one statement that is allowed.

use fallible_iterator::FallibleIterator;
use registry_core::error::{ErrorInfo, ErrorKind};
use rusqlite::{Batch, Statement};

use crate::diagnosis;
use crate::lexer::{self, NotOne, Place};
use crate::open::Engine;

/// Why there is no statement to run.
#[derive(Debug)]
pub(crate) enum NotCompiled {
    /// The text is at fault.
    Rejected(ErrorInfo),
    /// It was stopped, its time ran out, or a lock kept it from reading the schema.
    Interrupted(rusqlite::Error),
}

/// Compiles `sql`, which must be exactly one statement.
pub(crate) fn one<'e>(engine: &'e Engine, sql: &str, writes: bool) -> Result<Statement<'e>, NotCompiled> {
    let span = lexer::statement_span(sql).map_err(|not_one| refuse_text(sql, not_one))?;
    let start = span.start;
    // `Connection::prepare` would compile the whole rest of the text too, each statement within the one before.
    let text = &sql[span];
    let mut batch = Batch::new(&engine.connection, text);
    let rejected = |error: rusqlite::Error| match diagnosis::is_stop(&error) {
        true => NotCompiled::Interrupted(error),
        false => NotCompiled::Rejected(diagnosis::of_text(engine, sql, start, &error)),
    };
    let statement = match batch.next() {
        Ok(Some(statement)) => statement,
        Ok(None) => return Err(refuse_text(sql, NotOne::Empty)),
        Err(error) => return Err(rejected(error)),
    };
    // The engine says where the first statement ends; what follows must be nothing, not even an error.
    if !matches!(batch.next(), Ok(None)) {
        return Err(refuse_text(sql, NotOne::Second(second_statement(text, &statement) + start)));
    }
    if !writes && !statement.readonly() {
        return Err(reject(
            ErrorKind::Refused,
            "Refused: this statement writes and the server is read-only. Use SELECT, or ask the user to restart the \
             server with --mode read-write.",
        ));
    }
    if statement.parameter_count() > 0 {
        return Err(reject(
            ErrorKind::Sql,
            "the statement has parameters (such as ? or :name) and there are no values for them. Write the values into \
             the statement.",
        ));
    }
    Ok(statement)
}

/// Where in `text` the statement after `first` begins.
fn second_statement(text: &str, first: &Statement<'_>) -> usize {
    let end = first.expanded_sql().map_or(0, |sql| sql.len());
    let rest = text.get(end..).unwrap_or("");
    let begins = |token: lexer::Token| {
        let outside = matches!(token.kind, lexer::TokenKind::Trivia | lexer::TokenKind::Semicolon);
        (!outside).then_some(end + token.span.start)
    };
    lexer::tokens(rest).find_map(begins).unwrap_or(end)
}

fn refuse_text(sql: &str, not_one: NotOne) -> NotCompiled {
    match not_one {
        NotOne::Empty => {
            reject(ErrorKind::Sql, "there is no statement in the text, only comments. Pass one.")
        }
        NotOne::Nul(at) => reject(
            ErrorKind::Refused,
            &format!("Refused: the text has a NUL character at {}. Remove it.", Place::of(sql, at)),
        ),
        NotOne::Second(at) => reject(
            ErrorKind::Refused,
            &format!(
                "Refused: this is more than one statement; a second one begins at {}. Submit one statement at a time.",
                Place::of(sql, at)
            ),
        ),
    }
}

fn reject(kind: ErrorKind, message: &str) -> NotCompiled {
    NotCompiled::Rejected(ErrorInfo::new(kind, message))
}
