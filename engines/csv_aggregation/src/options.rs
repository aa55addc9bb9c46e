//! What an aggregation computes, and within which limits.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

/// The default of [`Options::memory_limit`].
pub const DEFAULT_MEMORY_LIMIT: u64 = 512 << 20;

/// The default of [`Options::unpacked_limit`].
pub const DEFAULT_UNPACKED_LIMIT: u64 = 100 << 30;

/// What happens to invalid rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadRow {
    /// The aggregation fails and lists the first of them.
    #[default]
    Fail,
    /// They are left out, and written to the rejected rows.
    Skip,
}

/// What to sum, by which columns, and within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The columns whose values make a group, in the order of the output; at least one.
    pub group_by: Vec<String>,
    /// The columns that are summed, in the order of the output; at least one.
    pub sum: Vec<String>,
    /// Another name for the last sum in the output's header.
    pub total_header: Option<String>,
    /// What happens to invalid rows.
    pub on_bad_row: OnBadRow,
    /// Whether the last column of a group must be a date (`YYYY-MM-DD`); for groups of two or more
    /// columns.
    pub last_is_date: bool,
    /// Memory in bytes that the groups may take; further ones go to temporary files.
    pub memory_limit: u64,
    /// The folder of the temporary files. They are unlinked as soon as they are opened, so none
    /// outlives the process.
    pub spill_folder: PathBuf,
    /// How many threads work.
    pub threads: usize,
    /// The largest size in bytes of a compressed input once it is decompressed.
    pub unpacked_limit: u64,
}

impl Options {
    /// Sums these columns by groups of those, with the default limits, on all processors.
    #[must_use]
    pub fn new(group_by: Vec<String>, sum: Vec<String>) -> Self {
        Self {
            group_by,
            sum,
            total_header: None,
            on_bad_row: OnBadRow::Fail,
            last_is_date: false,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            spill_folder: std::env::temp_dir(),
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            unpacked_limit: DEFAULT_UNPACKED_LIMIT,
        }
    }

    /// Whether the last column of a group is checked to be a date.
    pub(crate) fn checks_dates(&self) -> bool {
        self.last_is_date && self.group_by.len() > 1
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
    fn the_total_header_renames_the_last_sum() {
        let names = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let mut options = Options::new(names(["Song", "Date"]), names(["a", "b"]));
        options.total_header = Some("total".to_owned());
        assert_eq!(options.output_header().collect::<Vec<_>>(), ["Song", "Date", "a", "total"]);
    }
}
