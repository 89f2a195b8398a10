//! SQLite as the warehouse: one database in memory, a thread and a connection for each statement.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::functions::FunctionFlags;
use rusqlite::limits::Limit;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, ErrorCode, Row, Statement};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::history::{History, Order, Outcome, Query, QueryError};
use super::table::{Cell, Column, Kind, SELECT, Table};

/// More rows than any test wants; a statement without end must not fill the memory.
const MAX_ROWS: usize = 5_000_000;

/// The database.
#[derive(Debug)]
pub(super) struct Warehouse {
    address: String,
    /// The database lives as long as one connection does.
    _keeper: std::sync::Mutex<Connection>,
}

/// Stops a statement when dropped.
#[derive(Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Warehouse {
    pub(super) fn open() -> rusqlite::Result<Self> {
        let address = format!("file:/fake-{}?vfs=memdb", Uuid::new_v4());
        let keeper = std::sync::Mutex::new(Connection::open(&address)?);
        Ok(Self { address, _keeper: keeper })
    }

    /// Runs a statement on a thread of its own until it ends or the [`Stop`] is dropped.
    pub(super) fn run(
        &self,
        sql: &str,
        order: &Order,
        history: &Arc<History>,
    ) -> (Stop, oneshot::Receiver<Outcome>) {
        let stop = Stop::default();
        let (sender, receiver) = oneshot::channel();
        let (address, sql, order) = (self.address.clone(), sql.to_owned(), order.clone());
        let (history, stopped) = (Arc::clone(history), Arc::clone(&stop.0));
        thread::spawn(move || {
            let outcome = connect(&address, &order, &history, &stopped)
                .and_then(|connection| execute(&connection, &sql, &order))
                .map(Arc::new);
            // Nobody listens to a statement that was stopped.
            sender.send(outcome).ok();
        });
        (stop, receiver)
    }

    /// Compiles a statement, and tells its columns.
    pub(super) fn compile(
        &self,
        sql: &str,
        order: &Order,
        history: &Arc<History>,
    ) -> Result<Table, QueryError> {
        let connection = connect(&self.address, order, history, &Arc::default())?;
        let statement = connection.prepare(sql).map_err(explain)?;
        let columns = columns(&statement, &order.sql);
        Ok(Table { columns, statement_type: kind_of_statement(sql), ..Table::default() })
    }
}

fn connect(
    address: &str,
    order: &Order,
    history: &Arc<History>,
    stopped: &Arc<AtomicBool>,
) -> Result<Connection, QueryError> {
    let connect = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open(address)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        fill_history(&connection, history)?;
        // Set last: the service's own work needs the same limit lifted.
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        add_functions(&connection, order, history, stopped)?;
        let stopped = Arc::clone(stopped);
        connection.progress_handler(1000, Some(move || stopped.load(Ordering::Relaxed)))?;
        Ok(connection)
    };
    connect().map_err(explain)
}

