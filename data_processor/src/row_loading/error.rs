//! Why a file cannot be loaded.

use csv_input::{BadRows, HeaderError, InputError};

use super::Interrupted;

/// Why a file cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not CSV, or could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The header cannot be used.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Rows are invalid, and they were not to be skipped.
    #[error("{0}")]
    BadRows(BadRows),
    /// The work was interrupted.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}
