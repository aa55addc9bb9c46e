//! The first rows of a result, or those with the largest sums.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read;

use csv_input::{Record, Records, shortened};
use serde::Serialize;
use utoipa::ToSchema;

use super::{MAX_VALUE, ReadError, sum};
use crate::error::Error;

/// The size of all rows shown, in bytes.
const MAX_SHOWN: usize = 4 << 20;

/// Rows of a result.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResultPreview {
    /// The names of the columns.
    #[schema(example = json!(["Song", "Date", "Number of Plays"]))]
    columns: Vec<String>,
    /// The rows: each value as text, up to 1,000 characters of it.
    #[schema(example = json!([["Umbrella", "2020-01-02", "200"]]))]
    rows: Vec<Vec<String>>,
    /// Whether the result has more rows than these.
    more: bool,
}

/// Which rows to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Those with the largest sums in this column, largest first; if none, the first ones.
    pub largest_by: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Reads the rows of `selection`: for the first ones only the start of the file. The first `groups`
/// columns are those of a group, and the others are sums.
///
/// # Errors
/// The file cannot be read, or has no such sum.
pub fn preview(
    mut records: Records<impl Read>,
    groups: usize,
    selection: &Selection,
) -> Result<ResultPreview, ReadError> {
    let names = match records.next_record()? {
        Some(header) => row(&header),
        None => return Err(ReadError::Damaged("it is empty".to_owned())),
    };
    let Selection { largest_by, limit } = selection;
    let (rows, more) = match largest_by {
        Some(name) => largest(&mut records, sum_column(&names, groups, name)?, *limit)?,
        None => first(&mut records, *limit)?,
    };
    Ok(ResultPreview { columns: names, rows, more })
}

type Rows = Vec<Vec<String>>;

fn first(records: &mut Records<impl Read>, limit: usize) -> Result<(Rows, bool), ReadError> {
    let (mut rows, mut size) = (Vec::new(), 0);
    while let Some(record) = records.next_record()? {
        if rows.len() == limit || size >= MAX_SHOWN {
            return Ok((rows, true));
        }
        let row = row(&record);
        size += size_of_row(&row);
        rows.push(row);
    }
    Ok((rows, false))
}

/// Of rows with equal sums, the first ones in the file.
fn largest(
    records: &mut Records<impl Read>,
    column: usize,
    limit: usize,
) -> Result<(Rows, bool), ReadError> {
    let mut largest: BTreeMap<(Reverse<i64>, u64), Vec<String>> = BTreeMap::new();
    let (mut size, mut number, mut more) = (0, 0, false);
    while let Some(record) = records.next_record()? {
        let rank = (Reverse(sum(&record, column)?), number);
        number += 1;
        let is_full = largest.len() == limit;
        if is_full && largest.last_key_value().is_some_and(|(last, _)| *last < rank) {
            more = true;
            continue;
        }
        let row = row(&record);
        size += size_of_row(&row);
        largest.insert(rank, row);
        while largest.len() > limit || (size > MAX_SHOWN && largest.len() > 1) {
            let smallest = largest.pop_last();
            size -= smallest.map_or(0, |(_, row)| size_of_row(&row));
            more = true;
        }
    }
    Ok((largest.into_values().collect(), more))
}

fn row(record: &Record<'_>) -> Vec<String> {
    record.fields().map(|field| shortened(field, MAX_VALUE)).collect()
}

fn size_of_row(row: &[String]) -> usize {
    row.iter().map(|value| value.len() + size_of::<String>()).sum()
}

/// The position of the sum that is called `name`.
fn sum_column(names: &[String], groups: usize, name: &str) -> Result<usize, ReadError> {
    let sums = names.get(groups..).unwrap_or_default();
    match sums.iter().position(|column| column == name) {
        Some(index) => Ok(groups + index),
        None => {
            let sums: Vec<_> = sums.iter().map(|name| format!("`{name}`")).collect();
            let reason = format!("names none of the sums of the result: {}", sums.join(", "));
            Err(ReadError::Refused(Error::invalid("sort", reason)))
        }
    }
}

