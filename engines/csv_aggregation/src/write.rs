//! From groups to the lines of the result.

pub(crate) mod result;
pub(crate) mod totals;
