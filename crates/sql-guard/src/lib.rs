//! Tells from a statement's text whether it only reads.
//!
//! [`judge`] takes the caller's text and the engine's dialect and gives a [`Verdict`]: a [`Kind`], the [`Rule`] that
//! decided, the place, and a message that says what to change. The text itself is never rewritten; send the engine what
//! the caller wrote, or nothing.
//!
//! | kind | meaning | what a caller does |
//! |---|---|---|
//! | `read`, `metadata` | passed every check | runs it |
//! | `write` | changes something, or nothing proves that it does not | runs it only where writing is allowed, and confirmed |
//! | `refused` | hides something, is several statements, or cannot work here | never runs it |
//!
//! # What it promises
//!
//! - One statement. The text is cut into pieces by the engine's documented rules for quotes and comments, the parser's
//!   own reading of them must agree, nothing may follow a semicolon, and the parser must reach the end of the text.
//! - An allow-list of kinds: queries; EXPLAIN of a query; SHOW, DESCRIBE and LIST; SQLite's pragmas that only tell
//!   something; and chains of these with `->>`. Everything else is `write`, what cannot be parsed too.
//! - No effect inside a query: no INSERT, UPDATE, DELETE, MERGE, procedure, INTO or row lock anywhere in the tree.
//! - Functions by allow-list. Every name before a parenthesis is looked up among the engine's own functions, with or
//!   without quotes, comments between, or a table around it; what the parser makes of it plays a part only for names that
//!   are keywords elsewhere: those it takes for functions are looked up too. A name that is
//!   not among them may be a user's function with any effect (in Snowflake an unqualified name is one if the current
//!   schema has it), so it is `write` until the operator allows it in [`Allowances`]; so are names put together at run
//!   time, all of `SYSTEM$...` but a few that tell something, sequences, addresses of files, and models that cost money.
//! - Bounds: 64 KiB, 20,000 words and signs, 100 brackets deep, 1,000 joins, 1,500 times NOT or CASE, a thread with a
//!   stack of its own for each verdict, and no panic: if the parser panics, the verdict is `refused` with the rule
//!   `guard-failure`.
//!
//! # What it does not promise
//!
//! It is not the boundary; the engine is. A role that may only read, a connection opened read-only, and an authorizer
//! hold against what no parser sees: views and tables whose reading runs a user's function (masking policies, external
//! tables), functions the operator allowed, a flaw in the engine. It says nothing about cost: a cross join of two large
//! tables is a read. It does not check that tables exist or that the caller may see them. And a text it calls a read
//! may still be a syntax error to the engine.
//!
//! `unparsed` is given only to a text that keeps every other rule: one statement, a head that reads, no function that is
//! not known, nothing from a stage. A caller whose engine was proven to refuse writes may send such a text to the engine
//! and let it say what is wrong; no other rule may be waived.
//!
//! # How it is held to that
//!
//! - `cargo test -p sql-guard`: a corpus of judged statements (`tests/corpus`), and a few seconds of random changes to
//!   it against a second reader that knows nothing of this one.
//! - `GUARD_FUZZ_SECONDS=600 cargo test --release -p sql-guard --test fuzz -- --nocapture`: the same for longer.
//! - `cargo run --release -p sql-guard --example verdict_times`: how long verdicts take, over the corpus and hostile texts.
//! - `cargo mutants -p sql-guard --timeout 20 -j 2`: changes the code in some 700 ways, and none may go unnoticed by the
//!   tests that `.cargo/mutants.toml` names. A change after which the guard never ends counts as noticed.

mod adapt;
mod allowances;
mod calls;
mod heads;
mod lexer;
mod literal;
mod query;
mod question;
mod stages;
mod text;
mod tokens;
mod verdict;

use std::thread;

pub use allowances::Allowances;
use question::Question;
use serde::{Deserialize, Serialize};
use verdict::Objection;
pub use verdict::{Kind, Position, Rule, Verdict};

/// Whose rules a text is read by; it must be the engine that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Snowflake.
    Snowflake,
    /// SQLite.
    Sqlite,
}

/// Room for the deepest tree a text of the greatest length gives, in a build without optimisation.
const STACK_BYTES: usize = 128 * 1024 * 1024;

/// Says what `sql` would do if `dialect`'s engine ran it.
///
/// Takes microseconds for what people write and at most a quarter of a second for what they do not; it never panics.
pub fn judge(sql: &str, dialect: Dialect, allowances: &Allowances) -> Verdict {
    match on_own_stack(|| judged(sql, dialect, allowances)) {
        Ok(Ok(kind)) => Verdict::allowed(sql, kind),
        Ok(Err(objection)) => Verdict::objecting(sql, objection),
        Err(reason) => Verdict::objecting(sql, failure(reason)),
    }
}

fn judged(sql: &str, dialect: Dialect, allowances: &Allowances) -> Result<Kind, Objection> {
    text::check(sql)?;
    let pieces = lexer::pieces(sql, dialect)?;
    let words = heads::one_statement(&pieces)?;
    heads::judge(&Question::new(sql, dialect, allowances, &pieces), &words)
}

/// Long chains of operators make deep trees, deeper than the stack of a common thread.
fn on_own_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, &'static str> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("sql-guard".to_owned()).stack_size(STACK_BYTES);
        let Ok(worker) = builder.spawn_scoped(scope, work) else { return Err("no thread could be started") };
        worker.join().map_err(|_| "the parser stopped halfway")
    })
}

fn failure(reason: &str) -> Objection {
    Objection::refused(
        Rule::GuardFailure,
        format!("The statement could not be checked: {reason}."),
        "Try again; if it fails again, write the statement in a simpler way.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_the_guard_is_a_refusal_and_not_the_callers_panic() {
        let outcome = on_own_stack(|| panic!("as a parser might"));
        let reason = outcome.map(|()| "").unwrap_or_else(|reason| reason);
        let verdict = Verdict::objecting("SELECT 1", failure(reason));
        assert_eq!((verdict.kind, verdict.rule), (Kind::Refused, Rule::GuardFailure));
        assert!(verdict.message.contains("the parser stopped halfway"), "{}", verdict.message);
    }
}
