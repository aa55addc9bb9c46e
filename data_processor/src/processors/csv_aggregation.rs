//! `csv_aggregation`: runs the engine on the input of a task, and writes its outputs.
//!
//! # Invariants
//! - Both output files are finished, and so durable, before the task is completed.
//! - After an error or an interrupt both are aborted: no partial file remains.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use common::report::Output;
use common::storage::{BlockingWriter, ObjectWriter, OutputPart};
use common::task::TaskKind;
use common::task::spec::CsvAggregationSpec;

use csv_aggregation::{AggregationError, Control, Outputs, Summary, WRITE_SIZE, aggregate};
use csv_input::InputError;

use crate::aggregation::{AggregationResult, options};
use crate::budget::Share;
use crate::metrics::metrics;
use crate::problems;
use crate::processor::{Completed, Context, Interrupted, ProcessError, Processor};

const MEDIA_TYPE: &str = "text/csv; charset=utf-8";

/// Sums the columns of a CSV file by groups of equal rows.
#[derive(Debug)]
pub(super) struct CsvAggregation {
    pub(super) spec: CsvAggregationSpec,
}

impl Processor for CsvAggregation {
    type Output = AggregationResult;

    async fn process(self, ctx: &Context) -> Result<Completed<AggregationResult>, ProcessError> {
        let mut options = options(&self.spec, ctx.budget().memory());
        options.threads = ctx.budget().threads();
        options.unpacked_limit = ctx.unpacked_limit();
        let input = ctx.open_input().await?;
        let mut files = Files { ctx: ctx.clone(), result: None, rejected: None };
        let (summary, files) = ctx
            .on_thread(move |ctx| {
                let attempt = Attempt { ctx, share: ctx.budget().share() };
                let summary = aggregate(input.into_blocking(), &options, &mut files, &attempt);
                (summary, files)
            })
            .await?;
        let summary = match summary {
            Ok(summary) => summary,
            Err(error) => {
                files.abort().await;
                return Err(error.into());
            }
        };
        let (size, has_rejected) = files.finish().await?;
        let file_name = output_name(&ctx.input()?.file_name);
        let Summary { rows_read, rows_rejected, .. } = summary;
        let accepted = rows_read.saturating_sub(rows_rejected);
        metrics().rows_processed(TaskKind::CsvAggregation, accepted, rows_rejected);
        let output = Output { file_name, media_type: MEDIA_TYPE.to_owned(), size, has_rejected };
        Ok(Completed { result: summary.into(), output: Some(output) })
    }
}

/// The attempt and its share of the worker's budget.
struct Attempt<'a> {
    ctx: &'a Context,
    share: Share,
}

impl Control for Attempt<'_> {
    fn progress(&self, bytes_read: u64) -> Result<(), csv_aggregation::Interrupted> {
        self.ctx.progress(bytes_read).map_err(|Interrupted| csv_aggregation::Interrupted)
    }

    fn rejected(&self, rows: u64) {
        self.ctx.rejected(rows);
    }

    fn threads(&self) -> usize {
        self.share.threads()
    }

    fn memory(&self) -> u64 {
        self.share.memory()
    }
}

impl From<AggregationError> for ProcessError {
    fn from(error: AggregationError) -> Self {
        match error {
            AggregationError::Interrupted(_) => Interrupted.into(),
            // Errors of the storage are transient; errors of the file are not.
            AggregationError::Input(InputError::Read(_))
            | AggregationError::Write(_)
            | AggregationError::Spill(_) => Self::of_storage(&error),
            error => Self::fail(problems::of_aggregation(&error)),
        }
    }
}

/// The attempt's output files, created when they are needed.
struct Files {
    ctx: Context,
    result: Option<BufWriter<BlockingWriter>>,
    rejected: Option<BufWriter<BlockingWriter>>,
}

impl Outputs for Files {
    fn result(&mut self) -> io::Result<&mut dyn Write> {
        Ok(self.result.get_or_insert_with(|| create(&self.ctx, OutputPart::Result)))
    }

    fn rejected(&mut self) -> io::Result<&mut dyn Write> {
        Ok(self.rejected.get_or_insert_with(|| create(&self.ctx, OutputPart::Rejected)))
    }
}

fn create(ctx: &Context, part: OutputPart) -> BufWriter<BlockingWriter> {
    BufWriter::with_capacity(WRITE_SIZE, ctx.create_output(part).into_blocking())
}

/// The writer below a buffer. After a success the buffer is empty; otherwise it is discarded.
fn unbuffered(file: BufWriter<BlockingWriter>) -> ObjectWriter {
    file.into_parts().0.into_inner()
}

impl Files {
    /// Makes the files durable: the rejected rows, if any, then the result. Returns the size of the
    /// result in bytes and whether rows were rejected.
    async fn finish(mut self) -> Result<(u64, bool), ProcessError> {
        let rejected = self.rejected.take().map(unbuffered);
        let has_rejected = rejected.is_some();
        if let Some(rejected) = rejected
            && let Err(error) = rejected.finish().await
        {
            self.abort().await;
            return Err(error.into());
        }
        match self.result.map(unbuffered) {
            Some(result) => Ok((result.finish().await?, has_rejected)),
            None => Err(ProcessError::retry("the aggregation wrote no result")),
        }
    }

    async fn abort(self) {
        for file in [self.result, self.rejected].into_iter().flatten() {
            if let Err(error) = unbuffered(file).abort().await {
                tracing::warn!(%error, "cannot remove a partial file; a sweep will remove it");
            }
        }
    }
}

/// `songs.csv` becomes `songs-aggregated.csv`, and so does `songs.csv.gz`.
fn output_name(input: &str) -> String {
    let decompressed = [".gz", ".zst"].iter().find_map(|suffix| input.strip_suffix(suffix));
    let input = decompressed.unwrap_or(input);
    match Path::new(input).file_stem().and_then(|stem| stem.to_str()) {
        Some(stem) => format!("{stem}-aggregated.csv"),
        None => "aggregated.csv".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_is_named_after_the_input() {
        for (input, output) in [
            ("songs.csv", "songs-aggregated.csv"),
            ("songs", "songs-aggregated.csv"),
            ("songs.csv.gz", "songs-aggregated.csv"),
            ("songs.zst", "songs-aggregated.csv"),
            ("Über 2024.01.CSV", "Über 2024.01-aggregated.csv"),
            ("", "aggregated.csv"),
        ] {
            assert_eq!(output_name(input), output);
        }
    }
}
