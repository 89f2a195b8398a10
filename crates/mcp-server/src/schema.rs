//! Tool schemas from the argument and answer types, without what only costs tokens or warnings.

use std::sync::Arc;

use rmcp::model::JsonObject;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// The schema of what a tool takes.
pub fn of_arguments<T: JsonSchema>() -> JsonObject {
    slim(SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>().to_value())
}

/// The schema of what a tool answers.
pub fn of_answer<T: JsonSchema>() -> Arc<JsonObject> {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = slim(generator.into_root_schema_for::<T>().to_value());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        // The names say it; descriptions and bounds of answers would be paid for in every prompt.
        properties.values_mut().for_each(strip_notes);
    }
    // Compatible versions may answer more.
    schema.remove("additionalProperties");
    Arc::new(schema)
}

/// Removes `$schema` and titles, which say nothing here, `format`, which makes strict clients warn, and defaults that
/// only say that an argument may be left out, because null is none of the values that its schema allows.
fn slim(mut schema: Value) -> JsonObject {
    remove_noise(&mut schema);
    let Value::Object(mut object) = schema else { return JsonObject::new() };
    object.remove("description");
    object
}

fn remove_noise(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // A property may be called "format"; only the keyword holds text.
            for keyword in ["$schema", "title", "format"] {
                if object.get(keyword).is_some_and(Value::is_string) {
                    object.remove(keyword);
                }
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(remove_noise);
        }
        Value::Array(items) => items.iter_mut().for_each(remove_noise),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn strip_notes(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.retain(|keyword, value| match keyword.as_str() {
                "description" => !value.is_string(),
                "minimum" => !value.is_number(),
                _ => true,
            });
            object.values_mut().for_each(strip_notes);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_notes),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn noise_goes_and_properties_called_like_it_stay() {
        let schema = json!({
            "$schema": "x", "title": "T", "description": "d", "type": "object",
            "properties": {
                "format": {"type": "string"}, "n": {"type": "integer", "format": "uint64", "default": null},
                "default": {"type": "boolean", "default": false}
            }
        });
        let expected = json!({"type": "object", "properties": {
            "format": {"type": "string"}, "n": {"type": "integer"}, "default": {"type": "boolean", "default": false}
        }});
        assert_eq!(Value::Object(slim(schema)), expected);
    }
}
