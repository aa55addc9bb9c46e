//! Resolves column names to positions.

use csv_input::HeaderError;

use crate::options::Options;
use crate::read::row::Row;

/// The header of the input, with the positions of the columns that the aggregation uses.
pub(crate) struct Header {
    names: csv_input::Header,
    /// Positions of the group columns, from 0, in the order of the output.
    pub(crate) group_by: Vec<usize>,
    /// Positions of the columns to sum, from 0, in the order of the output.
    pub(crate) sum: Vec<usize>,
}

impl Header {
    /// Looks up the columns by name.
    pub(crate) fn new(row: Row<'_>, options: &Options) -> Result<Self, HeaderError> {
        let names = csv_input::Header::new(row.fields.iter(), row.line, row.unterminated)?;
        let mut group_by = names.positions(&options.columns())?;
        let sum = group_by.split_off(options.group_by.len());
        Ok(Self { names, group_by, sum })
    }

    /// The number of fields that a row must have.
    pub(crate) fn len(&self) -> usize {
        self.names.column_count()
    }

    /// The name of the column at `index`, shortened for messages.
    pub(crate) fn name(&self, index: usize) -> Option<String> {
        self.names.name(index).map(csv_input::name_excerpt)
    }
}
