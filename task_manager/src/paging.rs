//! Pages of lists that are sorted by time, and the periods that limit them.
//!
//! # Not here
//! Their query parameters (`api::request::query`).

use std::fmt;

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use uuid::Uuid;

/// The last row of a page; lists are newest first, and the next page has the rows after it. Its
/// text is the `next_page_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub time: NaiveDateTime,
    /// Distinguishes rows of the same time.
    pub id: Uuid,
}

impl Cursor {
    /// None for an invalid token, or one with a time that no row can have.
    pub fn parse(token: &str) -> Option<Self> {
        let (time, id) = token.split_once('.')?;
        Some(Self { time: Position::time_of(time.parse().ok()?)?, id: id.parse().ok()? })
    }
}

/// The time in microseconds, and the id.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time.and_utc().timestamp_micros(), self.id)
    }
}

/// The last row of a page of a list that is sorted by any value. Its text is the `next_page_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// A number, or a time in microseconds; none if the row has no value.
    pub value: Option<i64>,
    /// Distinguishes rows of the same value.
    pub id: Uuid,
}

impl Position {
    /// None for an invalid token.
    pub fn parse(token: &str) -> Option<Self> {
        let (value, id) = token.split_once('.')?;
        let value = match value {
            NO_VALUE => None,
            value => Some(value.parse().ok()?),
        };
        Some(Self { value, id: id.parse().ok()? })
    }

    /// The value as a time, if a row can have it.
    pub fn time(self) -> Option<NaiveDateTime> {
        self.value.and_then(Self::time_of)
    }

    /// A value as a time, if a row can have it.
    pub fn time_of(value: i64) -> Option<NaiveDateTime> {
        let time = DateTime::from_timestamp_micros(value)?.naive_utc();
        let (earliest, latest) = Period::bounds();
        (earliest..latest).contains(&time).then_some(time)
    }
}

/// The text of a missing value.
const NO_VALUE: &str = "null";

/// The value and the id. Sorted by time, it is that of a [`Cursor`].
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "{value}.{}", self.id),
            None => write!(f, "{NO_VALUE}.{}", self.id),
        }
    }
}

/// Selects the rows after a cursor, by their columns of time and id. The first condition is implied
/// by the second, but lets a database find its start in an index.
macro_rules! after_cursor {
    ($cursor:expr, $time:expr, $id:expr) => {
        $time
            .le($crate::db::moment($cursor.time))
            .and($time.lt($crate::db::moment($cursor.time)).or($id.lt($crate::db::Id($cursor.id))))
    };
}
pub(crate) use after_cursor;

/// The number of items of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(pub u64);

impl PageSize {
    /// The number of rows to read for a page: one more shows that another page follows.
    pub fn limit(self) -> i64 {
        i64::try_from(self.0.saturating_add(1)).unwrap_or(i64::MAX)
    }

    /// Removes the rows beyond the page; returns its last row if another page follows.
    pub fn cut<T>(self, rows: &mut Vec<T>) -> Option<&T> {
        let size = usize::try_from(self.0).unwrap_or(usize::MAX);
        let has_more = rows.len() > size;
        rows.truncate(size);
        rows.last().filter(|_| has_more)
    }
}

/// The times from `from` to before `to`. A bound outside of the storable times is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Period {
    pub from: Option<NaiveDateTime>,
    pub to: Option<NaiveDateTime>,
}

impl Period {
    /// The earliest storable time, and the upper bound of all of them: the last one that MySQL
    /// supports.
    pub fn bounds() -> (NaiveDateTime, NaiveDateTime) {
        let day = |year, month, day| NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default();
        let last = day(9999, 12, 31).and_hms_micro_opt(23, 59, 59, 999_999).unwrap_or_default();
        (day(1970, 1, 2).into(), last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_token_decodes_to_its_row() {
        // Of 2025, 2040 and 9999.
        for time in ["1763708400123456", "2214086400000000", "253402300799000000"] {
            let token = format!("{time}.01890a5d-ac96-774b-bcce-b302099a8057");
            assert_eq!(Cursor::parse(&token).unwrap().to_string(), token);
        }
    }

    #[test]
    fn a_position_may_have_no_value() {
        for token in ["null", "0", "-5", "1763708400123456"] {
            let token = format!("{token}.01890a5d-ac96-774b-bcce-b302099a8057");
            assert_eq!(Position::parse(&token).unwrap().to_string(), token);
        }
        assert_eq!(Position::parse(".01890a5d-ac96-774b-bcce-b302099a8057"), None);
    }

    #[test]
    fn the_last_page_has_no_next_page_token() {
        let size = PageSize(2);
        assert_eq!(size.limit(), 3);
        let mut rows = vec![1, 2, 3];
        assert_eq!(size.cut(&mut rows), Some(&2));
        assert_eq!(rows, [1, 2]);
        assert_eq!(size.cut(&mut rows), None);
        assert_eq!(rows, [1, 2]);
        assert_eq!(PageSize(u64::MAX).limit(), i64::MAX);
    }

    #[test]
    fn other_texts_are_not_page_tokens() {
        for wrong in [
            "50",
            "x.y",
            "1763708400123456.",
            "-9223372036854775808.01890a5d-ac96-774b-bcce-b302099a8057",
            "253402300800000000.01890a5d-ac96-774b-bcce-b302099a8057",
        ] {
            assert_eq!(Cursor::parse(wrong), None, "{wrong}");
        }
    }
}
