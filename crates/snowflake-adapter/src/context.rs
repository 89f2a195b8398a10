//! Where and as whom one statement runs: what the connection says, and what the caller says over it.

use registry_core::options::QueryContext;

use crate::config::StatementContext;

/// Snowflake's own limit.
const LONGEST: usize = 255;

/// How a protocol takes a name that a caller gave.
pub(crate) type Spelling = fn(&str) -> String;

/// The name itself, in the letters that it has: for fields whose value is not read as SQL.
pub(crate) fn resolved(name: &str) -> String {
    match unquoted(name) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => name.to_uppercase(),
    }
}

/// The name as SQL has it: for fields whose value is read so.
pub(crate) fn as_written(name: &str) -> String {
    name.to_owned()
}

/// Refuses what is no identifier. It is sent in a field of its own and not in SQL, but what cannot be a name is not sent
/// at all.
pub(crate) fn check(context: &QueryContext) -> Result<(), String> {
    match context.parts().find(|(_, name)| !is_identifier(name)) {
        Some((part, name)) => Err(format!(
            "{part} {name:?} is no Snowflake identifier; write letters, digits, _ and $, or put the exact name in \
             double quotes"
        )),
        None => Ok(()),
    }
}

/// The context of one statement. The schema of the connection's database says nothing about another database.
pub(crate) fn merged(base: &StatementContext, over: &QueryContext, spelling: Spelling) -> StatementContext {
    let part =
        |over: &Option<String>, base: &Option<String>| over.as_deref().map(spelling).or_else(|| base.clone());
    let database = part(&over.database, &base.database);
    let schema = if database == base.database { &base.schema } else { &None };
    StatementContext {
        role: part(&over.role, &base.role),
        warehouse: part(&over.warehouse, &base.warehouse),
        schema: part(&over.schema, schema),
        database,
    }
}

fn is_identifier(name: &str) -> bool {
    if name.chars().count() > LONGEST + 2 {
        return false;
    }
    if let Some(inside) = unquoted(name) {
        let doubled = inside.replace("\"\"", "");
        return !inside.is_empty() && !doubled.contains('"') && !inside.chars().any(char::is_control);
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts_well && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))
}

fn unquoted(name: &str) -> Option<&str> {
    name.strip_prefix('"')?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    #[test]
    fn a_name_is_a_plain_identifier_or_stands_in_quotes() {
        for (name, fits) in [
            ("shop", true),
            ("_S$1", true),
            (r#""My shop""#, true),
            (r#""a""b""#, true),
            ("1shop", false),
            ("a.b", false),
            ("a b", false),
            ("a;drop", false),
            ("é", false),
            ("\"", false),
            (r#""""#, false),
            (r#""a"b""#, false),
            ("", false),
        ] {
            let context = QueryContext { database: some(name), ..QueryContext::default() };
            assert_eq!(check(&context).is_ok(), fits, "{name:?}");
        }
        let long = QueryContext { role: some(&"x".repeat(300)), ..QueryContext::default() };
        assert!(check(&long).unwrap_err().starts_with("role"));
    }

    #[test]
    fn a_name_in_quotes_is_exact_and_another_is_in_upper_case() {
        assert_eq!(resolved("shop"), "SHOP");
        assert_eq!(resolved(r#""My ""shop""""#), r#"My "shop""#);
    }

    #[test]
    fn what_the_caller_gives_stands_over_what_the_connection_says() {
        let base = StatementContext {
            role: some("R"),
            warehouse: some("W"),
            database: some("D"),
            schema: some("S"),
        };
        let over = QueryContext { role: some("r2"), ..QueryContext::default() };
        let expected = StatementContext { role: some("R2"), ..base.clone() };
        assert_eq!(merged(&base, &over, resolved), expected);
        assert_eq!(merged(&base, &QueryContext::default(), resolved), base);
    }

    #[test]
    fn another_database_does_not_have_the_schema_of_the_connections() {
        let base = StatementContext { database: some("D"), schema: some("S"), ..StatementContext::default() };
        let other = QueryContext { database: some("other"), ..QueryContext::default() };
        assert_eq!(merged(&base, &other, resolved).schema, None);
        let schema = QueryContext { schema: some("t"), ..other };
        assert_eq!(merged(&base, &schema, resolved).schema, some("T"));
        let same = QueryContext { database: some("d"), ..QueryContext::default() };
        assert_eq!(merged(&base, &same, resolved).schema, some("S"));
    }
}
