//! Sums of CSV files: the result is a file, and nothing is left in the database.

/// The kind `csv_aggregation`.
pub struct CsvAggregation;

impl super::Kind for CsvAggregation {}
