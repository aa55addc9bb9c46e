//! The sort order of dictionary ids.

/// The sort order of the dictionary ids seen so far.
#[derive(Debug)]
pub(crate) struct DictRanks {
    /// The codes by rank. A code stands for the id outside of the tables: the code of a date
    /// ([`crate::group::dates::text`]) or the number of a value.
    pub(crate) codes: Vec<u32>,
    /// The ids by rank.
    pub(crate) ids: Vec<u32>,
    /// The ranks by id.
    pub(crate) ranks: Vec<u32>,
}

impl DictRanks {
    /// The identity order of `count` ids, which are their own codes.
    pub(crate) fn numbered(count: usize) -> Self {
        let numbers: Vec<_> = (0..count as u32).collect();
        Self { codes: numbers.clone(), ids: numbers.clone(), ranks: numbers }
    }
}
