//! Parameters in JSON: names with a value each, or with a list of values. As in a query, they are
//! parsed from text.

use serde_json::{Map, Value};

use crate::problem::ErrorLocation;

/// The parameters as names and texts, of a list one for each value. A value is a text or a number;
/// `null` and an empty list give none.
///
/// # Errors
/// One for each parameter with another value.
pub fn from_json(
    parameters: &Map<String, Value>,
) -> Result<Vec<(String, String)>, Vec<ErrorLocation>> {
    let (mut read, mut errors) = (Vec::new(), Vec::new());
    for (name, value) in parameters {
        match texts(value) {
            Some(texts) => read.extend(texts.into_iter().map(|text| (name.clone(), text))),
            None => {
                let reason = "is neither a text nor a number nor a list of them";
                errors.push(ErrorLocation::field(name, reason));
            }
        }
    }
    if errors.is_empty() { Ok(read) } else { Err(errors) }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Null => Some(Vec::new()),
        Value::Array(values) => values.iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(parameters: Value) -> Result<Vec<(String, String)>, Vec<ErrorLocation>> {
        from_json(parameters.as_object().unwrap())
    }

    #[test]
    fn each_value_of_a_list_is_a_parameter() {
        let given = read(json!({"a": ["x", 2], "b": "y", "c": null, "d": []})).unwrap();
        let expected = [("a", "x"), ("a", "2"), ("b", "y")];
        assert_eq!(given, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn other_values_are_named() {
        let errors = read(json!({"a": {}, "b": [["x"]], "c": true, "d": 1})).unwrap_err();
        let fields: Vec<_> = errors.iter().filter_map(|error| error.field.as_deref()).collect();
        assert_eq!(fields, ["a", "b", "c"]);
    }
}
