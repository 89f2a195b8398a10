//! What a statement may do: SQLite's own authorizer, switches and limits, never a look at its text.
//!
//! The authorizer is an allow-list, asked while a statement is compiled, for everything it would do. Behind it stand a
//! connection opened read-only and the defensive switches, so that no single gap opens the database.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use crate::config::SqliteLimits;
use crate::functions;
use crate::stop::Brake;

/// Pragmas that only tell something, whatever argument they get.
const TELLING_PRAGMAS: &[&str] = &[
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "foreign_key_list",
    "function_list",
    "collation_list",
    "pragma_list",
    "module_list",
    "compile_options",
];

/// Pragmas that tell something without an argument and set it with one.
const READABLE_PRAGMAS: &[&str] = &[
    "user_version",
    "application_id",
    "schema_version",
    "data_version",
    "encoding",
    "page_size",
    "page_count",
];

/// Functions that reach outside the database or exist for SQLite's own tests, most of them not compiled in, and those
/// that can run for hours in one step.
const REFUSED_FUNCTIONS: &[&str] = &[
    "load_extension",
    "fts3_tokenizer",
    "fts5",
    "readfile",
    "writefile",
    "edit",
    "lsmode",
    "fsdir",
    "sqlite_log",
    "sqlite_readint32",
    "sqlite_offset",
    // Compares every key with every other in one step that nothing interrupts.
    "json_patch",
    "jsonb_patch",
];

/// Virtual tables whose data stay inside the database file.
const HARMLESS_MODULES: &[&str] = &["fts3", "fts4", "fts5", "fts5vocab", "fts4aux", "rtree", "rtree_i32"];

/// Whether statements may change data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// What the authorizer last refused, for the error text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Denials(Arc<Mutex<Option<String>>>);

impl Denials {
    fn note(&self, denial: String) {
        // The first refusal is the one that ends the statement; a guard poisoned by a panic still holds it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(denial);
    }

    /// The refusal since the last call, as a sentence.
    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Closes `connection` to everything that is not allowed; what it refuses is noted in the value returned.
pub(crate) fn close_in(
    connection: &mut Connection,
    access: Access,
    limits: &SqliteLimits,
    brake: &Brake,
) -> rusqlite::Result<Denials> {
    set_ceilings(connection, limits)?;
    set_switches(connection)?;
    functions::install(connection, limits.max_value_bytes, brake)?;
    set_pragmas(connection, access, limits)?;
    let denials = Denials::default();
    let noted = denials.clone();
    // From here on not even we can change a setting.
    connection.authorizer(Some(move |asked: AuthContext<'_>| match judge(&asked, access) {
        Ok(()) => Authorization::Allow,
        Err(denial) => {
            noted.note(denial);
            Authorization::Deny
        }
    }))?;
    Ok(denials)
}

fn set_ceilings(connection: &Connection, limits: &SqliteLimits) -> rusqlite::Result<()> {
    let clamp = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
    let ceilings = [
        (Limit::SQLITE_LIMIT_LENGTH, clamp(limits.max_value_bytes)),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, clamp(limits.max_sql_bytes)),
        (Limit::SQLITE_LIMIT_COLUMN, 1000),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 1000),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 500),
        (Limit::SQLITE_LIMIT_VDBE_OP, 1_000_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 64),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 100),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 100),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
        // Helper threads would have nobody who waits for them.
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ];
    for (limit, ceiling) in ceilings {
        connection.set_limit(limit, ceiling)?;
    }
    Ok(())
}

fn set_switches(connection: &Connection) -> rusqlite::Result<()> {
    let switches = [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE, false),
        // A misspelt column in double quotes is then an error, not a text that equals itself in every row.
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
    ];
    for (switch, on) in switches {
        connection.set_db_config(switch, on)?;
    }
    Ok(())
}

fn set_pragmas(connection: &Connection, access: Access, limits: &SqliteLimits) -> rusqlite::Result<()> {
    // Sorts spill to files: in memory, one ORDER BY would take as much as it sorts.
    connection.pragma_update(None, "temp_store", "FILE")?;
    connection.pragma_update(None, "cache_size", -i64::from(limits.cache_kib))?;
    connection.pragma_update(None, "mmap_size", 0)?;
    if limits.max_heap_bytes > 0 {
        connection.pragma_update(
            None,
            "hard_heap_limit",
            limits.max_heap_bytes.min(i64::MAX as u64) as i64,
        )?;
    }
    connection.pragma_update(None, "query_only", access == Access::ReadOnly)
}

