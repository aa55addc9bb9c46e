//! The parameters of a `csv_preview`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CsvDialect, set_each, unknown_parameter};
use crate::problem::ErrorLocation;
use crate::task::TaskKind;

/// The parameters of a `csv_preview`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CsvPreviewSpec {
    /// How the file is written.
    #[serde(flatten)]
    pub dialect: CsvDialect,
}

impl CsvPreviewSpec {
    /// See [`super::TaskSpec::from_parameters`].
    ///
    /// # Errors
    /// Every invalid parameter.
    pub fn from_parameters(parameters: &[(String, String)]) -> Result<Self, Vec<ErrorLocation>> {
        let mut spec = Self::default();
        let mut errors = set_each(parameters, &[], |name, value| {
            let set = spec.dialect.set(name, value);
            set.unwrap_or_else(|| Err(unknown_parameter(TaskKind::CsvPreview, &[])))
        });
        errors.extend(spec.dialect.conflicts());
        if errors.is_empty() { Ok(spec) } else { Err(errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::spec::Delimiter;

    #[test]
    fn it_takes_the_dialect_only() {
        let parse = |name: &str, value: &str| {
            CsvPreviewSpec::from_parameters(&[(name.to_owned(), value.to_owned())])
        };
        let spec = parse("delimiter", ";").unwrap();
        assert_eq!(spec.dialect.delimiter, Some(Delimiter::Semicolon));
        let reason = parse("sum", "a").unwrap_err().remove(0).reason;
        assert_eq!(
            reason,
            "is not a parameter of csv_preview: it takes delimiter, encoding, quote, escape and comment"
        );
    }
}
