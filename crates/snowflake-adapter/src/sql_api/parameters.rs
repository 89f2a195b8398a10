//! The parameters that go with a statement.

use std::collections::BTreeMap;

use registry_core::backend::BackendError;
use registry_core::error::ErrorKind;
use registry_core::id::RequestId;
use serde_json::json;

/// What a user may set; the service knows no other names.
const ALLOWED: [&str; 10] = [
    "client_result_chunk_size",
    "date_output_format",
    "time_output_format",
    "timestamp_ltz_output_format",
    "timestamp_ntz_output_format",
    "timestamp_output_format",
    "timestamp_tz_output_format",
    "timezone",
    "use_cached_result",
    "query_tag",
];

/// Settings of the account would reach into results, so everything that shapes text is said anew. The time zone is not
/// among them: it decides which day a statement takes for today.
const PINNED: [(&str, &str); 8] = [
    // Megabytes of a part before its compression; by itself Snowflake makes them three times as large.
    ("client_result_chunk_size", "48"),
    ("binary_output_format", "HEX"),
    ("date_output_format", "YYYY-MM-DD"),
    ("time_output_format", "HH24:MI:SS.FF"),
    ("timestamp_output_format", "YYYY-MM-DD HH24:MI:SS.FF"),
    ("timestamp_ltz_output_format", "YYYY-MM-DD HH24:MI:SS.FFTZH:TZM"),
    ("timestamp_ntz_output_format", "YYYY-MM-DD HH24:MI:SS.FF"),
    ("timestamp_tz_output_format", "YYYY-MM-DD HH24:MI:SS.FFTZH:TZM"),
];

const ROWS: &str = "rows_per_resultset";
const ROWS_ARE_OURS: &str = "the session parameter rows_per_resultset would cut results without a word; remove it, and \
    limit the rows that are kept with --max-result-rows";

/// The parameters of every statement of a connection.
#[derive(Debug, Clone)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Ours, with the user's over them. A parameter that the service does not know is refused here rather than passed
    /// over there.
    pub(super) fn new(wanted: &[(String, String)]) -> Result<Self, BackendError> {
        let mut all: BTreeMap<String, String> =
            PINNED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (name, value) in wanted {
            let name = name.to_ascii_lowercase();
            if name == ROWS {
                return Err(BackendError::new(ErrorKind::Configuration, ROWS_ARE_OURS));
            }
            if !ALLOWED.contains(&name.as_str()) {
                return Err(BackendError::new(ErrorKind::Configuration, not_allowed(&name)));
            }
            all.insert(name, value.clone());
        }
        // One statement at a time: the lifecycle knows one end and one result.
        all.insert("multi_statement_count".to_owned(), "1".to_owned());
        Ok(Self(all))
    }

    /// The parameters of one statement. Without a limit it gives all rows, whatever the account says: a result that was
    /// cut without a word would be taken for the whole.
    pub(super) fn of(&self, tag: String, row_limit: Option<u64>) -> BTreeMap<String, String> {
        let mut all = self.0.clone();
        all.insert("query_tag".to_owned(), tag);
        all.insert(ROWS.to_owned(), row_limit.unwrap_or(0).to_string());
        all
    }
}

fn not_allowed(name: &str) -> String {
    format!(
        "the session parameter {name} cannot be set over the SQL API; remove it, or set api = \"driver\" for this \
         connection (allowed: {})",
        ALLOWED.join(", ")
    )
}

/// The tag of a lookup itself.
pub(super) fn lookup_tag(request_id: RequestId) -> String {
    json!({ "app": "async-query-mcp", "lookup": request_id.to_string() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tag_mark;

    #[test]
    fn the_users_parameters_win_except_where_decoding_depends_on_ours() {
        assert!(!Parameters::new(&[]).unwrap().0.contains_key("timezone"), "the account's own");
        let user = [("TIMEZONE".to_owned(), "Europe/Berlin".to_owned())];
        let all = Parameters::new(&user).unwrap().of("t".to_owned(), Some(11));
        assert_eq!(all["timezone"], "Europe/Berlin");
        assert_eq!(all["multi_statement_count"], "1");
        assert_eq!((all["query_tag"].as_str(), all[ROWS].as_str()), ("t", "11"));
        assert_eq!(Parameters::new(&[]).unwrap().of("t".to_owned(), None)[ROWS], "0");
        for name in ["binary_output_format", "multi_statement_count", "week_start", "ROWS_PER_RESULTSET"] {
            let error = Parameters::new(&[(name.to_owned(), "x".to_owned())]).unwrap_err();
            assert_eq!(error.0.kind, ErrorKind::Configuration);
            assert!(error.0.message.contains(&name.to_lowercase()), "{error}");
        }
    }

    #[test]
    fn the_tag_of_a_lookup_is_not_what_it_searches_for() {
        let id = RequestId::generate();
        assert!(!lookup_tag(id).contains(&tag_mark(id)));
    }
}
