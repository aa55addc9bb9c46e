//! The first bytes of a file, buffered until they suffice to distinguish CSV text from other files.

use common::task::TaskKind;

use crate::error::Error;

/// The start of a file, while it arrives.
#[derive(Debug, Clone)]
pub struct FileStart {
    kind: TaskKind,
    /// None once they are checked.
    bytes: Option<Vec<u8>>,
}

impl FileStart {
    /// The start of a file for a task of `kind`.
    pub fn of(kind: TaskKind) -> Self {
        Self::resume(kind, kind.reads_csv().then(Vec::new))
    }

    /// Continues behind `bytes`, which [`unchecked`](Self::unchecked) returned.
    pub fn resume(kind: TaskKind, bytes: Option<Vec<u8>>) -> Self {
        Self { kind, bytes }
    }

    /// The bytes that are not checked yet, none if there is nothing left to check.
    pub fn unchecked(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// Adds the next bytes of the file, and checks the start when it is complete.
    ///
    /// # Errors
    /// The file is of the wrong type.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(start) = &mut self.bytes else { return Ok(()) };
        let missing = csv_input::START_BYTES.saturating_sub(start.len());
        start.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        match start.len() >= csv_input::START_BYTES {
            true => self.check(),
            false => Ok(()),
        }
    }

    /// Checks the start of a file that has ended.
    ///
    /// # Errors
    /// The file is of the wrong type.
    pub fn check(&mut self) -> Result<(), Error> {
        let Some(bytes) = self.bytes.take() else { return Ok(()) };
        let is_compressed =
            self.kind.may_be_compressed() && csv_input::compression(&bytes).is_some();
        match is_compressed {
            true => Ok(()),
            false => csv_input::check_file(&bytes).map_err(Error::NotCsv),
        }
    }
}
