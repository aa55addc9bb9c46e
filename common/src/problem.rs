//! Errors on the wire: RFC 9457 problem documents.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::clock;

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// At most this many individual errors are listed; `error_count` counts them all.
pub const MAX_LISTED_ERRORS: usize = 100;

/// An error, described in words that a person can act on (RFC 9457). The `error` of a task has the
/// same shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `/problems/` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The type of problem, the same for every occurrence.
    pub title: String,
    /// The HTTP status of the problem.
    pub status: u16,
    /// The cause of this occurrence, and what to do about it.
    pub detail: String,
    /// The path of the request or of the task.
    pub instance: Option<String>,
    /// A stable, machine-readable code.
    pub code: String,
    /// When it happened, UTC.
    pub timestamp: DateTime<Utc>,
    /// The individual errors, at most the first 100.
    pub errors: Vec<ErrorLocation>,
    /// The total number of individual errors.
    pub error_count: u64,
    /// Parameters with which the task may succeed; absent if none are known.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub suggested_parameters: Map<String, Value>,
}

/// An individual error and its location in the input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ErrorLocation {
    /// The line of the file on which the record starts, from 1.
    pub line: Option<u64>,
    /// The field's position in its record, from 1.
    pub column: Option<u64>,
    /// The name of the column, parameter or JSON field.
    pub field: Option<String>,
    /// The error at this location.
    pub reason: String,
}

impl ErrorLocation {
    /// An error of the parameter or JSON field `field`.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: Some(field.into()), reason: reason.into(), ..Self::default() }
    }
}

impl Problem {
    /// A problem without individual errors.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            instance: None,
            code: code.to_owned(),
            timestamp: clock::now(),
            errors: Vec::new(),
            error_count: 0,
            suggested_parameters: Map::new(),
        }
    }

    /// Adds individual errors: the first 100 of `errors`, of a total of `count`.
    #[must_use]
    pub fn with_errors(mut self, mut errors: Vec<ErrorLocation>, count: u64) -> Self {
        errors.truncate(MAX_LISTED_ERRORS);
        self.errors = errors;
        self.error_count = count;
        self
    }

    /// Suggests to run the task with this parameter.
    #[must_use]
    pub fn suggesting(mut self, parameter: &str, value: impl Into<Value>) -> Self {
        self.suggested_parameters.insert(parameter.to_owned(), value.into());
        self
    }

    /// Sets the path of the request or task.
    #[must_use]
    pub fn with_instance(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)
    }
}
