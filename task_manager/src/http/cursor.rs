//! Where the next page of a list goes on that is sorted by time.

use std::fmt;

use chrono::{DateTime, NaiveDateTime};
use uuid::Uuid;

use super::query::{Period, Query};

/// The last row of a page: newest first, the next page has the rows behind it. Its text is the
/// `next_page_token`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub time: NaiveDateTime,
    /// Tells rows of the same time apart.
    pub id: Uuid,
}

impl Cursor {
    /// The parameter `page_token`; none where it is absent, empty or wrong.
    pub fn read(query: &mut Query) -> Option<Self> {
        query.read("page_token", |text| {
            Self::parse(text).ok_or_else(|| "is no token that a list gave".to_owned())
        })
    }

    /// None where it is no token, or one of a time that no row has.
    pub fn parse(token: &str) -> Option<Self> {
        let (time, id) = token.split_once('.')?;
        let time = DateTime::from_timestamp_micros(time.parse().ok()?)?.naive_utc();
        let (earliest, latest) = Period::bounds();
        let cursor = Self { time, id: id.parse().ok()? };
        (earliest..latest).contains(&time).then_some(cursor)
    }
}

/// The time in microseconds, and the id.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.time.and_utc().timestamp_micros(), self.id)
    }
}

/// Which rows are behind a cursor, by their columns of time and id. The first condition says nothing
/// that the second does not, but a database finds by it where to begin in an index.
macro_rules! behind {
    ($cursor:expr, $time:expr, $id:expr) => {
        $time
            .le($crate::db::moment($cursor.time))
            .and($time.lt($crate::db::moment($cursor.time)).or($id.lt($crate::db::Id($cursor.id))))
    };
}
pub(crate) use behind;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_tells_its_row() {
        // Of 2025, 2040 and 9999.
        for time in ["1763708400123456", "2214086400000000", "253402300799000000"] {
            let token = format!("{time}.01890a5d-ac96-774b-bcce-b302099a8057");
            assert_eq!(Cursor::parse(&token).unwrap().to_string(), token);
        }
    }

    #[test]
    fn no_other_text_is_a_token() {
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