#[cfg(test)]
mod tests {
    use csv_input::{Dialect, Position};

    use super::*;

    const GROUPS: usize = 2;
    const RESULT: &str = "Song,Date,Plays,Skips\n\
        A,2020-01-01,5,1\n\
        A,2020-01-02,-7,3\n\
        \"B, \"\"live\"\"\",2020-01-01,40,3\n\
        C,2020-01-01,5,0\n";

    fn of(result: &str, largest_by: Option<&str>, limit: usize) -> ResultPreview {
        let records =
            Records::new(result.as_bytes(), Position { offset: 0, line: 1 }, Dialect::default());
        let selection = Selection { largest_by: largest_by.map(str::to_owned), limit };
        preview(records, GROUPS, &selection).unwrap()
    }

    fn songs(preview: &ResultPreview) -> Vec<(&str, &str)> {
        preview.rows.iter().map(|row| (row[0].as_str(), row[2].as_str())).collect()
    }

    #[test]
    fn the_first_rows_are_in_the_order_of_the_file() {
        let two = of(RESULT, None, 2);
        assert_eq!(two.columns, ["Song", "Date", "Plays", "Skips"]);
        assert_eq!((songs(&two), two.more), (vec![("A", "5"), ("A", "-7")], true));
        let all = of(RESULT, None, 4);
        assert_eq!((songs(&all)[2], all.rows.len(), all.more), (("B, \"live\"", "40"), 4, false));
    }

    #[test]
    fn the_largest_rows_are_compared_as_numbers() {
        let largest = of(RESULT, Some("Plays"), 3);
        assert_eq!(songs(&largest), [("B, \"live\"", "40"), ("A", "5"), ("C", "5")]);
        assert!(largest.more);
        let all = of(RESULT, Some("Skips"), 10);
        assert_eq!(songs(&all), [("A", "-7"), ("B, \"live\"", "40"), ("A", "5"), ("C", "5")]);
        assert!(!all.more);
    }

    #[test]
    fn only_sums_are_sorted_by() {
        let records =
            Records::new(RESULT.as_bytes(), Position { offset: 0, line: 1 }, Dialect::default());
        let selection = Selection { largest_by: Some("Song".to_owned()), limit: 1 };
        let Err(ReadError::Refused(Error::InvalidParameters(errors))) =
            preview(records, GROUPS, &selection)
        else {
            panic!("not refused")
        };
        assert_eq!(errors[0].reason, "names none of the sums of the result: `Plays`, `Skips`");
    }

    #[test]
    fn long_values_and_many_rows_are_cut() {
        let long = format!("\"{}\"", "é".repeat(2_000));
        let rows = (0..5_000).map(|number| format!("{long},{long},{number},0\n"));
        let result = format!("Song,Date,Plays,Skips\n{}", rows.collect::<String>());
        for sort in [None, Some("Plays")] {
            let cut = of(&result, sort, 5_000);
            assert!(cut.more && (500..1_500).contains(&cut.rows.len()), "{}", cut.rows.len());
            assert_eq!(cut.rows[0][0].chars().count(), MAX_VALUE + 1);
            assert_eq!(cut.rows[0][2], if sort.is_some() { "4999" } else { "0" });
        }
    }

    #[test]
    fn other_files_are_no_results() {
        let records = Records::new(
            "a,b,c,d\n1,2,x,4\n".as_bytes(),
            Position { offset: 0, line: 1 },
            Dialect::default(),
        );
        let selection = Selection { largest_by: Some("c".to_owned()), limit: 1 };
        let error = preview(records, GROUPS, &selection).unwrap_err();
        let ReadError::Damaged(reason) = error else { panic!("{error:?}") };
        assert_eq!(reason, "`x` in line 2 is not a sum");
    }
}
