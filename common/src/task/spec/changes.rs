//! Specs with changed parameters.

use serde_json::{Map, Value};

use super::TaskSpec;
use crate::parameters;
use crate::problem::ErrorLocation;

impl TaskSpec {
    /// The same with other parameters: each of `changes` replaces all values of the parameter of
    /// its name, and `null` restores the default.
    ///
    /// # Errors
    /// One for each parameter that the kind does not take, or whose value is invalid.
    pub fn with_parameters(
        &self,
        changes: &Map<String, Value>,
    ) -> Result<Self, Vec<ErrorLocation>> {
        let mut values = match serde_json::to_value(self) {
            Ok(Value::Object(spec)) => spec,
            _ => Map::new(),
        };
        values.remove("kind");
        values.extend(changes.clone());
        Self::from_parameters(self.kind(), &parameters::from_json(&values)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::task::TaskKind;
    use crate::task::spec::OnBadRow;

    fn changed(given: &[(&str, &str)], changes: Value) -> Result<TaskSpec, Vec<ErrorLocation>> {
        let given = given.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let given: Vec<_> = given.collect();
        let spec = TaskSpec::from_parameters(TaskKind::CsvAggregation, &given).unwrap();
        spec.with_parameters(changes.as_object().unwrap())
    }

    #[test]
    fn given_parameters_are_replaced_and_others_stay() {
        let given = [
            ("group_by", "City"),
            ("group_by", "Day"),
            ("on_bad_row", "skip"),
            ("total_header", "x"),
            ("memory_limit", "1MiB"),
        ];
        assert_eq!(changed(&given, json!({})), changed(&given, json!({"sum": null})));
        let spec = changed(
            &given,
            json!({"group_by": ["Song"], "sum": "Plays", "memory_limit": 1024, "total_header": null}),
        );
        let Ok(TaskSpec::CsvAggregation(spec)) = spec else { panic!("{spec:?}") };
        assert_eq!((spec.group_by, spec.sum), (vec!["Song".to_owned()], vec!["Plays".to_owned()]));
        assert_eq!((spec.total_header, spec.memory_limit), (None, Some(1024)));
        assert_eq!(spec.on_bad_row, OnBadRow::Skip);
        let spec = TaskSpec::FileStatistics.with_parameters(&Map::new());
        assert_eq!(spec, Ok(TaskSpec::FileStatistics));
    }

    #[test]
    fn every_invalid_change_is_named() {
        let fields = |changes| {
            let errors = changed(&[], changes).unwrap_err();
            errors.into_iter().filter_map(|error| error.field).collect::<Vec<_>>()
        };
        assert_eq!(
            fields(json!({"group_by": [{}], "on_bad_row": true})),
            ["group_by", "on_bad_row"]
        );
        assert_eq!(fields(json!({"colour": "red", "on_bad_row": "x"})), ["colour", "on_bad_row"]);
    }
}
