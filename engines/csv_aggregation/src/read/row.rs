//! One record of the file.

use csv::ByteRecord;

/// One record of the file.
pub(crate) struct Row<'a> {
    /// Its fields, as bytes.
    pub(crate) fields: &'a ByteRecord,
    /// The line on which it starts, from 1.
    pub(crate) line: u64,
    /// Whether it reaches the end of the file inside quotes.
    pub(crate) unterminated: bool,
}
