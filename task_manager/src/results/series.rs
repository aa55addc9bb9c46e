//! Sums over time: the series of the groups with the largest totals.
//!
//! A result is sorted by its groups, and the last column of a group is the date. So the rows of a
//! series follow each other, and one pass with the largest series so far in memory is enough.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Read;
use std::mem;

use chrono::{Datelike, NaiveDate};
use csv_input::{Record, Records, shortened, value_excerpt};
use serde::Serialize;
use utoipa::ToSchema;

use super::{MAX_VALUE, ReadError, sum};
use crate::error::Error;

/// The number of points of a series. A longer one gets a coarser step; there are as many years.
const MAX_POINTS: usize = 10_000;

/// The series of the groups with the largest totals.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResultSeries {
    /// The columns of a group but the date, separated by commas; `null` if rows are grouped by the
    /// date alone, which is a single series.
    #[schema(example = "Song")]
    group_column: Option<String>,
    /// The column of the dates.
    #[schema(example = "Date")]
    time_column: String,
    /// The column of the values: the first sum.
    #[schema(example = "Number of Plays")]
    value_column: String,
    /// The distance of points.
    step: Step,
    /// The series, largest total first.
    groups: Vec<GroupSeries>,
    /// The total of all other groups.
    #[schema(value_type = i64)]
    rest: i128,
}

/// The series of a group.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GroupSeries {
    /// The values of its columns, separated by commas.
    #[schema(example = "Umbrella")]
    name: String,
    /// The sum of its values.
    #[schema(value_type = i64)]
    total: i128,
    /// Day, month or year, and the value, in order. Days without a row are left out.
    #[schema(value_type = Vec<(String, i64)>, example = json!([["2020-01-02", 200]]))]
    points: Vec<(String, i128)>,
}

/// The distance of points: days, or more if a series has more than 10,000 of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Points are days.
    Day,
    /// Points are months.
    Month,
    /// Points are years.
    Year,
}

impl Step {
    fn coarser(self) -> Self {
        match self {
            Self::Day => Self::Month,
            Self::Month | Self::Year => Self::Year,
        }
    }

    /// The first day of the step.
    fn start(self, date: NaiveDate) -> NaiveDate {
        let start = match self {
            Self::Day => Some(date),
            Self::Month => date.with_day(1),
            Self::Year => NaiveDate::from_yo_opt(date.year(), 1),
        };
        start.unwrap_or(date)
    }

    fn name(self, date: NaiveDate) -> String {
        let format = match self {
            Self::Day => "%Y-%m-%d",
            Self::Month => "%Y-%m",
            Self::Year => "%Y",
        };
        date.format(format).to_string()
    }
}

/// Reads the `top` series with the largest totals. The first `groups` columns are those of a group.
///
/// # Errors
/// The file cannot be read, or the last column of its groups has a value that is not a date.
pub fn series(
    mut records: Records<impl Read>,
    groups: usize,
    top: usize,
) -> Result<ResultSeries, ReadError> {
    let names: Vec<String> = match records.next_record()? {
        Some(header) => header.fields().map(|name| shortened(name, MAX_VALUE)).collect(),
        None => Vec::new(),
    };
    let (others, [time_column, value_column, ..]) =
        names.split_at_checked(groups.saturating_sub(1)).unwrap_or_default()
    else {
        return Err(ReadError::Damaged("it has too few columns".to_owned()));
    };
    let time = others.len();
    let mut largest = Largest::new(top);
    while let Some(record) = records.next_record()? {
        let field = record.field(time);
        let Some(date) = date(field) else { return Err(no_date(time_column, field)) };
        largest.add(&record, time, date, sum(&record, time + 1)?.into());
    }
    let (step, groups, rest) = largest.finish(value_column);
    Ok(ResultSeries {
        group_column: (time > 0).then(|| others.join(", ")),
        time_column: time_column.clone(),
        value_column: value_column.clone(),
        step,
        groups,
        rest,
    })
}

fn no_date(column: &str, value: &[u8]) -> ReadError {
    let value = value_excerpt(value);
    ReadError::Refused(Error::NoSeries(format!(
        "The last column of the groups, `{column}`, has the value `{value}`, which is not a date \
         such as 2026-01-31."
    )))
}

/// A date as the aggregation accepts them.
fn date(field: &[u8]) -> Option<NaiveDate> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = field else { return None };
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
        })
    };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)
}

/// A series of which not all rows are read.
#[derive(Default)]
struct Open {
    /// The values of its columns but the date.
    key: Vec<Vec<u8>>,
    total: i128,
    points: Vec<(NaiveDate, i128)>,
}

impl Open {
    fn add(&mut self, step: Step, date: NaiveDate, value: i128) {
        let start = step.start(date);
        match self.points.last_mut() {
            Some((last, sum)) if *last == start => *sum += value,
            _ => self.points.push((start, value)),
        }
    }

    fn coarsen(&mut self, step: Step) {
        for (date, value) in mem::take(&mut self.points) {
            self.add(step, date, value);
        }
    }
}

/// The largest series so far.
struct Largest {
    top: usize,
    step: Step,
    /// The one that is being read, before the first row none.
    open: Option<Open>,
    /// By total and, if equal, by the order of the file.
    complete: BTreeMap<(Reverse<i128>, u64), Open>,
    count: u64,
    rest: i128,
}

impl Largest {
    fn new(top: usize) -> Self {
        let complete = BTreeMap::new();
        Self { top, step: Step::Day, open: None, complete, count: 0, rest: 0 }
    }

