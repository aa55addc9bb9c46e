//! From bytes to validated rows: decompression, chunks of whole records, fields, numbers, dates,
//! and the faults of invalid rows.

pub(crate) mod check;
pub(crate) mod date;
pub(crate) mod decompress;
pub(crate) mod fault;
pub(crate) mod fields;
pub(crate) mod header;
pub(crate) mod input;
pub(crate) mod number;
pub(crate) mod number_format;
pub(crate) mod record;
pub(crate) mod rejects;
pub(crate) mod row;
