//! What is known of the bytes received so far: their hash, and the unchecked start of the file. It
//! is stored with the offset, so that no byte is read again when another request continues.

use common::task::TaskKind;
use serde::{Deserialize, Serialize};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest, Sha256};

use crate::db::{DbError, DbResult};
use crate::error::Error;
use crate::lifecycle::upload::file_start::FileStart;

/// The hash and the start of a file while it arrives.
#[derive(Debug, Clone)]
pub struct Intake {
    hash: Sha256,
    start: FileStart,
}

/// As it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// The state of SHA-256, in hexadecimal.
    sha256: String,
    /// The unchecked start of the file, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<String>,
}

impl Intake {
    /// Before the first byte of a file for a task of `kind`.
    pub fn of(kind: TaskKind) -> Self {
        Self { hash: Sha256::new(), start: FileStart::of(kind) }
    }

    /// Continues from what [`to_json`](Self::to_json) returned.
    ///
    /// # Errors
    /// The text is of another version, or damaged.
    pub fn from_json(kind: TaskKind, text: &str) -> DbResult<Self> {
        let Stored { sha256, start } = serde_json::from_str(text).map_err(DbError::corrupt)?;
        let state = hex::decode(sha256).map_err(DbError::corrupt)?;
        let state = SerializedState::<Sha256>::try_from(state.as_slice());
        let hash = Sha256::deserialize(&state.map_err(DbError::corrupt)?);
        let start = start.map(hex::decode).transpose().map_err(DbError::corrupt)?;
        Ok(Self { hash: hash.map_err(DbError::corrupt)?, start: FileStart::resume(kind, start) })
    }

    /// For the database.
    ///
    /// # Errors
    /// Never in practice.
    pub fn to_json(&self) -> DbResult<String> {
        let sha256 = hex::encode(self.hash.serialize());
        let start = self.start.unchecked().map(hex::encode);
        serde_json::to_string(&Stored { sha256, start }).map_err(DbError::corrupt)
    }

    /// Adds the next bytes of the file.
    ///
    /// # Errors
    /// The file is of the wrong type.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.start.add(bytes)?;
        self.hash.update(bytes);
        Ok(())
    }

    /// The SHA-256 of the whole file, in hexadecimal.
    ///
    /// # Errors
    /// The file is of the wrong type.
    pub fn finish(mut self) -> Result<String, Error> {
        self.start.check()?;
        Ok(hex::encode(self.hash.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_continues_from_its_stored_state() {
        let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut intake = Intake::of(TaskKind::FileStatistics);
        for chunk in content.chunks(4_097) {
            intake.add(chunk).unwrap();
            let stored = intake.to_json().unwrap();
            assert!(stored.len() < 512, "{stored}");
            intake = Intake::from_json(TaskKind::FileStatistics, &stored).unwrap();
        }
        assert_eq!(intake.finish().unwrap(), hex::encode(Sha256::digest(&content)));
    }

    #[test]
    fn the_start_of_a_file_is_checked_across_requests() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        let mut intake = Intake::of(TaskKind::CsvAggregation);
        for byte in png {
            intake.add(&[*byte]).unwrap();
            let stored = intake.to_json().unwrap();
            intake = Intake::from_json(TaskKind::CsvAggregation, &stored).unwrap();
        }
        assert!(matches!(intake.finish(), Err(Error::NotCsv(_))));
    }

    #[test]
    fn a_damaged_state_is_an_error() {
        for text in ["", "{}", r#"{"sha256":"00"}"#, r#"{"sha256":"zz"}"#] {
            assert!(Intake::from_json(TaskKind::FileStatistics, text).is_err(), "{text}");
        }
    }
}