/// The history as a table of this connection.
fn fill_history(connection: &Connection, history: &History) -> rusqlite::Result<()> {
    connection.execute_batch(
        "create temp table fake_history(query_id, query_text, query_tag, user_name, session_id integer, \
         execution_status, error_code, error_message, start_time timestamp_ltz, end_time timestamp_ltz)",
    )?;
    let mut insert = connection.prepare("insert into fake_history values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
    for query in history.all().iter().rev().take(100) {
        insert_query(&mut insert, query)?;
    }
    Ok(())
}

fn insert_query(insert: &mut Statement<'_>, query: &Query) -> rusqlite::Result<()> {
    let (order, state) = (&query.order, query.state());
    let error = state.outcome.as_ref().and_then(|outcome| outcome.as_ref().err());
    let session = order.session.map(u64::cast_signed);
    insert.execute((
        &order.handle,
        &order.sql,
        &order.tag,
        &order.context.user,
        session,
        &state.status,
        error.map(|error| &error.code),
        error.map(|error| &error.message),
        order.submitted_ms.cast_signed() * 1_000_000,
        state.ended_ms.map(|ended| ended.cast_signed() * 1_000_000),
    ))?;
    Ok(())
}

fn add_functions(
    connection: &Connection,
    order: &Order,
    history: &Arc<History>,
    stopped: &Arc<AtomicBool>,
) -> rusqlite::Result<()> {
    let (flags, context) = (FunctionFlags::SQLITE_UTF8, &order.context);
    let facts = HashMap::from([
        ("current_user", Some(context.user.clone())),
        ("current_role", context.role.clone()),
        ("current_warehouse", context.warehouse.clone()),
        ("current_database", context.database.clone()),
        ("current_schema", context.schema.clone()),
        ("current_session", order.session.map(|session| session.to_string())),
        ("current_account", Some("FAKE".to_owned())),
        ("current_version", Some("10.0.0".to_owned())),
    ]);
    for (name, value) in facts {
        connection.create_scalar_function(name, 0, flags, move |_| Ok(value.clone()))?;
    }
    let secondary = secondary_roles(&context.secondary_roles);
    connection.create_scalar_function("current_secondary_roles", 0, flags, move |_| Ok(secondary.clone()))?;
    if let Some(agent) = context.agent {
        connection.create_scalar_function("sys_context", 2, flags, move |_| Ok(agent.to_string()))?;
    }
    connection.create_scalar_function("contains", 2, flags, |call| {
        let (text, part): (Option<String>, Option<String>) = (call.get(0)?, call.get(1)?);
        Ok(text.zip(part).map(|(text, part)| text.contains(&part)))
    })?;
    let stopped = Arc::clone(stopped);
    connection.create_scalar_function("system$wait", 1, flags, move |call| {
        Ok(wait(call.get::<f64>(0)?, &stopped))
    })?;
    let history = Arc::clone(history);
    connection.create_scalar_function("system$cancel_query", 1, flags, move |call| {
        Ok(cancel(&history, &call.get::<String>(0)?))
    })
}

/// As `CURRENT_SECONDARY_ROLES` tells them.
fn secondary_roles(roles: &[String]) -> String {
    let value = if roles.is_empty() { "" } else { "ALL" };
    serde_json::json!({ "roles": roles.join(","), "value": value }).to_string()
}

fn wait(seconds: f64, stopped: &AtomicBool) -> String {
    let start = Instant::now();
    while start.elapsed().as_secs_f64() < seconds && !stopped.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
    format!("waited {seconds} seconds")
}

fn cancel(history: &History, handle: &str) -> String {
    match history.get(handle) {
        Some(query) if query.is_running() => {
            query.cancel.cancel();
            format!("query [{handle}] terminated.")
        }
        _ => "Identified SQL statement is not currently executing.".to_owned(),
    }
}

fn execute(connection: &Connection, sql: &str, order: &Order) -> Result<Table, QueryError> {
    let mut statement = connection.prepare(sql).map_err(explain)?;
    bind(&mut statement, order)?;
    if statement.column_count() == 0 {
        let changed = statement.raw_execute().map_err(explain)?;
        return Ok(changed_rows(sql, changed));
    }
    let mut columns = columns(&statement, &order.sql);
    let mut values = vec![];
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(explain)? {
        values.push(read(row, columns.len()).map_err(explain)?);
        if values.len() > MAX_ROWS {
            return Err(QueryError::new(
                "000604",
                "57014",
                "The result has more rows than this service holds.",
            ));
        }
    }
    for (place, column) in columns.iter_mut().enumerate() {
        settle(column, place, &mut values);
    }
    Ok(Table { columns, rows: values, statement_type: kind_of_statement(sql), ..Table::default() })
}

fn bind(statement: &mut Statement<'_>, order: &Order) -> Result<(), QueryError> {
    let wanted = statement.parameter_count();
    for (place, (kind, value)) in order.bindings.iter().enumerate().take(wanted) {
        let value = match (kind.as_str(), value) {
            (_, None) => Value::Null,
            ("FIXED", Some(text)) => text.parse().map_or(Value::Text(text.clone()), Value::Integer),
            ("REAL", Some(text)) => text.parse().map_or(Value::Text(text.clone()), Value::Real),
            ("BOOLEAN", Some(text)) => Value::Integer(i64::from(text == "true")),
            (_, Some(text)) => Value::Text(text.clone()),
        };
        statement.raw_bind_parameter(place + 1, value).map_err(explain)?;
    }
    if order.bindings.len() < wanted {
        return Err(QueryError::new("002049", "42601", "SQL compilation error:\nBind variable ? not set."));
    }
    Ok(())
}

fn changed_rows(sql: &str, changed: usize) -> Table {
    let statement_type = kind_of_statement(sql);
    if !(12_288..16_384).contains(&statement_type) {
        return Table::message("Statement executed successfully.", statement_type);
    }
    let name = match statement_type {
        12_544 => "number of rows inserted",
        12_800 => "number of rows updated",
        _ => "number of rows deleted",
    };
    let columns = vec![Column::new(name, Kind::Fixed { precision: 19, scale: 0 })];
    let rows = vec![vec![Cell::Integer(changed as i128)]];
    Table { columns, rows, statement_type, changed: changed as u64, cut: false }
}

/// The drivers' number of a kind of statement.
fn kind_of_statement(sql: &str) -> u32 {
    let first = sql.split_whitespace().next().unwrap_or_default().to_lowercase();
    match first.as_str() {
        "insert" | "replace" => 12_544,
        "update" => 12_800,
        "delete" => 13_056,
        "create" | "drop" | "alter" => 24_576,
        _ => SELECT,
    }
}

/// Names as Snowflake writes them: upper case unless the statement has them in quotes.
fn columns(statement: &Statement<'_>, sql: &str) -> Vec<Column> {
    let column = |column: rusqlite::Column<'_>| {
        let name = match column.name() {
            "fake_seq" => "SEQ4()".to_owned(),
            name if sql.contains(&format!("\"{name}\"")) => name.to_owned(),
            name => name.to_uppercase(),
        };
        Column::new(&name, declared(column.decl_type().unwrap_or_default()))
    };
    statement.columns().map(column).collect()
}

