//! From bytes to checked rows: decompression, chunks of whole records, fields, numbers and dates, and
//! what is wrong with a row.

pub(crate) mod check;
pub(crate) mod date;
pub(crate) mod decompress;
pub(crate) mod fault;
pub(crate) mod fields;
pub(crate) mod header;
pub(crate) mod input;
pub(crate) mod number;
pub(crate) mod record;
pub(crate) mod rejects;
pub(crate) mod row;
