//! What Snowflake itself would refuse: asked of the session, of its role, and of every role behind that one.
//!
//! Nothing of it is tried: a role that may write would write. None of the questions needs a warehouse.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use registry_core::backend::{BackendError, Fence};
use registry_core::error::ErrorKind;
use serde::Deserialize;
use serde_json::json;

/// One question's own time limit.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Roles behind the one of the session, itself among them, that are looked at.
const MOST_ROLES: usize = 24;
/// `SHOW` tells no more rows than these, so an answer of this size may lack some.
const MOST_GRANTS: usize = 10_000;
/// Offending privileges that are named.
const NAMED: usize = 3;
/// Every role has what this one has.
const EVERYBODY: &str = "PUBLIC";

const ROLE: &str = "SELECT CURRENT_ROLE()";
/// What tells which roles count besides the session's own.
pub(crate) const SECONDARY: &str = "SELECT CURRENT_SECONDARY_ROLES()";
const AGENT: &str = "SELECT SYS_CONTEXT('SNOWFLAKE$CURRENT', 'IS_AGENT_ACTIVATED')";

/// Marks the questions in the query history.
pub(crate) fn tag() -> String {
    json!({ "app": "async-query-mcp", "purpose": "fence" }).to_string()
}

/// A small answer, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Option<String>>>,
}

impl Table {
    fn first(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name.eq_ignore_ascii_case(column))
    }
}

/// Runs short statements of our own in the connection's own context.
#[async_trait]
pub(crate) trait Ask: Sync {
    async fn ask(&self, sql: &str) -> Result<Table, BackendError>;
}

/// Asks for everything, and judges it.
pub(crate) async fn prove(asked: &dyn Ask) -> Fence {
    judged(asked).await.unwrap_or_else(|error| {
        Fence::unknown(format!("Snowflake did not say what the role may do: {}", error.0.message))
    })
}

async fn judged(asked: &dyn Ask) -> Result<Fence, BackendError> {
    let Some(role) = asked.ask(ROLE).await?.first().map(str::to_owned) else {
        return Ok(Fence::unknown("The session has no role; name one for the connection."));
    };
    let agent = is_agent(asked).await?;
    let secondary = secondary_roles(asked).await?;
    if !secondary.is_empty() {
        return Ok(Fence::parser_only(format!(
            "Besides {role} the user's secondary roles count ({}); set ALLOWED_SECONDARY_ROLES = () by a session policy, \
             or DEFAULT_SECONDARY_ROLES = () for the user. {agent}",
            secondary.join(", ")
        )));
    }
    let found = grants(asked, &role).await?;
    if found.offences.is_empty() {
        return Ok(Fence::engine(format!(
            "Snowflake itself refuses what writes: {role} and the roles behind it ({}) may only read, own nothing, and \
             no secondary role counts. {agent}",
            found.roles.join(", ")
        )));
    }
    Ok(Fence::parser_only(format!(
        "Only the check of the SQL text holds writes back: {}. {agent}",
        told(&found.offences)
    )))
}

/// Whether the session is one that Snowflake knows to be an agent's, in a sentence.
async fn is_agent(asked: &dyn Ask) -> Result<&'static str, BackendError> {
    let yes = "The session is an agent's.";
    let no = "The session is not known as an agent's.";
    match asked.ask(AGENT).await {
        Ok(table) if table.first().is_some_and(|word| word.eq_ignore_ascii_case("true")) => Ok(yes),
        Ok(_) => Ok(no),
        // An account that does not know the question has no such sessions.
        Err(error) if is_about_the_statement(&error) => Ok(no),
        Err(error) => Err(error),
    }
}

fn is_about_the_statement(error: &BackendError) -> bool {
    matches!(error.0.kind, ErrorKind::Sql | ErrorKind::Permission)
}

/// `{"roles":"A,B","value":"ALL"}`
#[derive(Deserialize)]
struct Secondary {
    roles: String,
}

async fn secondary_roles(asked: &dyn Ask) -> Result<Vec<String>, BackendError> {
    secondary_roles_in(asked.ask(SECONDARY).await?.first())
}

