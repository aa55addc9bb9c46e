//! Groups in memory: the keys, the sums of each, and the last column as a dictionary.

pub(crate) mod cells;
pub(crate) mod dates;
pub(crate) mod entry;
pub(crate) mod groups;
pub(crate) mod inner;
pub(crate) mod key;
pub(crate) mod key_group;
pub(crate) mod keys;
pub(crate) mod order;
pub(crate) mod sums;
pub(crate) mod values;
