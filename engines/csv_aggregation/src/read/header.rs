//! The columns that an aggregation needs.

use csv_input::HeaderError;

use crate::options::Options;
use crate::read::row::Row;

/// Where the columns of groups and sums are.
pub(crate) struct Header {
    names: csv_input::Header,
    /// The columns of a group, in the order of the output, from 0.
    pub(crate) group_by: Vec<usize>,
    /// The columns to sum, in the order of the output, from 0.
    pub(crate) sum: Vec<usize>,
}

impl Header {
    /// Finds the columns by their names.
    pub(crate) fn new(row: Row<'_>, options: &Options) -> Result<Self, HeaderError> {
        let names = csv_input::Header::new(row.fields.iter(), row.line, row.unterminated)?;
        let needed: Vec<&String> = options.group_by.iter().chain(&options.sum).collect();
        let mut group_by = names.positions(&needed)?;
        let sum = group_by.split_off(options.group_by.len());
        Ok(Self { names, group_by, sum })
    }

    /// How many fields a row has.
    pub(crate) fn len(&self) -> usize {
        self.names.column_count()
    }

    /// The name of the column at `index`, for a message.
    pub(crate) fn name(&self, index: usize) -> Option<String> {
        self.names.name(index).map(csv_input::name_excerpt)
    }
}
