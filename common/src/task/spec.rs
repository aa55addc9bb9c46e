//! Task specs: one variant per kind, with its parameters.
//!
//! # Stored JSON
//! Specs are stored with their tasks, as are progress, checkpoints, results, errors, outputs and
//! answers (`Progress`, `LoadCheckpoint`, `Problem`, `Output`, `TaskView`). This version reads what
//! earlier versions wrote, and during an upgrade of a fleet the previous version reads what this
//! one writes. So:
//!
//! - A field or a variant is never renamed or removed, and its type never changes.
//! - A new field has `#[serde(default)]`, and `skip_serializing_if` for that default: a spec is
//!   part of the key that identifies repeated uploads, so a new field must not change the JSON of
//!   specs that do not use it.
//! - Unknown fields are ignored: no `deny_unknown_fields`.
//! - A new value of an enumeration is read by one release and written by the next one at the
//!   earliest. A kind of task is the exception: versions that do not know it skip its tasks.
//!
//! `common/tests/stored_json.rs` reads what each version wrote.

mod bulk_action;
mod changes;
mod csv_aggregation;
mod csv_preview;
mod data_upload;
mod dialect;
mod message_validation;
mod numbers;
mod report_email;

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::TaskKind;
use crate::problem::ErrorLocation;
use crate::user_event::UserEvent;

pub use bulk_action::BulkActionSpec;
pub use csv_aggregation::{CsvAggregationSpec, DEFAULT_GROUP_BY, DEFAULT_SUM};
pub use csv_preview::CsvPreviewSpec;
pub use data_upload::DataUploadSpec;
pub use dialect::{CsvDialect, Delimiter, Encoding, Mark};
pub use message_validation::MessageValidationSpec;
pub use numbers::{DecimalMark, ThousandsMark};
pub use report_email::ReportEmailSpec;

/// A kind of task with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TaskSpec {
    /// Sums of a CSV file's columns by groups of equal rows.
    CsvAggregation(CsvAggregationSpec),
    /// Lines, words and characters of any file.
    FileStatistics,
    /// Loads the rows of a CSV file into the database.
    DataUpload(DataUploadSpec),
    /// Validates a message by the number drawn for it.
    MessageValidation(MessageValidationSpec),
    /// Records an event of a user.
    UserEvent(UserEvent),
    /// Sends the report of user events by e-mail.
    ReportEmail(ReportEmailSpec),
    /// The first rows of a CSV file, and statistics of its columns.
    CsvPreview(CsvPreviewSpec),
    /// Stops, kills, resumes or deletes many tasks.
    BulkAction(BulkActionSpec),
}

impl TaskSpec {
    /// The spec of a `kind` from the parameters of a client, in any order.
    ///
    /// # Errors
    /// One for each parameter that is unknown, must not repeat or has an invalid value.
    pub fn from_parameters(
        kind: TaskKind,
        parameters: &[(String, String)],
    ) -> Result<Self, Vec<ErrorLocation>> {
        match kind {
            TaskKind::CsvAggregation => {
                CsvAggregationSpec::from_parameters(parameters).map(Self::CsvAggregation)
            }
            TaskKind::FileStatistics => {
                no_parameters(kind, parameters).map(|()| Self::FileStatistics)
            }
            TaskKind::CsvPreview => {
                CsvPreviewSpec::from_parameters(parameters).map(Self::CsvPreview)
            }
            TaskKind::DataUpload => {
                DataUploadSpec::from_parameters(parameters).map(Self::DataUpload)
            }
            TaskKind::MessageValidation
            | TaskKind::UserEvent
            | TaskKind::ReportEmail
            | TaskKind::BulkAction => Err(vec![ErrorLocation::field("kind", no_file(kind))]),
        }
    }

