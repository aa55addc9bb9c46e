//! Parses query parameters and reports all errors together.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use common::problem::ErrorLocation;

use crate::api::request::parameters::Parameters;
use crate::error::Error;
use crate::paging::{Cursor, PageSize, Period, Position};

const DEFAULT_PAGE_SIZE: u64 = 50;
const MAX_PAGE_SIZE: u64 = 10_000;

/// Takes parameters out of a query and collects their errors.
#[derive(Debug)]
pub struct Query {
    parameters: Parameters,
    /// The names of the parameters that were read.
    known: Vec<&'static str>,
    errors: Vec<ErrorLocation>,
}

impl Query {
    pub fn of(parameters: Parameters) -> Self {
        Self { parameters, known: Vec::new(), errors: Vec::new() }
    }

    /// The parameter `name`; `None` if it is missing, empty or invalid.
    pub fn read<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let text = self.parameters.take(name).filter(|text| !text.is_empty())?;
        self.parse(name, &text, parse)
    }

    /// Every valid value of the parameter `name`, without empty ones.
    pub fn read_all<T>(
        &mut self,
        name: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        self.known.push(name);
        let texts = self.parameters.take_all(name);
        texts
            .iter()
            .filter(|text| !text.is_empty())
            .filter_map(|text| self.parse(name, text, &parse))
            .collect()
    }

    fn parse<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(text) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.errors.push(ErrorLocation::field(name, reason));
                None
            }
        }
    }

    /// A time, or the start of a day in UTC.
    fn time(&mut self, name: &'static str) -> Option<NaiveDateTime> {
        self.read(name, time)
    }

    /// The parameters `from` and `to`.
    pub fn period(&mut self) -> Period {
        let (earliest, latest) = Period::bounds();
        Period {
            from: self.time("from").filter(|from| *from > earliest).map(|from| from.min(latest)),
            to: self.time("to").filter(|to| *to < latest).map(|to| to.max(earliest)),
        }
    }

    /// The parameter `page_token`, which says where a page begins.
    pub fn cursor(&mut self) -> Option<Cursor> {
        self.read("page_token", |text| {
            Cursor::parse(text).ok_or_else(|| "is not a valid page token".to_owned())
        })
    }

    /// The same of a list that is sorted by any value; `accepts` checks the value.
    pub fn position(&mut self, accepts: impl Fn(Position) -> bool) -> Option<Position> {
        self.read("page_token", |text| {
            let position = Position::parse(text).filter(|position| accepts(*position));
            position.ok_or_else(|| "is not a valid page token of this list".to_owned())
        })
    }

    /// How many items a page has.
    pub fn page_size(&mut self) -> PageSize {
        let size = self.read("page_size", |text| {
            // A number that overflows is lowered to the maximum, like any other.
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            match is_number.then(|| text.parse().unwrap_or(u64::MAX)) {
                None | Some(0) => Err(format!("`{text}` is not a number from 1 on")),
                Some(size) => Ok(size),
            }
        });
        PageSize(size.unwrap_or(DEFAULT_PAGE_SIZE).min(MAX_PAGE_SIZE))
    }

    /// Reports the collected errors, if there are any.
    ///
    /// # Errors
    /// A parameter is invalid, or was not read.
    pub fn finish(self) -> Result<(), Error> {
        let Self { parameters, known, mut errors } = self;
        errors.extend(parameters.unknown(&in_words(&known)));
        if errors.is_empty() { Ok(()) } else { Err(Error::InvalidParameters(errors)) }
    }
}

fn in_words(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} and {last}", names.join(", ")),
    }
}

fn time(text: &str) -> Result<NaiveDateTime, String> {
    let day = || text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0);
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.naive_utc()),
        Err(_) => day().ok_or_else(|| {
            format!("`{text}` is neither a time such as 2026-01-31T12:00:00Z nor a day")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(parameters: &[(&str, &str)]) -> Query {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Query::of(Parameters(parameters.iter().map(own).collect()))
    }

    #[test]
    fn times_are_rfc_3339_or_days() {
        assert_eq!(time("2026-01-31").unwrap().to_string(), "2026-01-31 00:00:00");
        assert_eq!(time("2026-01-31T12:00:00+01:00").unwrap().to_string(), "2026-01-31 11:00:00");
        assert!(time("yesterday").unwrap_err().contains("`yesterday` is neither"));
    }

    #[test]
    fn a_page_is_never_larger_than_the_limit() {
        for large in ["1000000", "99999999999999999999999"] {
            assert_eq!(query(&[("page_size", large)]).page_size(), PageSize(10_000));
        }
        assert_eq!(query(&[]).page_size(), PageSize(50));
    }

    #[test]
    fn a_period_has_no_bounds_that_a_database_cannot_compare() {
        let period = |from, to| query(&[("from", from), ("to", to)]).period();
        assert_eq!(period("", ""), Period::default());
        assert_eq!(period("0001-01-01", "9999-12-31T23:59:59-01:00"), Period::default());
        let never = period("9999-12-31T23:59:59-01:00", "0001-01-01");
        assert!(never.from > never.to && never.to.is_some());
        let day = |day: &str| Some(time(day).unwrap());
        let (from, to) = ("2038-01-19", "9999-12-31");
        assert_eq!(period(from, to), Period { from: day(from), to: day(to) });
        let (from, to) = ("2026-01-31", "2026-02-01");
        assert_eq!(period(from, to), Period { from: day(from), to: day(to) });
    }

    #[test]
    fn every_error_is_reported() {
        let mut query = query(&[("from", "x"), ("page_size", "0"), ("colour", "red")]);
        query.period();
        query.page_size();
        let Err(Error::InvalidParameters(errors)) = query.finish() else { panic!("valid") };
        let fields: Vec<_> = errors.iter().filter_map(|error| error.field.as_deref()).collect();
        assert_eq!(fields, ["from", "page_size", "colour"]);
        assert_eq!(errors[2].reason, "is not a parameter here; there are from, to and page_size");
    }
}
