//! Dictionary encoding of the last group column.
//!
//! A group is a key, made of the other columns, and a dictionary id, which stands for the value of
//! the last column. Groups that differ only in the last column share a key, which is looked up and
//! stored once, and their sums are stored side by side.

use crate::group::dates::{LocalDates, SharedDates};
use crate::group::dict_ranks::DictRanks;
use crate::group::values::{LocalValues, SharedValues, ValueRanks};
use crate::options::Options;

/// The dictionary of the last group column, shared by all threads.
#[derive(Debug)]
pub(crate) enum DictColumn {
    /// No column is encoded. Every key has one group, with id 0.
    None,
    Dates(SharedDates),
    Values(SharedValues),
}

/// A thread's view of the [`DictColumn`], which looks up known values without a lock.
pub(crate) enum LocalDict<'a> {
    None,
    Dates(LocalDates<'a>),
    Values(LocalValues<'a>),
}

impl DictColumn {
    /// The dictionary for these options. One of values is closed beyond `max_values`.
    pub(crate) fn new(options: &Options, max_values: usize, seed: u64) -> Self {
        match options.group_by.len() {
            0 | 1 => Self::None,
            _ if options.checks_dates() => Self::Dates(SharedDates::default()),
            _ => Self::Values(SharedValues::new(max_values, seed)),
        }
    }

    pub(crate) fn local(&self, seed: u64) -> LocalDict<'_> {
        match self {
            Self::None => LocalDict::None,
            Self::Dates(dates) => LocalDict::Dates(LocalDates::new(dates)),
            Self::Values(values) => LocalDict::Values(LocalValues::new(values, seed)),
        }
    }

    /// The number of encoded columns: 0 or 1.
    pub(crate) fn columns(&self) -> usize {
        usize::from(!matches!(self, Self::None))
    }

    /// The number of ids. An id that another thread has added is included once this thread has
    /// acquired a lock that the other one released afterwards.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Dates(dates) => dates.count(),
            Self::Values(values) => values.count(),
        }
    }

    /// Whether the column has too many distinct values to be worth encoding: further groups are
    /// stored inline.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Values(values) if values.is_closed())
    }

    /// The order of all values, if this is a dictionary of values. Called when it is complete.
    pub(crate) fn values(&self) -> Option<ValueRanks> {
        match self {
            Self::Values(values) => Some(values.order()),
            Self::None | Self::Dates(_) => None,
        }
    }

    /// The order of the ids within a key: dates in calendar order, values by number. Values are
    /// sorted only for the output, as new ones would change their ranks.
    pub(crate) fn order(&self) -> DictRanks {
        match self {
            Self::None => DictRanks::numbered(1),
            Self::Dates(dates) => dates.order(),
            Self::Values(values) => DictRanks::numbered(values.count()),
        }
    }
}

impl LocalDict<'_> {
    /// The id of a single text; 0 if no column is encoded.
    pub(crate) fn number_of(&mut self, text: &[u8]) -> u32 {
        match self {
            Self::None => 0,
            Self::Dates(dates) => dates.number_of(text).unwrap_or_default(),
            Self::Values(values) => values.number_of(text),
        }
    }
}
