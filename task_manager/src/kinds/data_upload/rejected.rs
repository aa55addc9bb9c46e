//! Streams the rejected rows of a load as CSV, one page at a time.

use bytes::Bytes;
use common::report::RejectedRow;
use common::task::TaskId;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use tracing::error;

use super::store;
use crate::db::{Database, DbError};

/// The columns, as in JSON.
const HEADER: [&str; 5] = ["row", "line", "column", "value", "reason"];
/// How many rows are in memory at a time.
const PAGE: i64 = 1_000;

/// Why the stream ended early.
#[derive(Debug, thiserror::Error)]
pub enum RejectedError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("a rejected row could not be written as CSV: {0}")]
    Csv(String),
}

/// A header and all rejected rows of a task, in the order of the file. With `is_empty`, only the
/// header.
pub fn csv(
    db: Database,
    id: TaskId,
    is_empty: bool,
) -> impl Stream<Item = Result<Bytes, RejectedError>> + Send {
    try_unfold(Next::Header, move |next| {
        let db = db.clone();
        async move {
            let after = match next {
                Next::Header => {
                    let next = if is_empty { Next::End } else { Next::After(0) };
                    return Ok(Some((lines(&[HEADER.map(str::to_owned)])?, next)));
                }
                Next::After(row) => row,
                Next::End => return Ok(None),
            };
            let read = db.read(move |conn| store::rejected(conn, id, after, PAGE)).await;
            let page = read.inspect_err(|error| error!(%error, "cannot read rejected rows"))?;
            let Some(last) = page.last() else { return Ok(None) };
            let next = Next::After(last.row);
            let records: Vec<_> = page.iter().map(record).collect();
            Ok(Some((lines(&records)?, next)))
        }
    })
}

enum Next {
    Header,
    /// The rows after this one.
    After(u64),
    End,
}

fn record(row: &RejectedRow) -> [String; 5] {
    [
        row.row.to_string(),
        row.line.to_string(),
        row.column.clone().unwrap_or_default(),
        row.value.clone().unwrap_or_default(),
        row.reason.clone(),
    ]
}

fn lines(records: &[[String; 5]]) -> Result<Bytes, RejectedError> {
    let failed = |error: String| RejectedError::Csv(error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    for record in records {
        writer.write_record(record).map_err(|error| failed(error.to_string()))?;
    }
    writer.into_inner().map(Bytes::from).map_err(|error| failed(error.to_string()))
}
