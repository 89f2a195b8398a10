//! Carries statements from their submission to their end, in real time.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::history::{Order, Outcome, Query, QueryError, now_ms};
use super::service::Service;
use super::statement::{self, Plan, Statement, understand};
use super::table::{Cell, Column, Kind, SELECT, SESSION, Table};

const NO_DATABASE: &str = "Cannot perform SELECT. This session does not have a current database. Call \
     'USE DATABASE', or use a qualified name.";

/// A statement that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) query: Arc<Query>,
    /// It compiled, and runs: an asynchronous submission says so even if it has ended in the meantime.
    pub(super) runs: bool,
}

/// Takes a statement. One that does not compile has ended when this returns.
pub(super) async fn submit(service: &Arc<Service>, order: Order, wanted: usize) -> Taken {
    let understood = understand(&order.sql, wanted);
    let compiled = match understood {
        Ok(statement) => compile(service, &statement, &order).await.map(|_| statement),
        Err(error) => Err(error),
    };
    let query = service.history.add(order);
    let runs = compiled.is_ok();
    match compiled {
        Ok(statement) => start(service, &query, statement),
        Err(error) => service.history.end(&query, "FAILED_WITH_ERROR", Err(error)),
    }
    Taken { query, runs }
}

/// The columns of a statement that is not to run.
pub(super) async fn describe(service: &Arc<Service>, order: &Order) -> Result<Table, QueryError> {
    let statement = understand(&order.sql, 1)?;
    compile(service, &statement, order).await
}

async fn compile(service: &Arc<Service>, statement: &Statement, order: &Order) -> Result<Table, QueryError> {
    let Plan::Sql(sql) = &statement.plan else {
        return Ok(Table::message("", SELECT));
    };
    if order.context.database.is_none() && statement::needs_database(&order.sql) {
        return Err(QueryError::new("090105", "22000", NO_DATABASE));
    }
    let (service, sql, order) = (Arc::clone(service), sql.clone(), order.clone());
    let compiling =
        tokio::task::spawn_blocking(move || service.warehouse.compile(&sql, &order, &service.history));
    compiling.await.unwrap_or_else(|fault| Err(QueryError::new("000603", "XX000", fault.to_string())))
}

/// Starts again what a service that was killed left unfinished.
pub(super) fn resume(service: &Arc<Service>, query: &Arc<Query>) {
    match understand(&query.order.sql, 1) {
        Ok(statement) => start(service, query, statement),
        Err(error) => service.history.end(query, "FAILED_WITH_ERROR", Err(error)),
    }
}

fn start(service: &Arc<Service>, query: &Arc<Query>, statement: Statement) {
    let first = statement.hints.phases.first().map_or("RUNNING", |(status, _)| status);
    query.enter(first);
    let (service, query) = (Arc::clone(service), Arc::clone(query));
    tokio::spawn(async move {
        let (status, outcome) = live(&service, &query, &statement).await;
        service.history.end(&query, &status, outcome);
        service.log.write(json!({ "event": "end", "handle": query.order.handle, "status": status }));
    });
}

/// From the queue to the end, whatever ends it first.
async fn live(service: &Arc<Service>, query: &Query, statement: &Statement) -> (String, Outcome) {
    let limit = query.order.timeout_seconds;
    let never = CancellationToken::new();
    let cancel = if statement.hints.ignores_cancel { &never } else { &query.cancel };
    tokio::select! {
        biased;
        () = cancel.cancelled() => {
            query.enter("ABORTING");
            query.stay(statement.hints.aborting).await;
            ("ABORTED".to_owned(), Err(QueryError::canceled()))
        }
        () = sleep(Duration::from_secs(limit)) => {
            ("FAILED_WITH_ERROR".to_owned(), Err(QueryError::timed_out(limit)))
        }
        () = service.detached(query) => ("ABORTED".to_owned(), Err(QueryError::canceled())),
        end = work(service, query, statement) => end,
    }
}

async fn work(service: &Arc<Service>, query: &Query, statement: &Statement) -> (String, Outcome) {
    let hints = &statement.hints;
    for (status, time) in &hints.phases {
        query.enter(status);
        query.stay(*time).await;
    }
    query.enter("RUNNING");
    service.log.write(json!({
        "event": "execute", "handle": query.order.handle, "sql": query.order.sql,
        "request_id": query.order.request_id, "session": query.order.session, "tag": query.order.tag,
        "context": query.order.context, "parameters": query.order.parameters,
        "timeout_seconds": query.order.timeout_seconds,
    }));
    let (outcome, ()) = tokio::join!(perform(service, query, &statement.plan), query.stay(hints.runs));
    match (&hints.ends, outcome) {
        (Some((status, error)), _) => (status.clone(), Err(error.clone())),
        (None, Ok(table)) => {
            ("SUCCESS".to_owned(), Ok(at_most(query.order.row_limit(), cut(table, hints.cut))))
        }
        (None, Err(error)) => ("FAILED_WITH_ERROR".to_owned(), Err(error)),
    }
}

fn cut(table: Arc<Table>, cut: bool) -> Arc<Table> {
    if cut { Arc::new(Table { cut, ..Table::clone(&table) }) } else { table }
}

