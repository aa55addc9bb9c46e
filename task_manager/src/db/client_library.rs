//! Checks that the linked MySQL client library reads rows correctly.
//!
//! Some releases of MariaDB's connector, such as 10.11.18, misread rows with diesel: they return
//! values of wrong lengths, so that ids of 16 bytes are unreadable. The server then refuses to
//! start. The library belongs to the system, so an update of the system can change it.

use chrono::{NaiveDate, NaiveDateTime};
use diesel::mysql::MysqlConnection;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Datetime, Nullable, Text};

use super::{DbError, DbResult};

/// Rows of several lengths, since values are misread after a shorter or longer one.
const ROWS: &str = "SELECT * FROM (\
     SELECT 1 AS number, X'00ff0127005c0a0d1a220000007f8000' AS id, 'one' AS text, \
            TIMESTAMP'2024-02-29 23:59:59.123456' AS time \
     UNION ALL SELECT 9223372036854775807, NULL, REPEAT('é', 1000), NULL \
     UNION ALL SELECT -9223372036854775808, X'ffffffffffffffffffffffffffffffff', NULL, \
            TIMESTAMP'2024-02-29 23:59:59.123456' \
     UNION ALL SELECT 4, X'00', '', NULL) AS samples";

#[derive(Debug, PartialEq, QueryableByName)]
struct Sample {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    id: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Text>)]
    text: Option<String>,
    #[diesel(sql_type = Nullable<Datetime>)]
    time: Option<NaiveDateTime>,
}

/// Reads some rows of known values.
///
/// # Errors
/// They are misread, or the database is not available.
pub(super) fn check(conn: &mut MysqlConnection) -> DbResult<()> {
    match diesel::sql_query(ROWS).load::<Sample>(conn) {
        Ok(read) if read == samples() => Ok(()),
        Ok(_) | Err(diesel::result::Error::DeserializationError(_)) => Err(DbError::ClientLibrary),
        Err(error) => Err(error.into()),
    }
}

fn samples() -> [Sample; 4] {
    let id = [0, 255, 1, 39, 0, 92, 10, 13, 26, 34, 0, 0, 0, 127, 128, 0];
    let time = NaiveDate::from_ymd_opt(2024, 2, 29)
        .and_then(|day| day.and_hms_micro_opt(23, 59, 59, 123_456));
    let sample = |number, id: Option<&[u8]>, text: Option<&str>, time| Sample {
        number,
        id: id.map(<[u8]>::to_vec),
        text: text.map(str::to_owned),
        time,
    };
    [
        sample(1, Some(&id), Some("one"), time),
        sample(i64::MAX, None, Some(&"é".repeat(1000)), None),
        sample(i64::MIN, Some(&[255; 16]), None, time),
        sample(4, Some(&[0]), Some(""), None),
    ]
}
