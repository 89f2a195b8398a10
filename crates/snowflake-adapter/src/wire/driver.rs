//! The driver protocol's requests and answers, as they are on the wire.
//!
//! Answers are read leniently: what may be absent, null, or a number instead of text is taken as it comes, and the part
//! that depends on the outcome stays unread until the outcome is known.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// What surrounds every answer.
#[derive(Deserialize)]
pub(crate) struct Envelope {
    /// The part that depends on the request and on the outcome.
    #[serde(default)]
    pub(crate) data: Option<Box<RawValue>>,
    /// Snowflake's code; to be looked at before `success`.
    #[serde(default)]
    pub(crate) code: Option<Code>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) success: Option<bool>,
}

impl Envelope {
    /// The code as a number; 0 when there is none.
    pub(crate) fn code(&self) -> i64 {
        self.code.as_ref().and_then(Code::number).unwrap_or(0)
    }

    /// The data as `T`, or its empty value where they are absent or something else.
    pub(crate) fn data_or_default<'a, T: Deserialize<'a> + Default>(&'a self) -> T {
        self.data.as_deref().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// The statement is on its way or under way.
    pub(crate) fn is_in_progress(&self) -> bool {
        matches!(self.code(), 333_333 | 333_334)
    }

    /// Any answer of Snowflake's says one of both; other JSON comes from somebody else.
    pub(crate) fn is_answer(&self) -> bool {
        self.success.is_some() || self.code.is_some()
    }

    /// It says so, and no code speaks against it.
    pub(crate) fn is_success(&self) -> bool {
        self.success == Some(true)
    }
}

/// The data may hold tokens: only their presence is told.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("code", &self.code)
            .field("success", &self.success)
            .field("has_data", &self.data.is_some())
            .finish_non_exhaustive()
    }
}

/// A code: null, text or a number, by endpoint and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) String);

impl Code {
    pub(crate) fn number(&self) -> Option<i64> {
        self.0.trim().parse().ok()
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyCode;
        impl Visitor<'_> for AnyCode {
            type Value = Code;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a code as text or as a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Code, E> {
                Ok(Code(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Code, E> {
                Ok(Code(format!("{number:06}")))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Code, E> {
                Ok(Code(format!("{number:06}")))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Code, E> {
                Ok(Code(number.to_string()))
            }
        }
        deserializer.deserialize_any(AnyCode)
    }
}

/// The body of a sign-in.
#[derive(Serialize)]
pub(crate) struct LoginRequest<'a> {
    pub(crate) data: LoginData<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct LoginData<'a> {
    pub(crate) client_app_id: &'a str,
    pub(crate) client_app_version: &'a str,
    pub(crate) svn_revision: Option<&'a str>,
    pub(crate) account_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) login_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authenticator: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<&'a str>,
    pub(crate) client_environment: ClientEnvironment<'a>,
    pub(crate) session_parameters: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) struct ClientEnvironment<'a> {
    pub(crate) application: &'a str,
    pub(crate) os: &'a str,
    pub(crate) os_version: &'a str,
}

/// What a sign-in gives.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginAnswer {
    #[serde(default)]
    pub(crate) token: Option<String>,
    #[serde(default)]
    pub(crate) master_token: Option<String>,
    #[serde(default)]
    pub(crate) validity_in_seconds: Option<u64>,
    #[serde(default)]
    pub(crate) master_validity_in_seconds: Option<u64>,
    /// A person is asked to do something.
    #[serde(default)]
    pub(crate) next_action: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewRequest<'a> {
    pub(crate) old_session_token: &'a str,
    pub(crate) request_type: &'static str,
}

/// What a renewal gives.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewAnswer {
    #[serde(default)]
    pub(crate) session_token: Option<String>,
    #[serde(default)]
    pub(crate) master_token: Option<String>,
}

/// The body of a submission.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryRequest<'a> {
    pub(crate) sql_text: &'a str,
    pub(crate) async_exec: bool,
    pub(crate) sequence_id: u64,
    pub(crate) query_submission_time: u64,
    pub(crate) is_internal: bool,
    pub(crate) describe_only: bool,
    pub(crate) parameters: serde_json::Map<String, serde_json::Value>,
    #[serde(rename = "queryContextDTO")]
    pub(crate) query_context_dto: serde_json::Map<String, serde_json::Value>,
}

/// The body of a request that needs none.
#[derive(Serialize)]
pub(crate) struct Empty {}

/// The data of a submission or of a result, without its rows.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryFacts {
    #[serde(default)]
    pub(crate) query_id: Option<String>,
    #[serde(default)]
    pub(crate) sql_state: Option<String>,
    #[serde(default)]
    pub(crate) error_code: Option<Code>,
}

/// The data of a final result. The rows of the answer itself are borrowed from it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultData<'a> {
    #[serde(default)]
    pub(crate) rowtype: Option<Vec<ColumnType>>,
    #[serde(default)]
    pub(crate) total: Option<u64>,
    #[serde(default, borrow)]
    pub(crate) rowset: Option<&'a RawValue>,
    #[serde(default, borrow)]
    pub(crate) rowset_base64: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(crate) query_result_format: Option<String>,
    #[serde(default)]
    pub(crate) chunks: Option<Vec<ChunkInfo>>,
    #[serde(default)]
    pub(crate) chunk_headers: Option<HashMap<String, String>>,
    #[serde(default)]
    pub(crate) qrmk: Option<String>,
}

/// One column as the answer describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ColumnType {
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default, rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) precision: Option<i64>,
    #[serde(default)]
    pub(crate) scale: Option<i64>,
}

/// Where further rows are. The address is a secret: whoever has it can read them.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChunkInfo {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) row_count: u64,
    #[serde(default)]
    pub(crate) uncompressed_size: u64,
}

impl fmt::Debug for ChunkInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkInfo")
            .field("rows", &self.row_count)
            .field("bytes", &self.uncompressed_size)
            .finish_non_exhaustive()
    }
}

/// The data of a status answer.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Monitoring {
    #[serde(default)]
    pub(crate) queries: Option<Vec<QueryState>>,
}

/// One statement's state.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryState {
    #[serde(default)]
    pub(crate) status: Option<String>,
    #[serde(default)]
    pub(crate) error_code: Option<Code>,
    #[serde(default)]
    pub(crate) error_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(text: &str) -> Envelope {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_code_may_be_text_a_number_or_nothing() {
        assert_eq!(envelope(r#"{"code":"333334","success":true}"#).code(), 333_334);
        assert_eq!(envelope(r#"{"code":2003}"#).code, Some(Code("002003".to_owned())));
        assert_eq!(envelope(r#"{"code":null,"data":null}"#).code(), 0);
        assert_eq!(envelope("{}").code(), 0);
    }

    #[test]
    fn an_answer_in_progress_is_known_by_its_code_although_it_says_success() {
        let answer = envelope(r#"{"data":{"queryId":"01b4"},"code":"333333","success":true}"#);
        assert!(answer.is_in_progress() && answer.is_success());
        assert_eq!(answer.data_or_default::<QueryFacts>().query_id.as_deref(), Some("01b4"));
    }

    #[test]
    fn data_of_another_shape_read_as_nothing() {
        let answer = envelope(r#"{"data":[1,2],"success":false}"#);
        assert_eq!(answer.data_or_default::<QueryFacts>().query_id, None);
    }

    #[test]
    fn an_answer_does_not_print_its_data() {
        let answer = envelope(r#"{"data":{"token":"s3cret"},"success":true}"#);
        assert!(!format!("{answer:?}").contains("s3cret"));
    }
}