    fn add(&mut self, record: &Record<'_>, time: usize, date: NaiveDate, value: i128) {
        let key = || record.fields().take(time);
        if !self.open.as_ref().is_some_and(|open| open.key.iter().eq(key())) {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| {
            let key = key().map(<[u8]>::to_vec).collect();
            Open { key, ..Open::default() }
        });
        open.total += value;
        open.add(self.step, date, value);
        if open.points.len() > MAX_POINTS {
            self.step = self.step.coarser();
            open.coarsen(self.step);
            self.complete.values_mut().for_each(|series| series.coarsen(self.step));
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        self.complete.insert((Reverse(open.total), self.count), open);
        self.count += 1;
        if self.complete.len() > self.top
            && let Some((_, smallest)) = self.complete.pop_last()
        {
            self.rest += smallest.total;
        }
    }

    /// The series by their totals, and the total of the rest. A series whose key has no columns is
    /// called `only`.
    fn finish(mut self, only: &str) -> (Step, Vec<GroupSeries>, i128) {
        self.close();
        let step = self.step;
        let series = self.complete.into_values().map(|Open { key, total, points }| {
            let names: Vec<_> = key.iter().map(|value| shortened(value, MAX_VALUE)).collect();
            GroupSeries {
                name: if names.is_empty() { only.to_owned() } else { names.join(", ") },
                total,
                points: points.into_iter().map(|(date, sum)| (step.name(date), sum)).collect(),
            }
        });
        (step, series.collect(), self.rest)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use csv_input::{Dialect, Position};

    use super::*;

    fn read(result: &str, groups: usize, top: usize) -> Result<ResultSeries, ReadError> {
        let records =
            Records::new(result.as_bytes(), Position { offset: 0, line: 1 }, Dialect::default());
        series(records, groups, top)
    }

    fn point(time: &str, value: i128) -> (String, i128) {
        (time.to_owned(), value)
    }

    #[test]
    fn the_largest_groups_have_series_and_the_others_a_total() {
        let result = "Song,Date,Plays\n\
            A,2020-01-01,5\nA,2020-01-03,6\nB,2020-01-01,1\nC,2020-01-02,40\nD,2020-01-02,2\n";
        let found = read(result, 2, 2).unwrap();
        assert_eq!(found.group_column.as_deref(), Some("Song"));
        assert_eq!((found.time_column.as_str(), found.value_column.as_str()), ("Date", "Plays"));
        let totals: Vec<_> =
            found.groups.iter().map(|group| (group.name.as_str(), group.total)).collect();
        assert_eq!((totals, found.rest), (vec![("C", 40), ("A", 11)], 3));
        let points = [point("2020-01-01", 5), point("2020-01-03", 6)];
        assert_eq!((&found.groups[1].points[..], found.step), (&points[..], Step::Day));
    }

    #[test]
    fn groups_may_have_any_number_of_columns() {
        let result = "City,Song,Day,Plays\nBonn,A,2020-01-01,1\nBonn,B,2020-01-01,2\n";
        let found = read(result, 3, 5).unwrap();
        let names: Vec<_> = found.groups.iter().map(|group| group.name.as_str()).collect();
        assert_eq!((names, found.rest), (vec!["Bonn, B", "Bonn, A"], 0));
        assert_eq!(found.group_column.as_deref(), Some("City, Song"));

        let found = read("Day,Plays\n2020-01-01,1\n2020-01-02,2\n", 1, 5).unwrap();
        assert_eq!((found.group_column, found.groups.len()), (None, 1));
        assert_eq!((found.groups[0].name.as_str(), found.groups[0].total), ("Plays", 3));
    }

    #[test]
    fn a_long_series_gets_a_coarser_step() {
        let mut result = "Song,Date,Plays\nA,2020-01-01,9\nA,2020-01-31,1\n".to_owned();
        let day = NaiveDate::from_ymd_opt(1900, 1, 1).unwrap();
        for day in day.iter_days().take(MAX_POINTS + 1) {
            writeln!(result, "B,{day},1").unwrap();
        }
        let found = read(&result, 2, 5).unwrap();
        assert_eq!(found.step, Step::Month);
        assert_eq!(found.groups[0].total, MAX_POINTS as i128 + 1);
        assert_eq!(found.groups[0].points[..2], [point("1900-01", 31), point("1900-02", 28)]);
        assert_eq!(found.groups[1].points, [point("2020-01", 10)]);
    }

    #[test]
    fn memory_is_bounded_by_the_years_of_the_calendar() {
        let mut result = "Date,Plays\n".to_owned();
        for year in 1..=9999 {
            for month in [1, 2] {
                writeln!(result, "{year:04}-{month:02}-01,1").unwrap();
            }
        }
        let found = read(&result, 1, 1).unwrap();
        assert_eq!((found.step, found.groups[0].points.len()), (Step::Year, 9999));
        assert_eq!(found.groups[0].points[0], point("0001", 2));
    }

    #[test]
    fn a_value_that_is_not_a_date_is_named() {
        for value in ["", "Bonn", "2020-02-30", "2020-1-01", "+020-01-01"] {
            let Err(ReadError::Refused(Error::NoSeries(reason))) =
                read(&format!("Song,City,Plays\nA,{value},1\n"), 2, 5)
            else {
                panic!("{value}")
            };
            assert!(reason.contains(&format!("`City`, has the value `{value}`")), "{reason}");
        }
    }

    #[test]
    fn totals_of_large_sums_are_exact() {
        let largest = i64::MAX;
        let result = format!("Date,Plays\n2020-01-01,{largest}\n2020-01-02,{largest}\n");
        let found = read(&result, 1, 1).unwrap();
        assert_eq!(found.groups[0].total, 2 * i128::from(largest));
        let text = serde_json::to_string(&found).unwrap();
        assert!(text.contains("\"total\":18446744073709551614"), "{text}");
    }
}
