//! One parsed record.

use csv::ByteRecord;

/// One parsed record, which may be invalid.
pub(crate) struct Row<'a> {
    /// The fields, unescaped.
    pub(crate) fields: &'a ByteRecord,
    /// The line on which the record starts, from 1.
    pub(crate) line: u64,
    /// Whether the file ends inside its quotes.
    pub(crate) unterminated: bool,
}
