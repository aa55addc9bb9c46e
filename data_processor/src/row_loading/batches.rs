//! Batches of rows, each with the checkpoint at its end.

use std::io::Read;

use common::report::{LoadCheckpoint, MAX_BATCH_BYTES, MAX_BATCH_ROWS, RejectedRow};

use super::{Columns, LoadError, Rows};

/// The maximum size of a row's text. A batch ends when it has less space left.
const LARGEST_ROW: usize = 4 << 10;

/// Consecutive rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The checkpoint that the batch follows; `None` for the first batch of the file.
    pub from: Option<LoadCheckpoint>,
    /// The checkpoint at the end of the batch.
    pub checkpoint: LoadCheckpoint,
    /// The valid rows: number, name and e-mail address.
    pub rows: Vec<(u64, String, String)>,
    /// The invalid rows.
    pub rejected: Vec<RejectedRow>,
}

/// Reads a file batch by batch.
pub struct Batches<R> {
    rows: Rows<R>,
    max_rows: usize,
    sha256: String,
    last: Option<LoadCheckpoint>,
}

impl<R: Read> Batches<R> {
    /// The batches of the file `sha256` after `checkpoint`. `input` must start there: see
    /// [`Columns::offset`].
    pub fn resume(
        input: R,
        columns: Columns,
        checkpoint: Option<LoadCheckpoint>,
        sha256: String,
    ) -> Self {
        let rows = Rows::resume(input, columns, checkpoint.as_ref());
        Self { rows, max_rows: MAX_BATCH_ROWS, sha256, last: checkpoint }
    }

    /// Limits batches to `rows` rows, at least 1.
    #[must_use]
    pub fn with_max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows.clamp(1, MAX_BATCH_ROWS);
        self
    }

    /// The next batch; `None` at the end of the file.
    ///
    /// # Errors
    /// A record is too long, or reading failed. The rows of the unfinished batch are discarded; a
    /// later reader returns them again.
    #[expect(clippy::should_implement_trait, reason = "returns a `Result`, like `Rows::next`")]
    pub fn next(&mut self) -> Result<Option<Batch>, LoadError> {
        let (mut rows, mut rejected) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while rows.len() + rejected.len() < self.max_rows && bytes + LARGEST_ROW <= MAX_BATCH_BYTES
        {
            let Some(row) = self.rows.next()? else { break };
            match row.content {
                Ok((name, email)) => {
                    bytes += name.len() + email.len();
                    rows.push((row.number, name.to_owned(), email.into_owned()));
                }
                Err(row) => {
                    bytes += text_bytes(&row);
                    rejected.push(row);
                }
            }
        }
        if rows.is_empty() && rejected.is_empty() {
            return Ok(None);
        }
        let position = self.rows.position();
        let (loaded, rejected_before) =
            self.last.as_ref().map_or((0, 0), |last| (last.loaded, last.rejected));
        let checkpoint = LoadCheckpoint {
            row: self.rows.number(),
            offset: position.offset,
            line: position.line,
            loaded: loaded + rows.len() as u64,
            rejected: rejected_before + rejected.len() as u64,
            sha256: self.sha256.clone(),
        };
        let from = self.last.replace(checkpoint.clone());
        Ok(Some(Batch { from, checkpoint, rows, rejected }))
    }
}

fn text_bytes(row: &RejectedRow) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    row.reason.len() + optional(&row.column) + optional(&row.value)
}
