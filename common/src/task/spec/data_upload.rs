//! The parameters of a `data_upload`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CsvDialect, OnBadRow, set_each, unknown_parameter};
use crate::problem::ErrorLocation;
use crate::task::TaskKind;

/// The parameters of a `data_upload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct DataUploadSpec {
    /// What to do with an invalid row; `fail` checks the whole file before the first
    /// row is loaded.
    pub on_bad_row: OnBadRow,
    /// How the file is written.
    #[serde(flatten)]
    pub dialect: CsvDialect,
}

impl Default for DataUploadSpec {
    fn default() -> Self {
        Self { on_bad_row: OnBadRow::Skip, dialect: CsvDialect::default() }
    }
}

impl DataUploadSpec {
    /// See [`super::TaskSpec::from_parameters`].
    ///
    /// # Errors
    /// Every invalid parameter.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Self, Vec<ErrorLocation>> {
        let mut spec = Self::default();
        let mut errors = set_each(parameters, &[], |name, value| match name {
            "on_bad_row" => value.parse().map(|on_bad_row| spec.on_bad_row = on_bad_row),
            _ => spec
                .dialect
                .set(name, value)
                .unwrap_or_else(|| Err(unknown_parameter(TaskKind::DataUpload, &["on_bad_row"]))),
        });
        errors.extend(spec.dialect.conflicts());
        if errors.is_empty() { Ok(spec) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(parameters: &[(&str, &str)]) -> Result<DataUploadSpec, Vec<ErrorLocation>> {
        let owned: Vec<_> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        DataUploadSpec::from_parameters(&owned)
    }

    #[test]
    fn bad_rows_are_skipped_by_default() {
        assert_eq!(parse(&[]).unwrap().on_bad_row, OnBadRow::Skip);
        assert_eq!(parse(&[("on_bad_row", "fail")]).unwrap().on_bad_row, OnBadRow::Fail);
    }

    #[test]
    fn every_invalid_parameter_is_named() {
        let errors =
            parse(&[("on_bad_row", "x"), ("group_by", "a"), ("on_bad_row", "skip")]).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_deref().unwrap()).collect();
        assert_eq!(fields, ["on_bad_row", "group_by", "on_bad_row"]);
    }
}
