//! What an aggregation is asked to do.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use common::task::spec::{CsvAggregationSpec, OnBadRow};

/// Memory in bytes that the groups may take where nothing else is said.
pub const DEFAULT_MEMORY_LIMIT: u64 = 512 << 20;

/// How large in bytes a compressed input may be when it is unpacked, where nothing else is said.
pub const DEFAULT_UNPACKED_LIMIT: u64 = 100 << 30;

/// What to sum by what, and within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The columns whose values make a group, in the order of the output.
    pub group_by: Vec<String>,
    /// The columns that are summed.
    pub sum: Vec<String>,
    /// Another name for the last sum in the output's header.
    pub total_header: Option<String>,
    /// What to do with an invalid row.
    pub on_bad_row: OnBadRow,
    /// Whether the second column of a group must be a date.
    pub check_dates: bool,
    /// Memory in bytes that the groups may take; further ones go to temporary files.
    pub memory_limit: u64,
    /// The folder of the temporary files. They have no names there, so they never stay.
    pub spill_folder: PathBuf,
    /// How many threads work.
    pub threads: usize,
    /// How large in bytes a compressed input may be when it is unpacked.
    pub unpacked_limit: u64,
}

impl Options {
    /// The options of a task that may take up to `memory_limit` bytes for its groups. The task's
    /// own limit counts where it is the smaller one.
    #[must_use]
    pub fn new(spec: &CsvAggregationSpec, memory_limit: u64) -> Self {
        Self {
            group_by: spec.group_by.clone(),
            sum: spec.sum.clone(),
            total_header: spec.total_header.clone(),
            on_bad_row: spec.on_bad_row,
            check_dates: spec.has_default_grouping(),
            memory_limit: spec.memory_limit.unwrap_or(memory_limit).min(memory_limit),
            spill_folder: std::env::temp_dir(),
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            unpacked_limit: DEFAULT_UNPACKED_LIMIT,
        }
    }

    /// The header of the output.
    pub(crate) fn output_header(&self) -> impl Iterator<Item = &str> {
        let renamed = self.total_header.as_deref();
        let last = self.sum.len().saturating_sub(1);
        let sums = self.sum.iter().enumerate().map(move |(index, column)| match renamed {
            Some(name) if index == last => name,
            _ => column.as_str(),
        });
        self.group_by.iter().map(String::as_str).chain(sums)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_memory_limit_counts() {
        let mut spec = CsvAggregationSpec::default();
        assert_eq!(Options::new(&spec, 100).memory_limit, 100);
        spec.memory_limit = Some(50);
        assert_eq!(Options::new(&spec, 100).memory_limit, 50);
        spec.memory_limit = Some(200);
        assert_eq!(Options::new(&spec, 100).memory_limit, 100);
    }

    #[test]
    fn dates_are_checked_under_the_default_grouping_only() {
        let mut spec = CsvAggregationSpec::default();
        assert!(Options::new(&spec, 1).check_dates);
        spec.group_by = vec!["Song".to_owned(), "Day".to_owned()];
        assert!(!Options::new(&spec, 1).check_dates);
    }

    #[test]
    fn the_total_header_renames_the_last_sum() {
        let spec = CsvAggregationSpec {
            sum: vec!["a".to_owned(), "b".to_owned()],
            total_header: Some("total".to_owned()),
            ..CsvAggregationSpec::default()
        };
        let options = Options::new(&spec, 1);
        assert_eq!(options.output_header().collect::<Vec<_>>(), ["Song", "Date", "a", "total"]);
    }
}