/// The type of a declaration; text stands for "not known yet".
fn declared(declaration: &str) -> Kind {
    let lower = declaration.to_lowercase();
    match lower.split('(').next().unwrap_or_default().trim() {
        "boolean" => Kind::Boolean,
        "date" => Kind::Date,
        "timestamp_ltz" => Kind::TimestampLtz { scale: 9 },
        "timestamp" | "timestamp_ntz" | "datetime" => Kind::TimestampNtz { scale: 9 },
        "variant" => Kind::Variant,
        "int" | "integer" | "bigint" | "number" | "numeric" => Kind::Fixed { precision: 38, scale: 0 },
        "float" | "double" | "real" => Kind::Real,
        "binary" | "blob" => Kind::Binary,
        _ => Kind::Text,
    }
}

fn read(row: &Row<'_>, columns: usize) -> rusqlite::Result<Vec<Cell>> {
    (0..columns)
        .map(|place| {
            Ok(match row.get_ref(place)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(value) => Cell::Integer(i128::from(value)),
                ValueRef::Real(value) => Cell::Real(value),
                ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Cell::Binary(bytes.to_vec()),
            })
        })
        .collect()
}

/// Makes a column's values agree with one type: the declared one if they fit, else what they are.
fn settle(column: &mut Column, place: usize, rows: &mut [Vec<Cell>]) {
    if column.kind == Kind::Text {
        column.kind = observed(rows.iter().filter_map(|row| row.get(place)));
    }
    if !rows.iter_mut().filter_map(|row| row.get_mut(place)).all(|cell| convert(cell, column.kind)) {
        column.kind = Kind::Text;
        let cells = rows.iter_mut().filter_map(|row| row.get_mut(place));
        cells.for_each(|cell| *cell = as_text(cell));
    }
}

