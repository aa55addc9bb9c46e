//! How times are written in JSON that MySQL reads.

use chrono::NaiveDateTime;
use serde::Serializer;

/// In the format of `DATETIME(6)`.
pub fn serialize<S: Serializer>(time: &NaiveDateTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.format("%F %T%.6f"))
}

/// The same for an optional time.
pub fn optional<S: Serializer>(
    time: &Option<NaiveDateTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serialize(time, serializer),
        None => serializer.serialize_none(),
    }
}