/// Allows what `asked` wants, or says in a sentence why not.
fn judge(asked: &AuthContext<'_>, access: Access) -> Result<(), String> {
    match asked.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => Ok(()),
        AuthAction::Function { function_name } => judge_function(function_name),
        AuthAction::Pragma { pragma_name, pragma_value } => judge_pragma(pragma_name, pragma_value),
        action => match (kind_of(&action), access) {
            (Kind::Write(_), Access::ReadWrite) => Ok(()),
            (Kind::Write(verb), Access::ReadOnly) => Err(format!(
                "Refused: this statement writes ({verb}) and the server is read-only. Use SELECT, or ask the user to \
                 restart the server with --mode read-write."
            )),
            (Kind::Never(reason), _) => Err(format!("Refused: {reason}")),
        },
    }
}

fn judge_function(name: &str) -> Result<(), String> {
    if listed(REFUSED_FUNCTIONS, name) {
        return Err(format!(
            "Refused: the function {name}() is not allowed here. Write the query without it."
        ));
    }
    Ok(())
}

fn judge_pragma(name: &str, value: Option<&str>) -> Result<(), String> {
    if listed(TELLING_PRAGMAS, name) || (value.is_none() && listed(READABLE_PRAGMAS, name)) {
        return Ok(());
    }
    Err(format!(
        "Refused: PRAGMA {name} is not allowed here. Settings are fixed; for the schema use PRAGMA table_list, \
         PRAGMA table_info(TABLE), or SELECT sql FROM sqlite_schema."
    ))
}

fn listed(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

enum Kind {
    /// Changes data; allowed with writes.
    Write(&'static str),
    /// Not allowed at all, and why.
    Never(&'static str),
}

fn kind_of(action: &AuthAction<'_>) -> Kind {
    use AuthAction as A;
    match action {
        A::Insert { .. } => Kind::Write("INSERT"),
        A::Update { .. } => Kind::Write("UPDATE"),
        A::Delete { .. } => Kind::Write("DELETE"),
        A::CreateIndex { .. } | A::CreateTable { .. } | A::CreateTrigger { .. } | A::CreateView { .. } => {
            Kind::Write("CREATE")
        }
        A::DropIndex { .. } | A::DropTable { .. } | A::DropTrigger { .. } | A::DropView { .. } => {
            Kind::Write("DROP")
        }
        A::DropVtable { .. } => Kind::Write("DROP"),
        A::AlterTable { .. } => Kind::Write("ALTER TABLE"),
        A::Reindex { .. } => Kind::Write("REINDEX"),
        A::Analyze { .. } => Kind::Write("ANALYZE"),
        A::CreateVtable { module_name, .. } if listed(HARMLESS_MODULES, module_name) => Kind::Write("CREATE"),
        A::CreateVtable { .. } => Kind::Never("virtual tables of this module are not allowed here."),
        A::Attach { .. } | A::Detach { .. } => Kind::Never(
            "ATTACH, DETACH and VACUUM reach other files and are not allowed here. Query the tables of this database.",
        ),
        A::Transaction { .. } | A::Savepoint { .. } => Kind::Never(
            "every statement is a transaction of its own, so BEGIN, COMMIT, ROLLBACK and SAVEPOINT have no use here. \
             Submit the statement without them.",
        ),
        A::CreateTempIndex { .. }
        | A::CreateTempTable { .. }
        | A::CreateTempTrigger { .. }
        | A::CreateTempView { .. }
        | A::DropTempIndex { .. }
        | A::DropTempTable { .. }
        | A::DropTempTrigger { .. }
        | A::DropTempView { .. } => Kind::Never(
            "temporary objects would be gone before the next statement. Use WITH name AS (SELECT ...) instead.",
        ),
        _ => Kind::Never("this kind of statement is not allowed here. Use SELECT."),
    }
}

#[cfg(test)]
mod tests;
