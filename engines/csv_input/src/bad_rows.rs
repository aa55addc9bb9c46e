//! The invalid rows of a file.

/// How many invalid rows are listed.
pub const MAX_LISTED_ROWS: usize = 100;

/// What is wrong with a row, and where. Lines and columns are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    /// The line on which the row starts.
    pub line: u64,
    /// The position of the field, if the error is in one.
    pub column: Option<u64>,
    /// The name of the field's column.
    pub field: Option<String>,
    /// What is wrong.
    pub reason: String,
}

/// The invalid rows of a file: their number, and the first [`MAX_LISTED_ROWS`] of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadRows {
    /// How many rows are invalid.
    pub count: u64,
    /// The first of them, in the order of the file.
    pub first: Vec<RowError>,
}

impl BadRows {
    /// Adds the next row. `error` is called only if the row is listed.
    pub fn add(&mut self, error: impl FnOnce() -> RowError) {
        self.count += 1;
        if self.first.len() < MAX_LISTED_ROWS {
            self.first.push(error());
        }
    }

    /// Adds the invalid rows of a later part of the file.
    pub fn append(&mut self, later: Self) {
        self.count += later.count;
        let room = MAX_LISTED_ROWS - self.first.len();
        self.first.extend(later.first.into_iter().take(room));
    }
}

impl std::fmt::Display for BadRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.count {
            1 => write!(f, "1 row is invalid"),
            count => write!(f, "{count} rows are invalid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(lines: std::ops::Range<u64>) -> BadRows {
        let mut rows = BadRows::default();
        for line in lines {
            rows.add(|| RowError { line, column: None, field: None, reason: String::new() });
        }
        rows
    }

    #[test]
    fn all_rows_are_counted_and_the_first_hundred_listed() {
        let mut all = rows(0..60);
        all.append(rows(60..1_060));
        assert_eq!(all, rows(0..1_060));
        assert_eq!(all.first.len(), MAX_LISTED_ROWS);
        assert_eq!(all.first[99].line, 99);
        assert_eq!(all.to_string(), "1060 rows are invalid");
        assert_eq!(rows(0..1).to_string(), "1 row is invalid");
    }
}
