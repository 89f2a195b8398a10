//! What the SQL API v2 answers, and what it is asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Any answer, without its rows. Every part may be absent: a gateway may have written it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Envelope {
    /// Snowflake's code, leading zeros kept.
    #[serde(deserialize_with = "lenient_text")]
    pub(crate) code: Option<String>,
    #[serde(deserialize_with = "lenient_text")]
    pub(crate) sql_state: Option<String>,
    #[serde(deserialize_with = "lenient_text")]
    pub(crate) message: Option<String>,
    #[serde(deserialize_with = "lenient_text")]
    pub(crate) statement_handle: Option<String>,
    pub(crate) result_set_meta_data: Option<Metadata>,
}

/// What a result looks like.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) num_rows: Option<u64>,
    pub(crate) format: Option<String>,
    pub(crate) row_type: Vec<ColumnType>,
    pub(crate) partition_info: Option<Vec<PartitionInfo>>,
}

/// One column.
#[derive(Debug, Deserialize)]
pub(crate) struct ColumnType {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) scale: Option<i64>,
    #[serde(default)]
    pub(crate) precision: Option<i64>,
}

/// One part of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartitionInfo {
    pub(crate) row_count: u64,
    #[serde(default)]
    pub(crate) uncompressed_size: Option<u64>,
}

/// A statement on its way.
#[derive(Debug, Serialize)]
pub(crate) struct StatementBody<'a> {
    pub(crate) statement: &'a str,
    /// Seconds; zero would mean the longest time there is.
    pub(crate) timeout: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warehouse: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'a str>,
    pub(crate) parameters: BTreeMap<String, String>,
}

/// Text, also where a number was written; anything else counts as absent.
fn lenient_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(format!("{:0>6}", number.to_string())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(json: &str) -> Option<String> {
        serde_json::from_str::<Envelope>(json).unwrap().code
    }

    #[test]
    fn a_code_is_read_as_text_number_or_nothing() {
        assert_eq!(code(r#"{"code":"000604"}"#).as_deref(), Some("000604"));
        assert_eq!(code(r#"{"code":604}"#).as_deref(), Some("000604"));
        assert_eq!(code(r#"{"code":null}"#), None);
        assert_eq!(code(r#"{"code":{"deep":[1]}}"#), None);
        assert_eq!(code("{}"), None);
    }

    #[test]
    fn unknown_fields_and_column_types_are_no_error() {
        let json =
            r#"{"new":[1,2],"resultSetMetaData":{"rowType":[{"name":"V","type":"vector","fields":[]}]}}"#;
        let envelope: Envelope = serde_json::from_str(json).unwrap();
        assert_eq!(envelope.result_set_meta_data.unwrap().row_type[0].kind, "vector");
    }
}