/// The names in the answer to [`SECONDARY`].
pub(crate) fn secondary_roles_in(text: Option<&str>) -> Result<Vec<String>, BackendError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(Vec::new()) };
    let secondary: Secondary = serde_json::from_str(text).map_err(|_| unreadable("the secondary roles"))?;
    let names = secondary.roles.split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(names.map(str::to_owned).collect())
}

#[derive(Default)]
struct Found {
    /// Those that were looked at.
    roles: Vec<String>,
    /// What is more than reading.
    offences: Vec<String>,
}

/// A role, or a role of a database, as `SHOW GRANTS` names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Grantee {
    Role(String),
    /// The text is SQL, as Snowflake wrote it.
    DatabaseRole(String),
}

impl Grantee {
    fn question(&self) -> String {
        match self {
            Self::Role(name) => format!("SHOW GRANTS TO ROLE {}", quoted(name)),
            Self::DatabaseRole(name) => format!("SHOW GRANTS TO DATABASE ROLE {name}"),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Role(name) | Self::DatabaseRole(name) => name,
        }
    }
}

async fn grants(asked: &dyn Ask, role: &str) -> Result<Found, BackendError> {
    let mut found = Found::default();
    let mut known = BTreeSet::new();
    let first = [role, EVERYBODY].map(|name| Grantee::Role(name.to_owned()));
    let mut waiting: VecDeque<_> = first.into_iter().collect();
    while let Some(grantee) = waiting.pop_front() {
        if !known.insert(grantee.clone()) {
            continue;
        }
        if known.len() > MOST_ROLES {
            found
                .offences
                .push(format!("{role} stands on more than {MOST_ROLES} roles, which were not all looked at"));
            break;
        }
        let table = asked.ask(&grantee.question()).await?;
        waiting.extend(look(&grantee, &table, &mut found)?);
        found.roles.push(grantee.name().to_owned());
    }
    Ok(found)
}

/// The roles behind a role; what it has that is more than reading goes to the offences.
fn look(grantee: &Grantee, table: &Table, found: &mut Found) -> Result<Vec<Grantee>, BackendError> {
    if table.rows.len() >= MOST_GRANTS {
        let text = format!("{} has more grants than Snowflake tells of at once", grantee.name());
        return Err(BackendError::new(ErrorKind::ResourceLimit, text));
    }
    let places = [table.place("privilege"), table.place("granted_on"), table.place("name")];
    let [Some(privilege), Some(on), Some(name)] = places else {
        // A role without grants may come without columns, too.
        return if table.rows.is_empty() { Ok(Vec::new()) } else { Err(unreadable("the grants")) };
    };
    let mut behind = Vec::new();
    for row in &table.rows {
        let cell = |place: usize| row.get(place).and_then(Option::as_deref).unwrap_or_default();
        let (privilege, on, name) = (cell(privilege), cell(on).replace('_', " "), cell(name));
        match (privilege, on.as_str()) {
            ("USAGE", "ROLE") => behind.push(Grantee::Role(unquoted(name))),
            ("USAGE", "DATABASE ROLE") if is_dotted_name(name) => {
                behind.push(Grantee::DatabaseRole(name.to_owned()));
            }
            (privilege, on) if reads(privilege, on) => {}
            (privilege, on) => {
                found.offences.push(format!(
                    "{} has {privilege} on {} {name}",
                    grantee.name(),
                    on.to_lowercase()
                ));
            }
        }
    }
    Ok(behind)
}

/// Privileges with which nothing can be changed, made or sent away. What is not known is not among them.
fn reads(privilege: &str, on: &str) -> bool {
    match privilege {
        "SELECT" | "REFERENCES" => true,
        "USAGE" => matches!(on, "DATABASE" | "SCHEMA" | "WAREHOUSE" | "FILE FORMAT"),
        "MONITOR" => {
            matches!(on, "ACCOUNT" | "DATABASE" | "SCHEMA" | "WAREHOUSE" | "TASK" | "PIPE" | "DYNAMIC TABLE")
        }
        "MONITOR USAGE" | "MONITOR EXECUTION" | "RESOLVE ALL" => on == "ACCOUNT",
        "IMPORTED PRIVILEGES" => on == "DATABASE",
        "READ" => on == "STAGE",
        _ => false,
    }
}

