//! The plainest possible engine with the same behaviour: one thread that handles one row after the
//! other, with the reader and writer of the `csv` crate. The fast engine is compared with it.

mod reader;
mod scanner;

use std::collections::BTreeMap;
use std::io::Read;

use csv_input::{BadRows, name_excerpt, value_excerpt};

pub(super) use self::reader::Reader;
use super::{Outcome, Unlimited};
use crate::error::AggregationError;
use crate::options::{OnBadRow, Options};
use crate::read::check::RowCheck;
use crate::read::header::Header;
use crate::read::rejects;
use crate::run::Summary;

/// Aggregates `input`.
pub(super) fn run(input: impl Read, options: &Options) -> Result<Outcome, AggregationError> {
    let dialect = options.dialect.with(options.dialect.delimiter.unwrap_or_default());
    let mut reader = Reader::open(input, &Unlimited, dialect)?;
    let header = Header::new(reader.header()?, options)?;
    let check = RowCheck::new(&header, options);
    let mut groups = BTreeMap::new();
    let mut bad = BadRows::default();
    let mut rejected = rejects::HEADER.to_vec();
    let mut values = vec![0; options.sum.len()];
    let mut summary = Summary { dialect, ..Summary::default() };

    while let Some(row) = reader.next()? {
        summary.rows_read += 1;
        match (check.check(&row, &mut values), options.on_bad_row) {
            (Ok(()), _) => {
                let key: Vec<_> =
                    header.group_by.iter().map(|at| row.fields[*at].to_vec()).collect();
                let sums = groups.entry(key).or_insert_with(|| vec![0; values.len()]);
                for (sum, value) in sums.iter_mut().zip(&values) {
                    *sum += i128::from(*value);
                }
            }
            (Err(fault), OnBadRow::Fail) => bad.add(|| fault.error(&row, &header)),
            (Err(fault), OnBadRow::Skip) => {
                rejects::write(&mut rejected, &fault, &row, &header);
                summary.rows_rejected += 1;
            }
        }
    }
    if bad.count > 0 {
        return Err(AggregationError::BadRows(bad));
    }
    summary.groups = groups.len() as u64;
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(options.output_header()).unwrap();
    for (key, sums) in groups {
        for field in &key {
            csv.write_field(field).unwrap();
        }
        for (column, sum) in options.sum.iter().zip(sums) {
            if i64::try_from(sum).is_err() {
                let group = key.iter().map(|field| value_excerpt(field)).collect::<Vec<_>>();
                let column = name_excerpt(column);
                return Err(AggregationError::Overflow { group: group.join(", "), column, sum });
            }
            csv.write_field(sum.to_string()).unwrap();
        }
        csv.write_record(None::<&[u8]>).unwrap();
    }
    let result = csv.into_inner().unwrap();
    summary.output_size = result.len() as u64;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let rejected = (summary.rows_rejected > 0).then(|| text(rejected));
    Ok(Outcome { summary, result: text(result), rejected })
}
