//! Tells from a statement's text whether it only reads.

mod adapt;
mod allowances;
mod calls;
mod heads;
mod lexer;
mod query;
mod text;
mod tokens;
mod verdict;

use std::thread;

pub use allowances::Allowances;
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
    let statement = heads::one_statement(&pieces)?;
    heads::judge(&heads::Question { sql, dialect, allowances }, &statement)
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
