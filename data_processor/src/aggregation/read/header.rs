//! The header of the input: where the columns are.

use csv::ByteRecord;

use crate::aggregation::error::AggregationError;
use crate::aggregation::options::Options;
use crate::aggregation::read::row::Row;
use crate::aggregation::shown;

/// A header that has every needed column once.
pub(crate) struct Header {
    fields: ByteRecord,
    /// Where the columns of a group are, in the order of the output, from 0.
    pub(crate) group_by: Vec<usize>,
    /// Where the columns to sum are, in the order of the output, from 0.
    pub(crate) sum: Vec<usize>,
}

impl Header {
    /// Finds the columns by their names, which are trimmed and case-sensitive.
    pub(crate) fn new(row: Row<'_>, options: &Options) -> Result<Self, AggregationError> {
        if row.unterminated {
            return Err(AggregationError::UnterminatedHeader { line: row.line });
        }
        let mut names = Vec::with_capacity(row.fields.len());
        for (index, field) in row.fields.iter().enumerate() {
            let name = std::str::from_utf8(field).map_err(|_| AggregationError::HeaderNotUtf8 {
                line: row.line,
                column: index as u64 + 1,
                value: shown::value(field),
            })?;
            names.push(name.trim());
        }
        let mut missing = Vec::new();
        let mut find = |column: &String| {
            let mut found = (0..names.len()).filter(|index| names[*index] == column);
            match (found.next(), found.next()) {
                (Some(index), None) => Ok(index),
                (None, _) => {
                    missing.push(shown::name(column));
                    Ok(0)
                }
                (Some(first), Some(second)) => Err(AggregationError::RepeatedColumn {
                    line: row.line,
                    name: shown::name(column),
                    first: first as u64 + 1,
                    second: second as u64 + 1,
                }),
            }
        };
        let group_by = options.group_by.iter().map(&mut find).collect::<Result<_, _>>()?;
        let sum = options.sum.iter().map(&mut find).collect::<Result<_, _>>()?;
        if !missing.is_empty() {
            return Err(AggregationError::MissingColumns {
                line: row.line,
                missing,
                present: names.iter().take(SHOWN_COLUMNS).map(|name| shown::name(name)).collect(),
                more: names.len().saturating_sub(SHOWN_COLUMNS) as u64,
            });
        }
        Ok(Self { fields: row.fields.clone(), group_by, sum })
    }

    /// How many fields a row has.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// The name of the column at `index`, for a message.
    pub(crate) fn name(&self, index: usize) -> Option<String> {
        let name = std::str::from_utf8(self.fields.get(index)?).ok()?;
        Some(shown::name(name.trim()))
    }
}

/// As many of the input's columns are listed where one is missing.
const SHOWN_COLUMNS: usize = 20;
