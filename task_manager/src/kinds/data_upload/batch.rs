//! Validation of batches of rows.

use common::problem::ErrorLocation;
use common::report::{
    LoadCheckpoint, MAX_BATCH_BYTES, MAX_BATCH_ROWS, MAX_ROW_TEXT, RejectedRow, RowBatch,
};

use crate::error::Error;

/// The position of a checkpoint in its file; checkpoints of one file are ordered by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The last row that was read; 0 before the first one.
    pub row: u64,
    offset: u64,
}

/// The position of a checkpoint; the start of the file if there is none.
pub fn position(checkpoint: &Option<LoadCheckpoint>) -> Position {
    checkpoint.as_ref().map_or_else(Position::default, at)
}

fn at(checkpoint: &LoadCheckpoint) -> Position {
    Position { row: checkpoint.row, offset: checkpoint.offset }
}

/// Checks a batch without the stored checkpoint.
pub fn check(batch: &RowBatch) -> Result<(), Error> {
    let rows = batch.rows.len() + batch.rejected.len();
    if rows > MAX_BATCH_ROWS {
        return Err(Error::BatchTooLarge {
            given: format!("{rows} rows"),
            limit: format!("{MAX_BATCH_ROWS} rows"),
        });
    }
    let bytes: usize = texts(batch).map(|(_, text)| text.len()).sum();
    if bytes > MAX_BATCH_BYTES {
        return Err(Error::BatchTooLarge {
            given: format!("{bytes} bytes of text"),
            limit: format!("{MAX_BATCH_BYTES} bytes of text"),
        });
    }
    let mut errors = checkpoint_errors(batch);
    let span = (position(&batch.from).row, batch.checkpoint.row);
    errors.extend(number_error("rows", batch.rows.iter().map(|row| row.0), span));
    errors.extend(number_error("rejected", batch.rejected.iter().map(|row| row.row), span));
    if let Some(row) = batch.rejected.iter().find(|row| !is_storable(row.line)) {
        errors.push(ErrorLocation::field("rejected", format!("has no line {}", row.line)));
    }
    if let Some((row, text)) = texts(batch).find(|(_, text)| is_too_long(text)) {
        let reason = format!(
            "has a text of {} characters in row {row}; {MAX_ROW_TEXT} is the limit",
            text.chars().count()
        );
        errors.push(ErrorLocation::field("rows", reason));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::InvalidParameters(errors)) }
}

fn texts(batch: &RowBatch) -> impl Iterator<Item = (u64, &str)> {
    let loaded =
        batch.rows.iter().flat_map(|(row, name, email)| [(*row, name.as_str()), (*row, email)]);
    loaded.chain(batch.rejected.iter().flat_map(rejected_texts))
}

fn rejected_texts(row: &RejectedRow) -> impl Iterator<Item = (u64, &str)> {
    let texts = [row.column.as_deref(), row.value.as_deref(), Some(row.reason.as_str())];
    texts.into_iter().flatten().map(|text| (row.row, text))
}

/// The number of bytes quickly shows that most texts are short enough.
fn is_too_long(text: &str) -> bool {
    text.len() > MAX_ROW_TEXT && text.chars().count() > MAX_ROW_TEXT
}

/// The databases store signed numbers.
fn is_storable(number: u64) -> bool {
    i64::try_from(number).is_ok()
}

fn checkpoint_errors(batch: &RowBatch) -> Vec<ErrorLocation> {
    let next = &batch.checkpoint;
    let mut errors = Vec::new();
    let mut wrong = |reason: &str| errors.push(ErrorLocation::field("checkpoint", reason));
    if !is_storable(next.row) {
        wrong("has a row beyond all numbers");
    }
    if at(next) < position(&batch.from) {
        wrong("lies before `from`");
    }
    let (loaded, rejected) = match &batch.from {
        Some(from) => (from.loaded, from.rejected),
        None => (0, 0),
    };
    if loaded.checked_add(batch.rows.len() as u64) != Some(next.loaded) {
        wrong("counts other loaded rows than `from` and `rows`");
    }
    if rejected.checked_add(batch.rejected.len() as u64) != Some(next.rejected) {
        wrong("counts other rejected rows than `from` and `rejected`");
    }
    if batch.from.as_ref().is_some_and(|from| from.sha256 != next.sha256) {
        wrong("is of another file than `from`");
    }
    errors
}

/// Numbers must ascend, from after the first one of `span` up to the second one.
fn number_error(
    field: &str,
    numbers: impl Iterator<Item = u64>,
    (mut last, end): (u64, u64),
) -> Option<ErrorLocation> {
    for number in numbers {
        if number <= last || number > end {
            let reason =
                format!("has row {number}, which is not between the rows {last} and {end}");
            return Some(ErrorLocation::field(field, reason));
        }
        last = number;
    }
    None
}
