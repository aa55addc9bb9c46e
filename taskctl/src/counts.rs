//! Texts of counts, the same for tasks of a server and for files that are processed locally.

use common::plural::plural;
use indicatif::HumanCount;

/// A count with its noun, for example `1 group` and `1,234 rows`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", HumanCount(count), plural(count, one, many))
}

pub(crate) fn rows(count: u64) -> String {
    counted(count, "row", "rows")
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
