//! The first rows of a CSV file and statistics of its columns: the result of a `csv_preview` task.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::task::spec::CsvDialect;

/// A preview of a CSV file. Row counts and column types cover the whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CsvPreview {
    /// The columns in the order of the header, the first 1,000 of them.
    pub columns: Vec<PreviewColumn>,
    /// How many columns the header has.
    #[schema(example = 3)]
    pub column_count: u64,
    /// The values of the first 100 rows, or fewer if they are long; values are truncated after 200
    /// characters.
    #[schema(example = json!([["Umbrella", "2020-01-02", "200"]]))]
    pub rows: Vec<Vec<String>>,
    /// How many rows the file has, without the header.
    #[schema(example = 7)]
    pub row_count: u64,
    /// How many rows have another number of fields than the header, or end within quotes.
    #[schema(example = 0)]
    pub irregular_row_count: u64,
    /// How the file was read.
    #[serde(default)]
    pub dialect: CsvDialect,
}

/// A column of a CSV file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewColumn {
    /// Its name in the header.
    #[schema(example = "Number of Plays")]
    pub name: String,
    /// The narrowest type that all of its values have.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// How many of its values are not empty.
    #[schema(example = 7)]
    pub value_count: u64,
    /// How many of its values are empty or missing.
    #[schema(example = 0)]
    pub empty_count: u64,
}

/// The type of all values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Empty.
    Empty,
    /// Whole numbers, such as `-12`.
    Integer,
    /// Numbers, some of them with decimal places, such as `12.50`.
    Decimal,
    /// Days, such as `2020-01-31`.
    Date,
    /// Times with their zone by RFC 3339, such as `2020-01-31T12:00:00Z`.
    Timestamp,
    /// `true` and `false`, in any case.
    Boolean,
    /// Anything else.
    Text,
}
