//! Sums of CSV files: the result is a file, and the database keeps only the task.

/// The kind `csv_aggregation`.
pub struct CsvAggregation;

impl super::Kind for CsvAggregation {}
