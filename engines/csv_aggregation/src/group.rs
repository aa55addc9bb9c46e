//! Groups in memory: the keys, the sums of each, and the last column as a dictionary.

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
