//! The parameters of a `csv_aggregation`.

use std::collections::BTreeSet;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CsvDialect, DecimalMark, OnBadRow, ThousandsMark, set_each, unknown_parameter};
use crate::problem::ErrorLocation;
use crate::task::TaskKind;

/// The parameters of a `csv_aggregation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CsvAggregationSpec {
    /// The columns whose values form a group, in the order of the output.
    pub group_by: Vec<String>,
    /// The columns that are summed.
    pub sum: Vec<String>,
    /// Another name for the last sum in the output's header.
    pub total_header: Option<String>,
    /// What to do with an invalid row.
    pub on_bad_row: OnBadRow,
    /// The memory in bytes for the groups, if less than the worker permits.
    pub memory_limit: Option<u64>,
    /// The character before decimals, which must be zeros; numbers have none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decimal: Option<DecimalMark>,
    /// The character between groups of three digits; numbers have none if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thousands: Option<ThousandsMark>,
    /// How the file is written.
    #[serde(flatten)]
    pub dialect: CsvDialect,
}

/// The default columns of a group.
pub const DEFAULT_GROUP_BY: [&str; 2] = ["Song", "Date"];
/// The default column to sum.
pub const DEFAULT_SUM: [&str; 1] = ["Number of Plays"];

impl Default for CsvAggregationSpec {
    fn default() -> Self {
        Self {
            group_by: DEFAULT_GROUP_BY.map(str::to_owned).to_vec(),
            sum: DEFAULT_SUM.map(str::to_owned).to_vec(),
            total_header: None,
            on_bad_row: OnBadRow::default(),
            memory_limit: None,
            decimal: None,
            thousands: None,
            dialect: CsvDialect::default(),
        }
    }
}

impl CsvAggregationSpec {
    /// The names of its parameters, without those of the dialect.
    pub(super) const PARAMETERS: [&str; 7] =
        ["group_by", "sum", "total_header", "on_bad_row", "memory_limit", "decimal", "thousands"];

    /// Whether the groups are the default ones, of which the second is a date.
    #[must_use]
    pub fn has_default_grouping(&self) -> bool {
        self.group_by == DEFAULT_GROUP_BY
    }

    /// See [`TaskSpec::from_parameters`](super::TaskSpec::from_parameters).
    ///
    /// # Errors
    /// Every invalid parameter.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Self, Vec<ErrorLocation>> {
        let mut spec = Self { group_by: Vec::new(), sum: Vec::new(), ..Self::default() };
        let mut errors =
            set_each(parameters, &["group_by", "sum"], |name, value| spec.set(name, value));
        if spec.group_by.is_empty() {
            spec.group_by = Self::default().group_by;
        }
        if spec.sum.is_empty() {
            spec.sum = Self::default().sum;
        }
        let mut columns = BTreeSet::new();
        for (parameter, column) in spec.columns() {
            if !columns.insert(column) {
                let reason = format!("the column `{column}` is named more than once");
                errors.push(ErrorLocation::field(parameter, reason));
            }
        }
        let mut all_but_last = spec.group_by.iter().chain(spec.sum.iter().rev().skip(1));
        if let Some(name) = &spec.total_header
            && all_but_last.any(|column| column == name)
        {
            let reason = format!("`{name}` is another column of the output already");
            errors.push(ErrorLocation::field("total_header", reason));
        }
        if let (Some(decimal), Some(thousands)) = (spec.decimal, spec.thousands)
            && decimal.character() == thousands.character()
        {
            errors.push(ErrorLocation::field("thousands", "is the same character as `decimal`"));
        }
        errors.extend(spec.dialect.conflicts());
        if errors.is_empty() { Ok(spec) } else { Err(errors) }
    }

    /// Every column that the input must have, with the parameter that names it.
    fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let groups = self.group_by.iter().map(|column| ("group_by", column.as_str()));
        groups.chain(self.sum.iter().map(|column| ("sum", column.as_str())))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "group_by" => self.group_by.push(column_name(value)?),
            "sum" => self.sum.push(column_name(value)?),
            "total_header" => self.total_header = Some(column_name(value)?),
            "on_bad_row" => self.on_bad_row = value.parse()?,
            "memory_limit" => {
                let size: ByteSize = value
                    .parse()
                    .map_err(|_| format!("`{value}` is not a size such as 268435456 or 256MiB"))?;
                self.memory_limit = Some(size.as_u64());
            }
            "decimal" => self.decimal = Some(value.parse()?),
            "thousands" => self.thousands = Some(value.parse()?),
            _ => {
                return self.dialect.set(name, value).unwrap_or_else(|| {
                    Err(unknown_parameter(TaskKind::CsvAggregation, &Self::PARAMETERS))
                });
            }
        }
        Ok(())
    }
}

/// Trims a name, as the names in a header are trimmed.
fn column_name(value: &str) -> Result<String, String> {
    match value.trim() {
        "" => Err("is empty; it takes the name of a column".to_owned()),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parameters: &[(&str, &str)]) -> Result<CsvAggregationSpec, Vec<ErrorLocation>> {
        let owned: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        CsvAggregationSpec::from_parameters(&owned)
    }

    #[test]
    fn missing_parameters_are_the_defaults() {
        let spec = parse(&[]).unwrap();
        assert_eq!(spec, CsvAggregationSpec::default());
        assert!(spec.has_default_grouping());
    }

    #[test]
    fn repeated_columns_keep_their_order() {
        let spec =
            parse(&[("group_by", "City"), ("sum", "a"), ("group_by", " Day "), ("sum", "b")])
                .unwrap();
        assert_eq!(spec.group_by, ["City", "Day"]);
        assert_eq!(spec.sum, ["a", "b"]);
        assert!(!spec.has_default_grouping());
    }

    #[test]
    fn every_invalid_parameter_is_named() {
        let errors = parse(&[
            ("on_bad_row", "ignore"),
            ("colour", "red"),
            ("total_header", "x"),
            ("total_header", "y"),
            ("memory_limit", "much"),
            ("sum", ""),
            ("sum", "Song"),
        ])
        .unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_deref().unwrap()).collect();
        assert_eq!(fields, ["on_bad_row", "colour", "total_header", "memory_limit", "sum", "sum"]);
        assert_eq!(errors[5].reason, "the column `Song` is named more than once");
    }

    #[test]
    fn the_name_of_the_sum_is_unique() {
        let errors = parse(&[("total_header", "Date")]).unwrap_err();
        assert_eq!(errors[0].field.as_deref(), Some("total_header"));
        let two_sums = [("sum", "a"), ("sum", "b")];
        assert!(parse(&[two_sums[0], two_sums[1], ("total_header", "a")]).is_err());
        assert!(parse(&[two_sums[0], two_sums[1], ("total_header", "b")]).is_ok());
    }

    #[test]
    fn decimals_and_thousands_have_different_marks() {
        let spec = parse(&[("decimal", ","), ("thousands", "point")]).unwrap();
        let json = serde_json::to_value(&spec).unwrap();
        assert_eq!((&json["decimal"], &json["thousands"]), (&",".into(), &".".into()));
        let errors = parse(&[("decimal", "comma"), ("thousands", ",")]).unwrap_err();
        assert_eq!(errors[0].field.as_deref(), Some("thousands"));
        let json = serde_json::to_value(CsvAggregationSpec::default()).unwrap();
        assert_eq!(json.get("decimal"), None, "stored specs do not change");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse(&[("memory_limit", "256MiB")]).unwrap().memory_limit, Some(256 << 20));
        assert_eq!(parse(&[("memory_limit", "1024")]).unwrap().memory_limit, Some(1024));
    }
}