fn observed<'a>(cells: impl Iterator<Item = &'a Cell>) -> Kind {
    let mut kind = None;
    let mut digits = 1;
    for cell in cells {
        let this = match cell {
            Cell::Null => continue,
            Cell::Integer(value) => {
                digits = digits.max(value.unsigned_abs().to_string().len());
                Kind::Fixed { precision: 0, scale: 0 }
            }
            Cell::Real(_) => Kind::Real,
            Cell::Binary(_) => Kind::Binary,
            _ => Kind::Text,
        };
        kind = match kind {
            None => Some(this),
            Some(kind) if kind == this => Some(kind),
            Some(_) => return Kind::Text,
        };
    }
    match kind {
        Some(Kind::Fixed { .. }) => Kind::Fixed { precision: u8::try_from(digits).unwrap_or(38), scale: 0 },
        other => other.unwrap_or(Kind::Text),
    }
}

/// Whether the cell could take the type.
fn convert(cell: &mut Cell, kind: Kind) -> bool {
    let converted = match (&*cell, kind) {
        (Cell::Null, _)
        | (Cell::Integer(_), Kind::Fixed { .. })
        | (Cell::Real(_), Kind::Real)
        | (Cell::Text(_), Kind::Text | Kind::Variant)
        | (Cell::Binary(_), Kind::Binary) => return true,
        (Cell::Integer(value), Kind::Boolean) => Some(Cell::Boolean(*value != 0)),
        (Cell::Integer(value), Kind::Real) => Some(Cell::Real(*value as f64)),
        (Cell::Integer(value), Kind::Date) => i32::try_from(*value).ok().map(Cell::Days),
        (Cell::Integer(value), Kind::TimestampNtz { .. } | Kind::TimestampLtz { .. }) => {
            i64::try_from(*value).ok().map(Cell::Nanos)
        }
        _ => None,
    };
    let fits = converted.is_some();
    converted.into_iter().for_each(|converted| *cell = converted);
    fits
}

fn as_text(cell: &Cell) -> Cell {
    match cell {
        Cell::Integer(value) => Cell::Text(value.to_string()),
        Cell::Real(value) => Cell::Text(value.to_string()),
        Cell::Boolean(value) => Cell::Text(value.to_string()),
        Cell::Binary(bytes) => Cell::Text(bytes.iter().map(|byte| format!("{byte:02X}")).collect()),
        other => other.clone(),
    }
}

/// SQLite's complaint with Snowflake's codes.
#[expect(clippy::needless_pass_by_value, reason = "it stands in map_err")]
fn explain(error: rusqlite::Error) -> QueryError {
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return QueryError::canceled();
    }
    let text = match &error {
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        rusqlite::Error::SqliteFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    };
    let compilation = |code: &str, state: &str, message: String| {
        QueryError::new(code, state, format!("SQL compilation error:\n{message}"))
    };
    if let Some(name) = text.strip_prefix("no such table: ") {
        let message = format!("Object '{}' does not exist or not authorized.", name.to_uppercase());
        return compilation("002003", "42S02", message);
    }
    if let Some(name) = text.strip_prefix("no such column: ") {
        return compilation("000904", "42000", format!("error line 1: invalid identifier '{name}'"));
    }
    if let Some(name) = text.strip_prefix("no such function: ") {
        return compilation("002140", "42601", format!("Unknown function {name}"));
    }
    if text.contains("syntax error") || text.contains("incomplete input") {
        return compilation("001003", "42000", format!("syntax error: {text}"));
    }
    if matches!(error, rusqlite::Error::SqlInputError { .. }) {
        return compilation("001044", "42P13", text);
    }
    QueryError::new("100038", "22018", text)
}
