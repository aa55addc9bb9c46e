//! Groups in memory: a hash table of keys, their sums, and the dictionary of the last column.

pub(crate) mod dates;
pub(crate) mod dict_ranks;
pub(crate) mod dictionary;
pub(crate) mod entry;
pub(crate) mod groups;
pub(crate) mod key;
pub(crate) mod key_group;
pub(crate) mod key_table;
pub(crate) mod sum_table;
pub(crate) mod sums;
pub(crate) mod values;
