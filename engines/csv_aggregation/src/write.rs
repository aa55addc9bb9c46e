//! Writes the result: merges the groups range by range and formats them as CSV.

pub(crate) mod result;
pub(crate) mod totals;