    /// The kind of task.
    #[must_use]
    pub fn kind(&self) -> TaskKind {
        match self {
            Self::CsvAggregation(_) => TaskKind::CsvAggregation,
            Self::FileStatistics => TaskKind::FileStatistics,
            Self::DataUpload(_) => TaskKind::DataUpload,
            Self::MessageValidation(_) => TaskKind::MessageValidation,
            Self::UserEvent(_) => TaskKind::UserEvent,
            Self::ReportEmail(_) => TaskKind::ReportEmail,
            Self::CsvPreview(_) => TaskKind::CsvPreview,
            Self::BulkAction(_) => TaskKind::BulkAction,
        }
    }
}

impl TaskSpec {
    /// The names of all parameters that kinds take from clients: an aggregation takes all of them.
    pub fn parameter_names() -> impl Iterator<Item = &'static str> {
        CsvAggregationSpec::PARAMETERS.into_iter().chain(CsvDialect::PARAMETERS)
    }

    /// The parameters of a kind that takes some, as names and values, including defaults. One that
    /// was not given and has no default is left out.
    #[must_use]
    pub fn parameters(&self) -> Option<Value> {
        let parameters = match self {
            Self::CsvAggregation(spec) => serde_json::to_value(spec),
            Self::DataUpload(spec) => serde_json::to_value(spec),
            Self::CsvPreview(spec) if *spec != CsvPreviewSpec::default() => {
                serde_json::to_value(spec)
            }
            Self::FileStatistics
            | Self::CsvPreview(_)
            | Self::MessageValidation(_)
            | Self::UserEvent(_)
            | Self::ReportEmail(_)
            | Self::BulkAction(_) => return None,
        };
        let mut parameters = parameters.ok()?;
        parameters.as_object_mut()?.retain(|_, value| !value.is_null());
        Some(parameters)
    }
}

/// Passes each parameter to `set`. Returns an error for each that is invalid, or that is given more
/// than once and is not `repeatable`.
fn set_each(
    parameters: &[(String, String)],
    repeatable: &[&str],
    mut set: impl FnMut(&str, &str) -> Result<(), String>,
) -> Vec<ErrorLocation> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, value) in parameters {
        let set = match repeatable.contains(&name.as_str()) || seen.insert(name.as_str()) {
            true => set(name, value),
            false => Err("is given more than once".to_owned()),
        };
        if let Err(reason) = set {
            errors.push(ErrorLocation::field(name, reason));
        }
    }
    errors
}

/// Why a kind does not take a parameter: the ones that it takes are its `own` and those of the
/// dialect.
fn unknown_parameter(kind: TaskKind, own: &[&str]) -> String {
    let mut names: Vec<&str> = own.iter().chain(&CsvDialect::PARAMETERS).copied().collect();
    let last = names.pop().unwrap_or_default();
    let names = match names.is_empty() {
        true => last.to_owned(),
        false => format!("{} and {last}", names.join(", ")),
    };
    format!("is not a parameter of {kind}: it takes {names}")
}

/// For kinds without parameters: every given one is an error.
fn no_parameters(
    kind: TaskKind,
    parameters: &[(String, String)],
) -> Result<(), Vec<ErrorLocation>> {
    if parameters.is_empty() {
        return Ok(());
    }
    let reason = format!("is not a parameter of {kind}: it takes none");
    Err(parameters.iter().map(|(name, _)| ErrorLocation::field(name, reason.as_str())).collect())
}

/// Why a kind of task cannot be created by an upload.
fn no_file(kind: TaskKind) -> String {
    let instead = kind.created_by().unwrap_or_default();
    format!("{kind} takes no file; such tasks are created by {instead}")
}

/// What to do with an invalid row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBadRow {
    /// The task fails and names the rows.
    #[default]
    Fail,
    /// The row is rejected, the others are processed.
    Skip,
}

impl FromStr for OnBadRow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "fail" => Ok(Self::Fail),
            "skip" => Ok(Self::Skip),
            _ => Err(format!("`{text}` is neither `fail` nor `skip`")),
        }
    }
}
