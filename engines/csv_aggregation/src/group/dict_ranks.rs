//! The order of the ids.

/// The ids seen so far in their order.
#[derive(Debug)]
pub(crate) struct DictRanks {
    /// The code of each, by which it is told outside of the tables: that of a day
    /// ([`crate::group::dates::text`]), the number of a value.
    pub(crate) codes: Vec<u32>,
    /// The number of each.
    pub(crate) ids: Vec<u32>,
    /// The place in the order for each number.
    pub(crate) ranks: Vec<u32>,
}

impl DictRanks {
    /// That of what is told by its number, from 0 up to `count`.
    pub(crate) fn numbered(count: usize) -> Self {
        let numbers: Vec<_> = (0..count as u32).collect();
        Self { codes: numbers.clone(), ids: numbers.clone(), ranks: numbers }
    }
}
