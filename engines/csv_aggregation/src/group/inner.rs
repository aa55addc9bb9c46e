//! The last column of a group, which is kept apart from the others: groups that differ in it alone
//! lie side by side, so that the others need to be found and kept only once.
//!
//! So a group is a key, which is the other columns, and an inner, which is the number of the last
//! one's value.

use crate::group::dates::{Dates, Days};
use crate::group::order::InnerOrder;
use crate::group::values::{KnownValues, ValueOrder, Values};
use crate::options::Options;

/// What is kept apart of the groups, for all threads.
#[derive(Debug)]
pub(crate) enum Inner {
    /// Nothing: all have the number 0.
    Nothing,
    Dates(Days),
    Values(Values),
}

/// What is kept apart of the groups, as a thread knows it.
pub(crate) enum Known<'a> {
    Nothing,
    Dates(Dates<'a>),
    Values(KnownValues<'a>),
}

impl Inner {
    /// What suits these options; more than `few_values` values are too many.
    pub(crate) fn new(options: &Options, few_values: usize, seed: u64) -> Self {
        match options.group_by.len() {
            0 | 1 => Self::Nothing,
            _ if options.checks_dates() => Self::Dates(Days::default()),
            _ => Self::Values(Values::new(few_values, seed)),
        }
    }

    pub(crate) fn known(&self, seed: u64) -> Known<'_> {
        match self {
            Self::Nothing => Known::Nothing,
            Self::Dates(days) => Known::Dates(Dates::new(days)),
            Self::Values(values) => Known::Values(KnownValues::new(values, seed)),
        }
    }

    /// How many of the columns it is.
    pub(crate) fn columns(&self) -> usize {
        usize::from(!matches!(self, Self::Nothing))
    }

    /// How many different ones there are. One that another thread has seen counts when this one has
    /// locked something since that the other had locked.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Nothing => 1,
            Self::Dates(days) => days.count(),
            Self::Values(values) => values.count(),
        }
    }

    /// Whether it turned out that it is not worth it: groups that come later are kept whole.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Values(values) if values.is_closed())
    }

    /// All values, where it is that, when there will be no others.
    pub(crate) fn values(&self) -> Option<ValueOrder> {
        match self {
            Self::Values(values) => Some(values.order()),
            Self::Nothing | Self::Dates(_) => None,
        }
    }

    /// The order in which groups have it: the days in their order, values as they are numbered.
    pub(crate) fn order(&self) -> InnerOrder {
        match self {
            Self::Nothing => InnerOrder::numbered(1),
            Self::Dates(days) => days.order(),
            Self::Values(values) => InnerOrder::numbered(values.count()),
        }
    }
}

impl Known<'_> {
    /// The number of a text that stands alone; 0 where it is none.
    pub(crate) fn number_of(&mut self, text: &[u8]) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Dates(dates) => dates.number_of(text).unwrap_or_default(),
            Self::Values(values) => values.number_of(text),
        }
    }
}