/// No more rows than were asked for, and no word about the others.
fn at_most(limit: usize, table: Arc<Table>) -> Arc<Table> {
    if table.rows.len() <= limit {
        return table;
    }
    let mut table = Table::clone(&table);
    table.rows.truncate(limit);
    Arc::new(table)
}

async fn perform(service: &Arc<Service>, query: &Query, plan: &Plan) -> Outcome {
    match plan {
        Plan::Sql(sql) => {
            let (_stop, outcome) = service.warehouse.run(sql, &query.order, &service.history);
            outcome.await.unwrap_or_else(|_| Err(QueryError::new("000603", "XX000", "The engine broke.")))
        }
        Plan::Sample { rows, width, types } => {
            let (rows, width, types) = (*rows, *width, *types);
            let making = tokio::task::spawn_blocking(move || statement::sample(rows, width, types));
            Ok(Arc::new(making.await.unwrap_or_default()))
        }
        Plan::Scan(handle) => scan(service, handle),
        Plan::ShowGrants(role) => grants(&service.options().grants, role).map(Arc::new),
        other => Ok(Arc::new(session_command(service, query, other))),
    }
}

fn scan(service: &Service, handle: &str) -> Outcome {
    let found = service.history.get(handle).filter(|query| query.is_kept(service.options().result_validity));
    match found.and_then(|query| query.outcome()) {
        Some(Ok(table)) => Ok(table),
        Some(Err(error)) => Err(error),
        None => Err(QueryError::new("000709", "02000", format!("Statement {handle} not found"))),
    }
}

fn session_command(service: &Service, query: &Query, plan: &Plan) -> Table {
    let session = query.order.session.and_then(|id| service.sessions.get(id));
    match (plan, session) {
        (Plan::Alter(pairs), Some(session)) => session.set_parameters(pairs),
        (Plan::Use { object, name }, Some(session)) => session.use_object(object, name),
        (Plan::UseSecondaryRoles { all }, Some(session)) => {
            let roles = if *all { service.options().secondary_roles } else { vec![] };
            session.use_secondary_roles(roles);
        }
        (Plan::ShowWarehouses(name), _) => return warehouses(&service.options().warehouses, name),
        (Plan::ShowParameters(like), Some(session)) => return parameters(&session.parameters(), like),
        _ => {}
    }
    Table::message("Statement executed successfully.", SESSION)
}

fn grants(all: &[[String; 4]], role: &str) -> Result<Table, QueryError> {
    let of_role: Vec<_> = all.iter().filter(|[grantee, ..]| grantee == role).collect();
    if of_role.is_empty() && role != "PUBLIC" {
        let message = format!("SQL compilation error:\nRole '{role}' does not exist or not authorized.");
        return Err(QueryError::new("002003", "02000", message));
    }
    let text = |text: &str| Cell::Text(text.to_owned());
    let row = |[grantee, privilege, on, name]: &[String; 4]| {
        vec![
            Cell::Null,
            text(privilege),
            text(on),
            text(name),
            text("ROLE"),
            text(grantee),
            text("false"),
            text(""),
        ]
    };
    let names = [
        "created_on",
        "privilege",
        "granted_on",
        "name",
        "granted_to",
        "grantee_name",
        "grant_option",
        "granted_by",
    ];
    Ok(Table {
        columns: names.iter().map(|name| Column::new(name, Kind::Text)).collect(),
        rows: of_role.into_iter().map(row).collect(),
        statement_type: SESSION,
        ..Table::default()
    })
}

fn warehouses(all: &[(String, String, bool)], name: &str) -> Table {
    let text = |text: &str| Cell::Text(text.to_owned());
    let row = |(name, state, resumes): &(String, String, bool)| {
        vec![text(name), text(state), text("STANDARD"), text(&resumes.to_string())]
    };
    let columns = ["name", "state", "type", "auto_resume"];
    Table {
        columns: columns.iter().map(|name| Column::new(name, Kind::Text)).collect(),
        rows: all.iter().filter(|(known, ..)| known.eq_ignore_ascii_case(name)).map(row).collect(),
        statement_type: SESSION,
        ..Table::default()
    }
}

fn parameters(all: &[(String, String)], like: &str) -> Table {
    let names = ["key", "value", "default", "level", "description", "type"];
    let text = |text: &str| Cell::Text(text.to_owned());
    let row = |(key, value): &(String, String)| {
        vec![text(key), text(value), text(value), text(""), text(""), text("STRING")]
    };
    Table {
        columns: names.iter().map(|name| Column::new(name, Kind::Text)).collect(),
        rows: all.iter().filter(|(key, _)| key.contains(like)).map(row).collect(),
        statement_type: SESSION,
        ..Table::default()
    }
}

/// A new statement's handle: time first, so that later ones sort later.
pub(super) fn new_handle() -> String {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let time = now_ms();
    format!(
        "{:08x}-{:04x}-{}-{}-{}",
        (time >> 16) & 0xffff_ffff,
        time & 0xffff,
        random.get(..4).unwrap_or_default(),
        random.get(4..8).unwrap_or_default(),
        random.get(8..20).unwrap_or_default()
    )
}
