//! The options of an aggregation.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use csv_input::DialectOptions;

/// The default of [`Options::memory_limit`].
pub const DEFAULT_MEMORY_LIMIT: u64 = 512 << 20;

/// The default of [`Options::unpacked_limit`].
pub const DEFAULT_UNPACKED_LIMIT: u64 = 100 << 30;

/// How to handle invalid rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBadRow {
    /// Fail, with a list of the first ones.
    #[default]
    Fail,
    /// Skip them, and write them to the rejected rows.
    Skip,
}

/// How numbers are written, apart from plain digits with a minus, which are always permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberFormat {
    /// The byte before decimals, which must be zeros; none are permitted if absent.
    pub decimal: Option<u8>,
    /// The separator of groups of three digits; none is permitted if absent.
    pub thousands: Option<Thousands>,
}

/// The separator of groups of three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thousands {
    /// This byte.
    Byte(u8),
    /// A blank, ordinary or not breaking lines.
    Blank,
}

/// What to sum, by which columns, and within which limits.
///
/// See [`Options::new`] for the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The columns to group by, in the order of the output; at least one.
    pub group_by: Vec<String>,
    /// The columns to sum, in the order of the output; at least one.
    pub sum: Vec<String>,
    /// The name of the last sum in the header of the output, if different.
    pub total_header: Option<String>,
    /// How the fields of the input are separated, as far as it is known.
    pub dialect: DialectOptions,
    /// How the numbers to sum are written.
    pub numbers: NumberFormat,
    /// How to handle invalid rows.
    pub on_bad_row: OnBadRow,
    /// Whether the last group column must be a date (`YYYY-MM-DD`). Ignored for a single column.
    pub last_is_date: bool,
    /// The memory of the groups in bytes. Beyond it, they are spilled to temporary files.
    pub memory_limit: u64,
    /// The folder of the temporary files. They are unlinked as soon as they are opened, so none
    /// outlives the process.
    pub spill_folder: PathBuf,
    /// The number of threads.
    pub threads: usize,
    /// The largest size in bytes of a compressed input once it is decompressed.
    pub unpacked_limit: u64,
}

impl Options {
    /// Groups by and sums these columns, with the default limits and a thread per processor.
    /// Invalid rows fail the aggregation.
    #[must_use]
    pub fn new(group_by: Vec<String>, sum: Vec<String>) -> Self {
        Self {
            group_by,
            sum,
            total_header: None,
            dialect: DialectOptions::default(),
            numbers: NumberFormat::default(),
            on_bad_row: OnBadRow::Fail,
            last_is_date: false,
            memory_limit: DEFAULT_MEMORY_LIMIT,
            spill_folder: std::env::temp_dir(),
            threads: thread::available_parallelism().map_or(1, NonZero::get),
            unpacked_limit: DEFAULT_UNPACKED_LIMIT,
        }
    }

    /// The columns that the input must have.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.group_by.iter().chain(&self.sum).map(String::as_str).collect()
    }

    /// Whether the last group column is validated as a date.
    pub(crate) fn checks_dates(&self) -> bool {
        self.last_is_date && self.group_by.len() > 1
    }

    /// The column names of the output.
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
