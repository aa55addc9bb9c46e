//! Texts of counts, the same for tasks of a server and for files that are processed locally.

use common::plural::plural;
use indicatif::{HumanBytes, HumanCount};

/// A count with its noun, for example `1 group` and `1,234 rows`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(count), plural(count, one, many))
}

pub(crate) fn rows(count: u64) -> String {
    counted(count, "row", "rows")
}

/// A time for people: `0.04 s`, `1.2 s`, `2 min 5 s`, `1 h 3 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    // A time is not negative, and the cast would saturate.
    let whole = seconds.round() as u64;
    match whole {
        _ if seconds < 1.0 => format!("{seconds:.2} s"),
        0..60 => format!("{seconds:.1} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", HumanCount(whole / 3_600), whole % 3_600 / 60),
    }
}

/// A size for people: the exact number of bytes, and from 1 KiB on also in a larger unit.
pub(crate) fn exact_size(bytes: u64) -> String {
    let exact = counted(bytes, "byte", "bytes");
    match bytes {
        0..1_024 => exact,
        _ => format!("{exact} ({})", HumanBytes(bytes)),
    }
}

/// The counts of an aggregation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aggregated {
    /// All rows of the file, including rejected ones.
    pub(crate) rows_read: u64,
    pub(crate) rows_rejected: u64,
    pub(crate) groups: u64,
}

impl Aggregated {
    /// For example `Aggregated 2 of 12 rows into 1 group in 0.1 s; 10 rejected`, where `took` is
    /// ` in 0.1 s`.
    pub(crate) fn phrase(self, took: &str) -> String {
        let Self { rows_read, rows_rejected, groups } = self;
        let groups = counted(groups, "group", "groups");
        match rows_rejected {
            0 => format!("Aggregated {} into {groups}{took}", rows(rows_read)),
            rejected => format!(
                "Aggregated {} of {} into {groups}{took}; {} rejected",
                HumanCount(rows_read.saturating_sub(rejected)),
                rows(rows_read),
                HumanCount(rejected)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_have_one_style() {
        let times = [0.0, 0.044, 1.24, 59.4, 59.9, 125.0, 3_780.0, 360_000.0].map(seconds);
        let expected = [
            "0.00 s",
            "0.04 s",
            "1.2 s",
            "59.4 s",
            "1 min 0 s",
            "2 min 5 s",
            "1 h 3 min",
            "100 h 0 min",
        ];
        assert_eq!(times, expected);
        let sizes = [1, 24, 1_536].map(exact_size);
        assert_eq!(sizes, ["1 byte", "24 bytes", "1,536 bytes (1.50 KiB)"]);
    }

    #[test]
    fn rejected_rows_are_not_aggregated() {
        let phrase = |rows_read, rows_rejected, groups| {
            Aggregated { rows_read, rows_rejected, groups }.phrase("")
        };
        assert_eq!(phrase(12, 10, 1), "Aggregated 2 of 12 rows into 1 group; 10 rejected");
        assert_eq!(phrase(1, 0, 1), "Aggregated 1 row into 1 group");
        assert_eq!(phrase(1, 1, 0), "Aggregated 0 of 1 row into 0 groups; 1 rejected");
        assert_eq!(phrase(2_000, 0, 1_001), "Aggregated 2,000 rows into 1,001 groups");
    }
}
