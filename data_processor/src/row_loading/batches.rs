//! Rows in batches, each with the checkpoint behind it.

use std::io::Read;

use common::report::{LoadCheckpoint, MAX_BATCH_BYTES, MAX_BATCH_ROWS, RejectedRow};

use super::{Columns, LoadError, Rows};

/// What a text of a row takes at most: of these a batch always has room for one more row.
const LARGEST_ROW: usize = 4 << 10;

/// Some rows of a file, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The checkpoint behind which it goes on; none for the first one of the file.
    pub from: Option<LoadCheckpoint>,
    /// The checkpoint behind it.
    pub checkpoint: LoadCheckpoint,
    /// The valid rows: number, name and e-mail address.
    pub rows: Vec<(u64, String, String)>,
    /// The rows that do not.
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
    /// The batches of the file `sha256` behind `checkpoint`, where `input` begins: see
    /// [`Columns::offset`].
    pub fn behind(
        input: R,
        columns: Columns,
        checkpoint: Option<LoadCheckpoint>,
        sha256: String,
    ) -> Self {
        let rows = Rows::behind(input, columns, checkpoint.as_ref());
        Self { rows, max_rows: MAX_BATCH_ROWS, sha256, last: checkpoint }
    }

    /// Makes batches of `rows` rows at most, from 1.
    #[must_use]
    pub fn with_max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows.clamp(1, MAX_BATCH_ROWS);
        self
    }

    /// The next batch; none where no row is left.
    ///
    /// # Errors
    /// A record is too long, or reading failed. The rows before it are lost with the batch, and
    /// come again with the next reading.
    #[expect(clippy::should_implement_trait, reason = "as of the rows")]
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
        let place = self.rows.place();
        let (loaded, rejected_before) =
            self.last.as_ref().map_or((0, 0), |last| (last.loaded, last.rejected));
        let checkpoint = LoadCheckpoint {
            row: self.rows.number(),
            offset: place.offset,
            line: place.line,
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
