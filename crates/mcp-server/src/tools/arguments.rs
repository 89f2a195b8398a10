//! Arguments as models send them: checked one by one, each complaint naming its argument.

use std::fmt;
use std::time::Duration;

use registry_core::id::QueryId;
use rmcp::model::JsonObject;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::error::ToolError;

/// Reads the arguments of a tool.
pub fn parse<T: DeserializeOwned>(arguments: Option<JsonObject>) -> Result<T, ToolError> {
    let value = serde_json::Value::Object(arguments.unwrap_or_default());
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        // Errors about the object as a whole name their field themselves.
        let named = path == "." || path == "?" || problem.contains(&format!("`{path}`"));
        let place = if named { String::new() } else { format!("{path}: ") };
        ToolError::new("invalid_request", format!("Invalid arguments: {place}{problem}."))
            .next("Correct the argument and call the tool again.")
    })
}

/// A number of seconds, zero or more, fractions allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(pub f64);

impl Seconds {
    /// The span, at most `limit`, and whether it had to be shortened.
    pub fn clamped(self, limit: Duration) -> (Duration, bool) {
        match Duration::try_from_secs_f64(self.0) {
            Ok(span) if span <= limit => (span, false),
            Ok(_) | Err(_) => (limit, true),
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of seconds, 0 or more")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Seconds, E> {
        Ok(Seconds(value as f64))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Seconds, E> {
        self.visit_f64(value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Seconds, E> {
        if value.is_finite() && value >= 0.0 {
            return Ok(Seconds(value));
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }
}

impl JsonSchema for Seconds {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Seconds".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0})
    }
}

/// A whole number, at least `MIN`; `3.0` counts as one, because some clients send every number as a float.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count<const MIN: u64>(pub u64);

impl<'de, const MIN: u64> Deserialize<'de> for Count<MIN> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor::<MIN>)
    }
}

struct CountVisitor<const MIN: u64>;

impl<const MIN: u64> Visitor<'_> for CountVisitor<MIN> {
    type Value = Count<MIN>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number, {MIN} or more")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        if value < MIN {
            return Err(E::invalid_value(Unexpected::Unsigned(value), &self));
        }
        Ok(Count(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        // Up to 2^53 every whole number is exact.
        if value.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&value) {
            return self.visit_u64(value as u64);
        }
        Err(E::invalid_value(Unexpected::Float(value), &self))
    }
}

impl<const MIN: u64> JsonSchema for Count<MIN> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Count{MIN}").into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN})
    }
}

/// The id as typed, and as ours if it has the form of one.
pub fn query_id(text: &str) -> Option<QueryId> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its presence matters")]
        name: String,
        wait: Option<Seconds>,
        size: Option<Count<1>>,
    }

    fn read(value: Value) -> Result<Sample, String> {
        parse(value.as_object().cloned()).map_err(|error| error.text())
    }

    #[test]
    fn whole_numbers_and_fractions_are_taken() {
        let sample = read(json!({"name": "x", "wait": 1.5, "size": 3.0})).unwrap();
        assert_eq!((sample.wait, sample.size), (Some(Seconds(1.5)), Some(Count(3))));
        let sample = read(json!({"name": "x", "wait": 0, "size": null})).unwrap();
        assert_eq!((sample.wait, sample.size), (Some(Seconds(0.0)), None));
    }

    #[test]
    fn a_wrong_argument_is_named_with_what_it_should_be() {
        let cases = [
            (
                json!({"name": "x", "wait": -1}),
                "wait: invalid value: floating point `-1.0`, expected a number of seconds",
            ),
            (
                json!({"name": "x", "wait": "5"}),
                "wait: invalid type: string \"5\", expected a number of seconds",
            ),
            (
                json!({"name": "x", "size": 0}),
                "size: invalid value: integer `0`, expected a whole number, 1 or more",
            ),
            (json!({"name": "x", "size": -7}), "size: invalid value: integer `-7`"),
            (json!({"name": "x", "size": 1.5}), "size: invalid value: floating point `1.5`"),
            (json!({"name": "x", "size": 1e300}), "size: invalid value"),
            (json!({"name": "x", "size": true}), "size: invalid type: boolean `true`"),
            (json!({"name": 7}), "name: invalid type: integer `7`, expected a string"),
            (json!({}), "missing field `name`"),
            (json!({"name": "x", "nmae": 1}), "unknown field `nmae`, expected one of `name`, `wait`, `size`"),
        ];
        for (arguments, expected) in cases {
            let text = read(arguments.clone()).unwrap_err();
            assert!(text.contains(expected), "{arguments}: {text}");
            assert!(text.contains("next: "), "{text}");
        }
    }

    #[test]
    fn a_long_wait_is_shortened_and_a_short_one_is_not() {
        let limit = Duration::from_secs(50);
        assert_eq!(Seconds(10.0).clamped(limit), (Duration::from_secs(10), false));
        assert_eq!(Seconds(50.0).clamped(limit), (limit, false));
        assert_eq!(Seconds(51.0).clamped(limit), (limit, true));
        assert_eq!(Seconds(1e300).clamped(limit), (limit, true));
    }
}
