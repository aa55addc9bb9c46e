//! Recurring passes over many items.
//!
//! # Invariants
//! - A failing item delays no other: a pass records it and continues with the next one.
//! - A pass visits its items from the first to the last, so that items that fail every time do not
//!   block those after them.

use common::storage::StorageError;
use tracing::debug;

use crate::db::DbError;

/// Why a pass did not complete; the next one retries.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// An upload could not be completed: the reason.
    #[error("{0}")]
    Upload(String),
    #[error(transparent)]
    Database(#[from] DbError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Some items failed; the others are done.
    #[error("{count} failed, the others are done; the first: {first}")]
    Items { count: usize, first: String },
}

/// The failed items of a pass.
#[derive(Debug, Default)]
pub struct Failures {
    count: usize,
    first: Option<String>,
}

impl Failures {
    /// Records the failure of `item`.
    ///
    /// # Errors
    /// The database is not reachable, so that every other item would fail too.
    pub fn note(
        &mut self,
        item: impl std::fmt::Display,
        error: impl Into<PassError>,
    ) -> Result<(), PassError> {
        let error = error.into();
        if matches!(&error, PassError::Database(error) if error.is_lost_connection()) {
            return Err(error);
        }
        debug!(%item, %error, "a pass skips a failed item");
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{item}: {error}"));
        Ok(())
    }

    /// # Errors
    /// Some items failed.
    pub fn into_result(self) -> Result<(), PassError> {
        match self.first {
            Some(first) => Err(PassError::Items { count: self.count, first }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_ends_a_pass_other_failures_are_counted() {
        let mut failures = Failures::default();
        failures.note("task 1", DbError::corrupt("x")).unwrap();
        failures.note("task 2", DbError::corrupt("y")).unwrap();
        assert!(failures.note("task 3", DbError::Unavailable("away".to_owned())).is_err());
        let text = failures.into_result().unwrap_err().to_string();
        assert!(text.starts_with("2 failed") && text.contains("task 1"), "{text}");
        Failures::default().into_result().unwrap();
    }
}
