//! `taskctl run data_upload`: a dry run of a load. Without a database, it writes the rows that
//! would be loaded to the output, without the others.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use common::report::RejectedRow;
use common::task::spec::{DataUploadSpec, OnBadRow};
use csv_aggregation::WRITE_SIZE;
use data_processor::row_loading::{Dialect, DialectOptions, Interrupted, LoadError, Rows, check};
use data_processor::{dialect, problems};
use serde_json::json;

use super::output::Output;
use super::{RunArgs, failed, open, open_rejected, rejected_sentence};
use crate::console::{Console, note};
use crate::counts;
use crate::failure::Failure;
use crate::local::{Cancel, until_interrupted};
use crate::progress::TransferBar;

type CsvOutput = csv::Writer<BufWriter<Box<dyn Write + Send>>>;

/// The numbers of rows that would be loaded and rejected.
#[derive(Debug, Default)]
struct Counts {
    loaded: u64,
    rejected: u64,
    /// How the file was read.
    dialect: Dialect,
}

/// Why processing a file ended early.
enum Stopped {
    Load(LoadError),
    Write(io::Error),
}

impl From<LoadError> for Stopped {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

impl From<csv::Error> for Stopped {
    fn from(error: csv::Error) -> Self {
        Self::Write(error.into())
    }
}

/// `taskctl run data_upload`.
pub(super) fn data_upload(
    args: &RunArgs,
    spec: &DataUploadSpec,
    console: Console,
) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let (input, size) = open(&args.file)?;
    // Bad rows are known only after reading the whole file, which is then read again.
    let first_input = match spec.on_bad_row {
        OnBadRow::Skip => None,
        OnBadRow::Fail if size.is_some() => Some(open(&args.file)?.0),
        OnBadRow::Fail => {
            return Err(Failure::usage(
                "With --on-bad-row fail the file is read twice, which is not possible with standard \
                 input and pipes; name a file.",
            ));
        }
    };
    let output = args.output.as_deref();
    let (result, output_file) = Output::open(output, console)?;
    let (rejected, rejected_part) = open_rejected(output, spec.on_bad_row)?;
    let buffered = |output| csv::Writer::from_writer(BufWriter::with_capacity(WRITE_SIZE, output));
    let (result, rejected) = (buffered(result), buffered(rejected));

    let dialect = dialect::options(&spec.dialect);
    let bar = TransferBar::start("Reading", size);
    let shown = bar.clone();
    let done = until_interrupted(move |cancel| {
        let progress = |bytes| progress(&shown, cancel, bytes);
        if let Some(input) = first_input
            && let Err(error) = check(input, dialect, progress)
        {
            return Ok(Err(error.into()));
        }
        Ok(copy((input, dialect), result, rejected, progress))
    });
    bar.finish();
    let Counts { loaded, rejected, dialect } = match done? {
        Ok(counts) => counts,
        Err(Stopped::Load(error)) => {
            return Ok(failed(&problems::of_loading(&error), console));
        }
        // A closed pipe (`| head`) is not a failure.
        Err(Stopped::Write(error))
            if output_file.is_stdout && error.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(ExitCode::SUCCESS);
        }
        Err(Stopped::Write(error)) => {
            return Err(Failure::local(format!("Cannot write the rows: {error}.")));
        }
    };
    let rejected_file = match rejected_part.filter(|_| rejected > 0) {
        Some(part) => Some(part.keep()?),
        None => None,
    };
    let result_file = output_file.finish(&json!({
        "rows_loaded": loaded, "rows_rejected": rejected, "resumed_from_row": null,
        "dialect": dialect::found(dialect)
    }))?;
    if console.is_json() {
        return Ok(ExitCode::SUCCESS);
    }
    note(&sentence(loaded, started, result_file.as_deref()));
    if rejected > 0 {
        note(&rejected_sentence(rejected, rejected_file.as_deref()));
    }
    Ok(ExitCode::SUCCESS)
}

fn progress(bar: &TransferBar, cancel: &Cancel, bytes: u64) -> Result<(), Interrupted> {
    bar.at(bytes);
    if cancel.is_cancelled() { Err(Interrupted) } else { Ok(()) }
}

fn copy(
    (input, dialect): (impl io::Read, DialectOptions),
    mut result: CsvOutput,
    mut rejected: CsvOutput,
    progress: impl Fn(u64) -> Result<(), Interrupted>,
) -> Result<Counts, Stopped> {
    let mut rows = Rows::from_start(input, dialect)?;
    let mut counts = Counts { dialect: rows.columns().dialect(), ..Counts::default() };
    result.write_record(["name", "email"])?;
    rejected.write_record(["row", "line", "column", "value", "reason"])?;
    while let Some(row) = rows.next()? {
        match row.content {
            Ok((name, email)) => {
                counts.loaded += 1;
                result.write_record([name, &*email])?;
            }
            Err(RejectedRow { row, line, column, value, reason }) => {
                counts.rejected += 1;
                rejected.write_record([
                    row.to_string(),
                    line.to_string(),
                    column.unwrap_or_default(),
                    value.unwrap_or_default(),
                    reason,
                ])?;
            }
        }
        progress(rows.position().offset).map_err(LoadError::from)?;
    }
    for mut output in [result, rejected] {
        output.flush().map_err(Stopped::Write)?;
    }
    Ok(counts)
}

fn sentence(loaded: u64, started: Instant, file: Option<&Path>) -> String {
    let location = file.map(|path| format!("; they are in {}", path.display())).unwrap_or_default();
    let took = counts::seconds(started.elapsed().as_secs_f64());
    format!("Found {} that can be loaded in {took}{location}.", counts::rows(loaded))
}
