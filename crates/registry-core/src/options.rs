//! What a caller asks for, and the checks it must pass.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{RegistryError, Result};

/// A month; nothing a caller names in seconds may be longer.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

/// How one query is to be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryOptions {
    /// The time the statement may run, counted from its first submission; `None` leaves the registry's ceiling.
    pub query_timeout: Option<Duration>,
    /// Rows that an answer carries when the caller names no limit; it never cuts the stored result.
    pub max_inline_rows: u64,
    /// The base of the adaptive checking pace.
    pub poll_interval: Duration,
    /// Which waiting query starts first.
    pub priority: Priority,
    /// Where and as whom it runs, where that is not what the connection says.
    #[serde(default, skip_serializing_if = "QueryContext::is_empty")]
    pub context: QueryContext,
}

/// Where and as whom one statement runs. Absent parts are the connection's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct QueryContext {
    /// The role whose rights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What computes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warehouse: Option<String>,
    /// Where its unqualified names are looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The schema in that database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
}

impl QueryContext {
    /// Whether everything is as the connection says.
    pub fn is_empty(&self) -> bool {
        self.parts().next().is_none()
    }

    /// The parts that are given, each with its name.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let parts = [
            ("role", &self.role),
            ("warehouse", &self.warehouse),
            ("database", &self.database),
            ("schema", &self.schema),
        ];
        parts.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            query_timeout: None,
            max_inline_rows: 1000,
            poll_interval: Duration::from_secs(1),
            priority: Priority::default(),
            context: QueryContext::default(),
        }
    }
}

impl QueryOptions {
    /// Refuses values that no query can be run with.
    pub fn validate(&self) -> Result<()> {
        if let Some(timeout) = self.query_timeout {
            within("query_timeout", timeout)?;
        }
        within("poll_interval", self.poll_interval)?;
        if self.max_inline_rows == 0 {
            return Err(RegistryError::invalid("max_inline_rows must be at least 1"));
        }
        Ok(())
    }
}

fn within(name: &str, span: Duration) -> Result<()> {
    if span.is_zero() || span > LONGEST {
        return Err(RegistryError::invalid(format!("{name} must be more than 0 and at most 31 days")));
    }
    Ok(())
}

/// Seconds as callers give them: fractions allowed; negative, endless and undefined values refused.
pub fn seconds(name: &str, value: f64) -> Result<Duration> {
    if !value.is_finite() || value <= 0.0 || value > LONGEST.as_secs_f64() {
        return Err(RegistryError::invalid(format!(
            "{name} must be more than 0 and at most {} seconds",
            LONGEST.as_secs()
        )));
    }
    Ok(Duration::from_secs_f64(value))
}

/// Which of the waiting queries starts first; equal ones start in the order they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The usual one.
    #[default]
    Medium,
    /// When nothing else waits.
    Low,
}

/// One statement and what the caller wants done with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct QueryRequest {
    /// The statement, sent byte for byte.
    pub sql: String,
    /// Which configured connection runs it; `None` is the default one.
    pub connection: Option<String>,
    /// The caller's word for it, shown in lists.
    pub label: Option<String>,
    /// The client program on whose behalf it runs.
    pub client: Option<String>,
    /// A repeat with the same key returns the first query instead of starting another.
    pub idempotency_key: Option<String>,
    /// Return an identical statement of this process that is still running instead of starting another, whatever its
    /// time limit and priority.
    pub deduplicate: bool,
    /// How to run it.
    pub options: QueryOptions,
}

impl QueryRequest {
    /// A statement with the default options.
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), ..Self::default() }
    }

    /// Refuses what cannot be a statement, before anything is stored.
    pub fn validate(&self, max_statement_bytes: usize) -> Result<()> {
        self.options.validate()?;
        if self.sql.trim().is_empty() {
            return Err(RegistryError::invalid("sql is empty; pass one SQL statement"));
        }
        if self.sql.len() > max_statement_bytes {
            return Err(RegistryError::invalid(format!(
                "the statement has {} bytes and the limit is {max_statement_bytes} (--max-statement-bytes); load \
                 long value lists into a table and join it",
                self.sql.len()
            )));
        }
        if let Some(position) = self.sql.chars().position(is_forbidden_control) {
            return Err(RegistryError::invalid(format!(
                "the statement has a control character at position {}; remove it, or write it as an escape",
                position + 1
            )));
        }
        for (name, value) in self.options.context.parts() {
            named(name, Some(value))?;
        }
        named("label", self.label.as_deref())?;
        named("idempotency_key", self.idempotency_key.as_deref())
    }
}

fn is_forbidden_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

fn named(field: &str, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) if text.is_empty() || text.chars().count() > 200 || text.chars().any(char::is_control) => {
            Err(RegistryError::invalid(format!("{field} must be 1 to 200 characters on one line")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let options = QueryOptions::default();
        assert_eq!(options.query_timeout, None);
        assert_eq!(options.max_inline_rows, 1000);
        assert_eq!(options.poll_interval, Duration::from_secs(1));
        assert_eq!(options.validate(), Ok(()));
    }

    #[test]
    fn zero_and_endless_options_are_refused() {
        let timeout = |span| QueryOptions { query_timeout: Some(span), ..QueryOptions::default() };
        let interval = |span| QueryOptions { poll_interval: span, ..QueryOptions::default() };
        for bad in [
            timeout(Duration::ZERO),
            timeout(Duration::MAX),
            interval(Duration::ZERO),
            interval(Duration::MAX),
            QueryOptions { max_inline_rows: 0, ..QueryOptions::default() },
        ] {
            assert!(matches!(bad.validate(), Err(RegistryError::InvalidRequest(_))), "{bad:?}");
        }
    }

    #[test]
    fn seconds_take_fractions_and_refuse_what_is_no_span_of_time() {
        assert_eq!(seconds("t", 0.25), Ok(Duration::from_millis(250)));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(seconds("t", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_statement_must_be_text_of_bounded_length() {
        let check = |sql: &str| QueryRequest::new(sql).validate(100);
        assert_eq!(check("select 1\r\n\t"), Ok(()));
        for bad in ["", "  \n", "select\0 1", "select \u{7} 1", "select \u{85} 1", &"x".repeat(101)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn options_of_an_earlier_release_are_read_and_an_empty_context_is_not_written() {
        let written = serde_json::to_value(QueryOptions::default()).unwrap();
        assert_eq!(written.get("context"), None);
        assert_eq!(serde_json::from_value::<QueryOptions>(written).unwrap(), QueryOptions::default());
        let context = QueryContext { role: Some("R".to_owned()), ..QueryContext::default() };
        let options = QueryOptions { context, ..QueryOptions::default() };
        let written = serde_json::to_value(&options).unwrap();
        assert_eq!(written["context"], serde_json::json!({ "role": "R" }));
        assert_eq!(serde_json::from_value::<QueryOptions>(written).unwrap(), options);
    }

    #[test]
    fn a_part_of_the_context_is_a_name_on_one_line() {
        for (bad, fits) in [("", false), ("a\nb", false), ("A B", true)] {
            let context = QueryContext { schema: Some(bad.to_owned()), ..QueryContext::default() };
            let options = QueryOptions { context, ..QueryOptions::default() };
            let request = QueryRequest { options, ..QueryRequest::new("select 1") };
            assert_eq!(request.validate(100).is_ok(), fits, "{bad:?}");
        }
    }

    #[test]
    fn priorities_order_from_high_to_low() {
        assert!(Priority::High < Priority::Medium && Priority::Medium < Priority::Low);
    }
}
