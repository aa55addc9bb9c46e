//! `csv_aggregation`: converts the parameters and results of tasks to those of the engine, which is
//! the crate of the same name.

use common::task::spec::{CsvAggregationSpec, CsvDialect, OnBadRow, ThousandsMark};
use csv_aggregation::{NumberFormat, Options, Summary, Thousands};
use serde::Serialize;

use crate::dialect;

/// The `result` of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AggregationResult {
    /// The rows after the header, including rejected ones but not blank lines.
    pub rows_read: u64,
    /// The invalid rows, which were skipped.
    pub rows_rejected: u64,
    /// The rows of the result after its header.
    pub groups: u64,
    /// The size of the result in bytes.
    pub output_size: u64,
    /// How the file was read.
    pub dialect: CsvDialect,
}

impl From<Summary> for AggregationResult {
    fn from(summary: Summary) -> Self {
        let Summary { rows_read, rows_rejected, groups, output_size, dialect } = summary;
        Self { rows_read, rows_rejected, groups, output_size, dialect: dialect::found(dialect) }
    }
}

/// The engine's options for a task whose groups may take up to `memory_limit` bytes. If the task
/// has a smaller limit of its own, that one applies.
#[must_use]
pub fn options(spec: &CsvAggregationSpec, memory_limit: u64) -> Options {
    let mut options = Options::new(spec.group_by.clone(), spec.sum.clone());
    options.total_header = spec.total_header.clone();
    options.on_bad_row = match spec.on_bad_row {
        OnBadRow::Fail => csv_aggregation::OnBadRow::Fail,
        OnBadRow::Skip => csv_aggregation::OnBadRow::Skip,
    };
    options.dialect = dialect::options(&spec.dialect);
    options.numbers = NumberFormat {
        // Both are ASCII.
        decimal: spec.decimal.map(|mark| mark.character() as u8),
        thousands: spec.thousands.map(|mark| match mark {
            ThousandsMark::Space => Thousands::Blank,
            mark => Thousands::Byte(mark.character() as u8),
        }),
    };
    options.last_is_date = spec.has_default_grouping();
    options.memory_limit = spec.memory_limit.unwrap_or(memory_limit).min(memory_limit);
    options
}

#[cfg(test)]
mod tests {
    use csv_input::{Delimiter, Dialect};

    use super::*;

    #[test]
    fn the_smaller_memory_limit_applies() {
        let mut spec = CsvAggregationSpec::default();
        assert_eq!(options(&spec, 100).memory_limit, 100);
        spec.memory_limit = Some(50);
        assert_eq!(options(&spec, 100).memory_limit, 50);
        spec.memory_limit = Some(200);
        assert_eq!(options(&spec, 100).memory_limit, 100);
    }

    #[test]
    fn dates_are_checked_with_the_default_grouping_only() {
        let mut spec = CsvAggregationSpec::default();
        assert!(options(&spec, 1).last_is_date);
        spec.group_by = vec!["Song".to_owned(), "Day".to_owned()];
        assert!(!options(&spec, 1).last_is_date);
    }

    #[test]
    fn marks_of_numbers_are_those_of_the_engine() {
        use common::task::spec::DecimalMark;
        let mut spec =
            CsvAggregationSpec { decimal: Some(DecimalMark::Comma), ..Default::default() };
        assert_eq!(
            options(&spec, 1).numbers,
            NumberFormat { decimal: Some(b','), thousands: None }
        );
        spec.thousands = Some(ThousandsMark::Space);
        assert_eq!(options(&spec, 1).numbers.thousands, Some(Thousands::Blank));
        spec.thousands = Some(ThousandsMark::Apostrophe);
        assert_eq!(options(&spec, 1).numbers.thousands, Some(Thousands::Byte(b'\'')));
    }

    #[test]
    fn the_result_has_a_stable_wire_format() {
        let dialect = Dialect { delimiter: Delimiter::Semicolon, ..Dialect::default() };
        let summary =
            Summary { rows_read: 1, rows_rejected: 2, groups: 3, output_size: 4, dialect };
        assert_eq!(
            serde_json::to_string(&AggregationResult::from(summary)).unwrap(),
            r#"{"rows_read":1,"rows_rejected":2,"groups":3,"output_size":4,"dialect":{"delimiter":";","encoding":"utf-8"}}"#
        );
    }
}
