//! `data_upload`: the engine (`row_loading`) on the input of a task, and its batches on their way
//! to the task manager. It makes no files.
//!
//! # Invariants
//! - What the task manager has stored decides where the load goes on: nothing else is believed.
//! - The file is read on a thread of its own, which waits while the task manager is behind.
//!
//! # Not here
//! Sending batches and hearing what became of them (`sending`); storing them (the task manager).

mod sending;

use common::problem::Problem;
use common::report::{LoadCheckpoint, RowBatch};
use common::task::spec::{DataUploadSpec, OnBadRow};
use csv_input::InputError;
use serde::Serialize;
use tokio::sync::mpsc;

use self::sending::{Outcome, send};
use crate::problems;
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};
use crate::row_loading::{self, Batches, Columns, LoadError, check, read_header};

/// How often in a row the task manager may ask for other rows than those that it was sent.
const MAX_TURNS: u32 = 10;

/// Loads the rows of a CSV file into the database.
#[derive(Debug)]
pub(super) struct DataUpload {
    pub(super) spec: DataUploadSpec,
}

/// What a load did; the `result` of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Loaded {
    /// In all attempts together.
    rows_loaded: u64,
    /// In all attempts together.
    rows_rejected: u64,
    /// The first row that this attempt read; none where it began with the first one of the file.
    resumed_from_row: Option<u64>,
}

impl Processor for DataUpload {
    type Output = Loaded;

    async fn process(self, ctx: &Context) -> Result<Completed<Loaded>, ProcessError> {
        // One that reads the file; sending its rows takes hardly any.
        let _thread = ctx.budget().grant(1);
        let mut checkpoint = checkpoint(ctx)?;
        let resumed_from_row = checkpoint.as_ref().map(|checkpoint| checkpoint.row + 1);
        // Where rows are loaded already, the whole file was found good before the first one.
        let check_all = self.spec.on_bad_row == OnBadRow::Fail && checkpoint.is_none();
        let columns = read_columns(ctx, check_all).await?;
        let mut turns = 0;
        let loaded = loop {
            match load(ctx, columns.clone(), checkpoint).await? {
                Outcome::All(last) => break last,
                Outcome::GoTo { stored, advanced } => {
                    turns = if advanced { 1 } else { turns + 1 };
                    if turns > MAX_TURNS {
                        let reason = "the task manager asks for other rows again and again";
                        return Err(ProcessError::retry(reason));
                    }
                    let row = stored.as_ref().map_or(1, |stored| stored.row + 1);
                    tracing::info!(row, "the load goes on from where the task manager is");
                    checkpoint = stored;
                }
            }
        };
        let (rows_loaded, rows_rejected) =
            loaded.map_or((0, 0), |checkpoint| (checkpoint.loaded, checkpoint.rejected));
        let result = Loaded { rows_loaded, rows_rejected, resumed_from_row };
        Ok(Completed { result, output: None })
    }
}

/// Where an earlier attempt got to with this file.
fn checkpoint(ctx: &Context) -> Result<Option<LoadCheckpoint>, ProcessError> {
    let Some(value) = ctx.checkpoint() else { return Ok(None) };
    let checkpoint: LoadCheckpoint = serde_json::from_value(value.clone()).map_err(|error| {
        let detail = format!("the checkpoint of the task cannot be read: {error}");
        ProcessError::fail(Problem::new(500, "internal", "Internal error", detail))
    })?;
    Ok(Some(checkpoint)
        .filter(|checkpoint| ctx.input().is_ok_and(|it| it.sha256 == checkpoint.sha256)))
}

/// Reads the header; with `check_all` every row too, each of which must hold then.
async fn read_columns(ctx: &Context, check_all: bool) -> Result<Columns, ProcessError> {
    let input = ctx.open_input().await?;
    let read = ctx.on_thread(move |ctx| match check_all {
        // Nothing is loaded yet, so nothing is done.
        true => check(input.into_blocking(), |_| {
            ctx.progress(0).map_err(|Interrupted| row_loading::Interrupted)
        }),
        false => read_header(input.into_blocking()),
    });
    Ok(read.await??)
}

/// Loads the rows behind `checkpoint`, until the file ends or the task manager wants others.
async fn load(
    ctx: &Context,
    columns: Columns,
    checkpoint: Option<LoadCheckpoint>,
) -> Result<Outcome, ProcessError> {
    let offset = columns.offset(checkpoint.as_ref());
    ctx.progress(offset)?;
    if offset >= ctx.input()?.size {
        return Ok(Outcome::All(checkpoint));
    }
    let input = ctx.open_input_from(offset).await?;
    let (attempt, sha256) = (ctx.attempt(), ctx.input()?.sha256.clone());
    // One batch is made while others are under way.
    let (sender, batches) = mpsc::channel(1);
    let start = checkpoint.clone();
    let reading = ctx.on_thread(move |_| {
        let mut batches = Batches::resume(input.into_blocking(), columns, start, sha256);
        while let Some(batch) = batches.next()? {
            let row_loading::Batch { from, checkpoint, rows, rejected } = batch;
            // Nobody waits for more after an interrupt, or when the load goes on elsewhere.
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

impl From<LoadError> for ProcessError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Interrupted(row_loading::Interrupted) => Interrupted.into(),
            // Of the storage, not of the file: it may work again.
            LoadError::Input(InputError::Read(_)) => Self::retry(error.to_string()),
            error => Self::fail(problems::of_loading(&error)),
        }
    }
}
