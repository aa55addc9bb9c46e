//! `data_upload`: runs the engine (`row_loading`) on the input of a task, and sends its batches to
//! the task manager. It writes no files.
//!
//! # Invariants
//! - The checkpoint that the task manager has stored alone decides where a load resumes.
//! - The file is read on a thread of its own, which waits while the task manager is behind.
//!
//! # Not here
//! Sending batches and handling the answers (`sending`); storing rows (the task manager).

mod sending;

use std::io::{self, Read};

use common::problem::Problem;
use common::report::{LoadCheckpoint, RowBatch};
use common::task::TaskKind;
use common::task::spec::{CsvDialect, DataUploadSpec, OnBadRow};
use csv_input::{DialectOptions, Encoding, InputError, Text};
use serde::Serialize;
use tokio::sync::mpsc;

use self::sending::{Outcome, send};
use crate::dialect;
use crate::metrics::metrics;
use crate::problems;
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};
use crate::row_loading::{self, Batches, Columns, LoadError, check, read_header};

/// How often in a row the task manager may ask for other rows than those that were sent.
const MAX_REWINDS: u32 = 10;

/// Loads the rows of a CSV file into the database.
#[derive(Debug)]
pub(super) struct DataUpload {
    pub(super) spec: DataUploadSpec,
}

/// The outcome of a load; the `result` of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Loaded {
    /// By all attempts together.
    rows_loaded: u64,
    /// By all attempts together.
    rows_rejected: u64,
    /// The first row that this attempt read; `None` if it started with the first row of the file.
    resumed_from_row: Option<u64>,
    /// How the file was read.
    dialect: CsvDialect,
}

impl Processor for DataUpload {
    type Output = Loaded;

    async fn process(self, ctx: &Context) -> Result<Completed<Loaded>, ProcessError> {
        // One thread reads the file; sending its rows costs little.
        let _thread = ctx.budget().grant(1);
        let mut checkpoint = checkpoint(ctx)?;
        let resumed_from_row = checkpoint.as_ref().map(|checkpoint| checkpoint.row + 1);
        // If rows are loaded already, an earlier attempt checked the whole file before the first
        // one.
        let check_all = self.spec.on_bad_row == OnBadRow::Fail && checkpoint.is_none();
        let options = dialect::options(&self.spec.dialect);
        let columns = read_columns(ctx, options, check_all).await?;
        let dialect = dialect::found(columns.dialect());
        let mut rewinds = 0;
        let loaded = loop {
            match load(ctx, columns.clone(), checkpoint).await? {
                Outcome::All(last) => break last,
                Outcome::Rewind { stored, advanced } => {
                    rewinds = if advanced { 1 } else { rewinds + 1 };
                    if rewinds > MAX_REWINDS {
                        let reason = "the task manager keeps asking for other rows";
                        return Err(ProcessError::retry(reason));
                    }
                    let row = stored.as_ref().map_or(1, |stored| stored.row + 1);
                    tracing::info!(row, "the load resumes at the task manager's checkpoint");
                    checkpoint = stored;
                }
            }
        };
        let (rows_loaded, rows_rejected) =
            loaded.map_or((0, 0), |checkpoint| (checkpoint.loaded, checkpoint.rejected));
        metrics().rows_processed(TaskKind::DataUpload, rows_loaded, rows_rejected);
        let result = Loaded { rows_loaded, rows_rejected, resumed_from_row, dialect };
        Ok(Completed { result, output: None })
    }
}

/// The checkpoint of an earlier attempt, if it is one of this file.
fn checkpoint(ctx: &Context) -> Result<Option<LoadCheckpoint>, ProcessError> {
    let Some(value) = ctx.checkpoint() else { return Ok(None) };
    let checkpoint: LoadCheckpoint = serde_json::from_value(value.clone()).map_err(|error| {
        let detail = format!("the checkpoint of the task cannot be read: {error}");
        ProcessError::fail(Problem::new(500, "internal", "Internal error", detail))
    })?;
    Ok(Some(checkpoint)
        .filter(|checkpoint| ctx.input().is_ok_and(|it| it.sha256 == checkpoint.sha256)))
}

/// Reads the header. With `check_all`, reads all rows too, and fails if one is invalid.
async fn read_columns(
    ctx: &Context,
    dialect: DialectOptions,
    check_all: bool,
) -> Result<Columns, ProcessError> {
    let input = ctx.open_input().await?;
    let read = ctx.on_thread(move |ctx| match check_all {
        // The progress stays 0, since nothing is loaded yet.
        true => check(input.into_blocking(), dialect, |_| {
            ctx.progress(0).map_err(|Interrupted| row_loading::Interrupted)
        }),
        false => read_header(input.into_blocking(), dialect),
    });
    Ok(read.await??)
}

/// Loads the rows after `checkpoint`, until the file ends or the task manager needs other rows.
async fn load(
    ctx: &Context,
    columns: Columns,
    checkpoint: Option<LoadCheckpoint>,
) -> Result<Outcome, ProcessError> {
    let offset = columns.offset(checkpoint.as_ref());
    let size = ctx.input()?.size;
    ctx.rejected(checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.rejected));
    ctx.progress(offset.min(size))?;
    let encoding = columns.dialect().encoding;
    // Offsets are those in the text as UTF-8.
    let is_utf8 = encoding == Encoding::Utf8;
    if is_utf8 && offset >= size {
        return Ok(Outcome::All(checkpoint));
    }
    let input = match is_utf8 {
        true => ctx.open_input_from(offset).await?,
        false => ctx.open_input().await?,
    };
    let (attempt, sha256) = (ctx.attempt(), ctx.input()?.sha256.clone());
    // One batch is prepared while others are in flight.
    let (sender, batches) = mpsc::channel(1);
    let start = checkpoint.clone();
    let reading = ctx.on_thread(move |_| {
        let input = input.into_blocking();
        let text: Box<dyn Read> = match is_utf8 {
            true => Box::new(input),
            false => Box::new(converted(input, encoding, offset)?),
        };
        let mut batches = Batches::resume(text, columns, start, sha256);
        while let Some(batch) = batches.next()? {
            let row_loading::Batch { from, checkpoint, rows, rejected } = batch;
            // The receiver is dropped after an interrupt or a rewind.
            if sender.blocking_send(RowBatch { attempt, from, checkpoint, rows, rejected }).is_err()
            {
                break;
            }
        }
        Ok::<_, LoadError>(())
    });
    let (read, sent) = tokio::join!(reading, send(ctx, batches, checkpoint));
    let outcome = sent?;
    if matches!(outcome, Outcome::All(_)) {
        read??;
    }
    Ok(outcome)
}

/// The text of a file in UTF-8 from `offset` on. What precedes it is converted too, since its
/// position in the file is not known.
fn converted<R: Read>(input: R, encoding: Encoding, offset: u64) -> Result<Text<R>, LoadError> {
    let read = || {
        let mut text = Text::open(input, Some(encoding))?;
        io::copy(&mut (&mut text).take(offset), &mut io::sink())?;
        Ok(text)
    };
    read().map_err(|error| InputError::Read(error).into())
}

impl From<LoadError> for ProcessError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Interrupted(row_loading::Interrupted) => Interrupted.into(),
            // Errors of the storage are transient; errors of the file are not.
            LoadError::Input(InputError::Read(_)) => Self::retry(error.to_string()),
            error => Self::fail(problems::of_loading(&error)),
        }
    }
}
