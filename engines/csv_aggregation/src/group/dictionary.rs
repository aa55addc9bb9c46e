//! The last column of a group, which is kept apart from the others: groups that differ in it alone
//! lie side by side, so that the others need to be found and kept only once.
//!
//! So a group is a key, which is the other columns, and an inner, which is the number of the last
//! one's value.

use crate::group::dates::{LocalDates, SharedDates};
use crate::group::dict_ranks::DictRanks;
use crate::group::values::{LocalValues, SharedValues, ValueRanks};
use crate::options::Options;

/// What is kept apart of the groups, for all threads.
#[derive(Debug)]
pub(crate) enum DictColumn {
    /// Nothing: all have the number 0.
    None,
    Dates(SharedDates),
    Values(SharedValues),
}

/// What is kept apart of the groups, as a thread knows it.
pub(crate) enum LocalDict<'a> {
    None,
    Dates(LocalDates<'a>),
    Values(LocalValues<'a>),
}

impl DictColumn {
    /// What suits these options; more than `few_values` values are too many.
    pub(crate) fn new(options: &Options, few_values: usize, seed: u64) -> Self {
        match options.group_by.len() {
            0 | 1 => Self::None,
            _ if options.checks_dates() => Self::Dates(SharedDates::default()),
            _ => Self::Values(SharedValues::new(few_values, seed)),
        }
    }

    pub(crate) fn local(&self, seed: u64) -> LocalDict<'_> {
        match self {
            Self::None => LocalDict::None,
            Self::Dates(days) => LocalDict::Dates(LocalDates::new(days)),
            Self::Values(values) => LocalDict::Values(LocalValues::new(values, seed)),
        }
    }

    /// How many of the columns it is.
    pub(crate) fn columns(&self) -> usize {
        usize::from(!matches!(self, Self::None))
    }

    /// How many different ones there are. One that another thread has seen counts when this one has
    /// locked something since that the other had locked.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Dates(days) => days.count(),
            Self::Values(values) => values.count(),
        }
    }

    /// Whether it turned out that it is not worth it: groups that come later are kept whole.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Values(values) if values.is_closed())
    }

    /// All values, where it is that, when there will be no others.
    pub(crate) fn values(&self) -> Option<ValueRanks> {
        match self {
            Self::Values(values) => Some(values.order()),
            Self::None | Self::Dates(_) => None,
        }
    }

    /// The order in which groups have it: the days in their order, values as they are numbered.
    pub(crate) fn order(&self) -> DictRanks {
        match self {
            Self::None => DictRanks::numbered(1),
            Self::Dates(days) => days.order(),
            Self::Values(values) => DictRanks::numbered(values.count()),
        }
    }
}

impl LocalDict<'_> {
    /// The number of a text that stands alone; 0 where it is none.
    pub(crate) fn number_of(&mut self, text: &[u8]) -> u32 {
        match self {
            Self::None => 0,
            Self::Dates(dates) => dates.number_of(text).unwrap_or_default(),
            Self::Values(values) => values.number_of(text),
        }
    }
}