fn told(offences: &[String]) -> String {
    let named = offences.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join("; ");
    match offences.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// A name as an identifier that means it exactly.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a role, which stands in quotes where it must.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// Two names with a dot between, each plain or in quotes: nothing else goes into a question as it came.
fn is_dotted_name(text: &str) -> bool {
    let (mut in_quotes, mut dots) = (false, 0);
    for c in text.chars() {
        match c {
            '"' => in_quotes = !in_quotes,
            '.' if !in_quotes => dots += 1,
            c if in_quotes && !c.is_control() => {}
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '$') => {}
            _ => return false,
        }
    }
    dots == 1 && !in_quotes
}

fn unreadable(what: &str) -> BackendError {
    BackendError::new(ErrorKind::Protocol, format!("{what} came in a form that is not known"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Mutex;

    use registry_core::backend::FenceKind;

    use super::*;

    /// Answers by question, and remembers them.
    #[derive(Default)]
    struct Scripted {
        answers: HashMap<String, Result<Table, BackendError>>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Ask for Scripted {
        async fn ask(&self, sql: &str) -> Result<Table, BackendError> {
            self.asked.lock().unwrap().push(sql.to_owned());
            self.answers.get(sql).cloned().unwrap_or_else(|| Ok(Table::default()))
        }
    }

    fn cell(text: &str) -> Table {
        Table { columns: vec!["A".to_owned()], rows: vec![vec![Some(text.to_owned())]] }
    }

    fn grants(rows: &[(&str, &str, &str)]) -> Table {
        let columns = ["created_on", "privilege", "granted_on", "name"].map(str::to_owned).to_vec();
        let text = |text: &str| Some(text.to_owned());
        let row =
            |(privilege, on, name): &(&str, &str, &str)| vec![None, text(privilege), text(on), text(name)];
        Table { columns, rows: rows.iter().map(row).collect() }
    }

    /// A session of the role READER that reads.
    fn reader() -> Scripted {
        let of_reader = grants(&[
            ("USAGE", "DATABASE", "SHOP"),
            ("SELECT", "TABLE", "SHOP.PUBLIC.ORDERS"),
            ("USAGE", "WAREHOUSE", "W"),
        ]);
        Scripted::default()
            .with(ROLE, Ok(cell("READER")))
            .with(SECONDARY, Ok(cell(r#"{"roles":"","value":""}"#)))
            .with(AGENT, Ok(cell("true")))
            .with("SHOW GRANTS TO ROLE \"READER\"", Ok(of_reader))
    }

    impl Scripted {
        fn with(mut self, sql: &str, answer: Result<Table, BackendError>) -> Self {
            self.answers.insert(sql.to_owned(), answer);
            self
        }
    }

    #[tokio::test]
    async fn a_role_that_only_reads_is_a_fence_of_the_engines() {
        let fence = prove(&reader()).await;
        assert_eq!(fence.kind, FenceKind::Engine, "{}", fence.detail);
        assert!(
            fence.detail.contains("READER, PUBLIC") && fence.detail.contains("is an agent's"),
            "{}",
            fence.detail
        );
    }

    #[tokio::test]
    async fn each_privilege_that_is_more_than_reading_breaks_the_fence_and_is_named() {
        for (privilege, on) in [
            ("INSERT", "TABLE"),
            ("OWNERSHIP", "TABLE"),
            ("CREATE TABLE", "SCHEMA"),
            ("USAGE", "PROCEDURE"),
            ("USAGE", "FUNCTION"),
            ("USAGE", "INTEGRATION"),
            ("USAGE", "STAGE"),
            ("WRITE", "STAGE"),
            ("OPERATE", "WAREHOUSE"),
            ("MANAGE GRANTS", "ACCOUNT"),
            ("USAGE", "APPLICATION_ROLE"),
            ("SOMETHING NEW", "TABLE"),
        ] {
            let fence =
                prove(&reader().with("SHOW GRANTS TO ROLE \"PUBLIC\"", Ok(grants(&[(privilege, on, "X")]))))
                    .await;
            assert_eq!(fence.kind, FenceKind::ParserOnly, "{privilege} {on}");
            assert!(fence.detail.contains(&format!("PUBLIC has {privilege} on")), "{}", fence.detail);
        }
    }

    #[tokio::test]
    async fn roles_behind_the_role_are_looked_at_once_each() {
        let asked = reader()
            .with(
                "SHOW GRANTS TO ROLE \"READER\"",
                Ok(grants(&[("USAGE", "ROLE", "\"Low \"\"er\""), ("USAGE", "DATABASE_ROLE", "SHOP.\"R\"")])),
            )
            .with("SHOW GRANTS TO ROLE \"Low \"\"er\"", Ok(grants(&[("USAGE", "ROLE", "READER")])))
            .with("SHOW GRANTS TO DATABASE ROLE SHOP.\"R\"", Ok(grants(&[("DELETE", "TABLE", "T")])));
        let fence = prove(&asked).await;
        assert!(fence.detail.contains("SHOP.\"R\" has DELETE on table T"), "{}", fence.detail);
        let questions = asked.asked.lock().unwrap().clone();
        assert_eq!(questions.iter().filter(|sql| sql.contains("\"READER\"")).count(), 1, "{questions:?}");
    }

    #[tokio::test]
    async fn only_the_first_offences_are_named_and_the_others_counted() {
        let many = [
            ("INSERT", "TABLE", "A"),
            ("UPDATE", "TABLE", "A"),
            ("DELETE", "TABLE", "A"),
            ("TRUNCATE", "TABLE", "A"),
        ];
        let fence = prove(&reader().with("SHOW GRANTS TO ROLE \"READER\"", Ok(grants(&many)))).await;
        assert!(
            fence.detail.contains("; and 1 more") && !fence.detail.contains("TRUNCATE"),
            "{}",
            fence.detail
        );
    }

    #[tokio::test]
    async fn secondary_roles_break_the_fence_whatever_the_role_has() {
        let fence = prove(&reader().with(SECONDARY, Ok(cell(r#"{"roles":"SYSADMIN","value":"ALL"}"#)))).await;
        assert_eq!(fence.kind, FenceKind::ParserOnly);
        assert!(fence.detail.contains("SYSADMIN"), "{}", fence.detail);
    }

    #[tokio::test]
    async fn an_account_that_knows_no_agents_may_have_a_fence_all_the_same() {
        let unknown = BackendError::new(ErrorKind::Sql, "Unknown function SYS_CONTEXT");
        let fence = prove(&reader().with(AGENT, Err(unknown))).await;
        assert_eq!(fence.kind, FenceKind::Engine);
        assert!(fence.detail.contains("not known as an agent's"), "{}", fence.detail);
    }

    #[tokio::test]
    async fn what_cannot_be_asked_is_unknown_and_never_a_fence() {
        let down = || Err(BackendError::new(ErrorKind::Unavailable, "no answer"));
        let odd = Ok(Table { columns: vec!["x".to_owned()], rows: vec![vec![Some("y".to_owned())]] });
        let show = "SHOW GRANTS TO ROLE \"READER\"";
        let many = vec![("SELECT", "TABLE", "T"); MOST_GRANTS];
        for asked in [
            reader().with(ROLE, down()),
            reader().with(ROLE, Ok(Table::default())),
            reader().with(AGENT, down()),
            reader().with(SECONDARY, Ok(cell("ALL"))),
            reader().with(show, down()),
            reader().with(show, odd),
            reader().with(show, Ok(grants(&many))),
        ] {
            let fence = prove(&asked).await;
            assert_eq!(fence.kind, FenceKind::Unknown, "{}", fence.detail);
        }
    }

    #[test]
    fn only_a_dotted_name_goes_into_a_question_as_it_came() {
        for (name, fits) in [
            ("A.B", true),
            ("A.\"x;y\"", true),
            ("A", false),
            ("A.B.C", false),
            ("A.B;DROP", false),
            ("A.\"b", false),
        ] {
            assert_eq!(is_dotted_name(name), fits, "{name}");
        }
    }
}
