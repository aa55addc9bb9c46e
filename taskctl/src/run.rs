//! `taskctl run`: processes a file locally, with the engines of the workers and without a server.

mod csv_preview;
mod data_upload;
mod file_statistics;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use common::problem::{ErrorLocation, Problem};
use common::task::TaskKind;
use common::task::spec::{CsvAggregationSpec, OnBadRow, TaskSpec};
use csv_aggregation::{
    AggregationError, Control, DEFAULT_MEMORY_LIMIT, Interrupted, Outputs, Summary, WRITE_SIZE,
};
use data_processor::aggregation::{self, AggregationResult};
use data_processor::problems;
use serde::Serialize;

use crate::console::{Console, note};
use crate::counts::{Aggregated, counted};
use crate::destination::{Destination, Part, cannot_write};
use crate::failure::Failure;
use crate::kind_options::{self, KindOptions};
use crate::local::{Cancel, until_interrupted};
use crate::problem_text::problem_text;
use crate::progress::TransferBar;

/// The arguments of `taskctl run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The kind of task.
    #[arg(value_parser = kind_options::file_kind())]
    kind: TaskKind,
    /// The file, `-` for standard input.
    file: PathBuf,
    /// Where to write the result, `-` for standard output. Rejected rows are written to
    /// FILE.rejected.csv beside it.
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    #[command(flatten)]
    options: KindOptions,
    /// The number of threads; by default that of processors.
    #[arg(long, short, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

/// `taskctl run`. With `json`, prints the summary or the problem as JSON: on standard output, or on
/// standard error if the result goes to standard output.
pub(crate) fn run(args: RunArgs, json: bool) -> ExitCode {
    let spec = match spec(args.kind, &args.options) {
        Ok(spec) => spec,
        Err(failure) => return failure.report(Console::new(false)),
    };
    let beside_rows = Json { wanted: json, stdout_taken: args.output == Path::new("-") };
    let done = match spec {
        TaskSpec::CsvAggregation(spec) => aggregate(&args, spec, beside_rows),
        TaskSpec::FileStatistics => file_statistics::file_statistics(&args, json),
        TaskSpec::CsvPreview => csv_preview::csv_preview(&args, json),
        TaskSpec::DataUpload(spec) => data_upload::data_upload(&args, spec, beside_rows),
        TaskSpec::MessageValidation(_)
        | TaskSpec::UserEvent(_)
        | TaskSpec::ReportEmail(_)
        | TaskSpec::BulkAction(_) => Err(Failure::usage(format!("{} takes no file.", args.kind))),
    };
    done.unwrap_or_else(|failure| failure.report(Console::new(false)))
}

/// The task that the options describe.
fn spec(kind: TaskKind, options: &KindOptions) -> Result<TaskSpec, Failure> {
    if let Some(instead) = kind.created_by() {
        let text = format!("{kind} takes no file; such tasks are created by {instead}.");
        return Err(Failure::usage(text));
    }
    options.check(kind)?;
    TaskSpec::from_parameters(kind, &options.params).map_err(|errors| {
        let line = |error: &ErrorLocation| match &error.field {
            Some(name) => format!("  {}: {}", options.given_as(name), error.reason),
            None => format!("  {}", error.reason),
        };
        let lines: Vec<_> = errors.iter().map(line).collect();
        Failure::usage(format!("These parameters are invalid:\n{}", lines.join("\n")))
    })
}

/// The destination of JSON, if any.
#[derive(Debug, Clone, Copy)]
struct Json {
    wanted: bool,
    stdout_taken: bool,
}

impl Json {
    fn print(self, document: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Failure::local(format!("Cannot write JSON: {error}.")))?;
        if self.stdout_taken {
            note(&text);
        } else {
            // A closed pipe is not a failure.
            let _ = writeln!(io::stdout().lock(), "{text}");
        }
        Ok(())
    }
}

/// Writes the text of a result to its destination.
fn print(
    args: &RunArgs,
    mut output: impl Write,
    part: Option<Part>,
    text: &str,
) -> Result<(), Failure> {
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    match (written, part) {
        // A closed pipe is not a failure.
        (Err(_), None) if args.output == Path::new("-") => Ok(()),
        (Err(error), _) => Err(cannot_write(&args.output, &error)),
        (Ok(()), part) => part.map(Part::keep).transpose().map(drop),
    }
}

fn aggregate(args: &RunArgs, spec: CsvAggregationSpec, json: Json) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let (input, size) = open(&args.file)?;
    let destination = Destination::named(&args.output)?;
    let (result, result_part) = destination.open()?;
    let (rejected, rejected_part) = open_rejected(&args.output, &destination, spec.on_bad_row)?;
    // Any requested limit is granted, since the user owns this machine.
    let limit = spec.memory_limit.unwrap_or(DEFAULT_MEMORY_LIMIT);
    let mut options = aggregation::options(&spec, limit);
    options.unpacked_limit = u64::MAX;
    if let Some(threads) = args.threads {
        options.threads = threads.get();
    }
    let mut outputs = Files {
        result: BufWriter::with_capacity(WRITE_SIZE, result),
        rejected: BufWriter::with_capacity(WRITE_SIZE, rejected),
    };

    let bar = TransferBar::start("Reading", size);
    let shown = bar.clone();
    let done = until_interrupted(move |cancel| {
        let progress = Progress { bar: shown, size, cancel };
        Ok(csv_aggregation::aggregate(input, &options, &mut outputs, &progress))
    });
    bar.finish();
    let summary = match done? {
        Ok(summary) => summary,
        // A closed pipe (`| head`) is not a failure.
        Err(AggregationError::Write(error))
            if json.stdout_taken && error.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return failed(&problems::of_aggregation(&error), json),
    };
    let rejected_file = match rejected_part.filter(|_| summary.rows_rejected > 0) {
        Some(part) => Some(part.keep()?),
        None => None,
    };
    let result_file = result_part.map(Part::keep).transpose()?;
    if json.wanted {
        json.print(&AggregationResult::from(summary))?;
    } else {
        note(&sentence(&summary, started.elapsed(), result_file.as_deref()));
    }
    if summary.rows_rejected > 0 {
        note(&rejected_sentence(summary.rows_rejected, rejected_file.as_deref()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The input and its size, if known.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let cannot_read =
        |why: String| Failure::usage(format!("Cannot read {}: {why}.", path.display()));
    let file = File::open(path).map_err(|error| cannot_read(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| cannot_read(error.to_string()))?;
    if metadata.is_dir() {
        return Err(cannot_read("it is a folder".to_owned()));
    }
    let size = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), size))
}

/// Opens a file for rejected rows beside a result file; otherwise they are only counted.
fn open_rejected(
    output: &Path,
    destination: &Destination,
    on_bad_row: OnBadRow,
) -> Result<(Box<dyn Write + Send>, Option<Part>), Failure> {
    if on_bad_row == OnBadRow::Fail || !matches!(destination, Destination::File(_)) {
        return Ok((Box::new(io::sink()), None));
    }
    let mut name = OsString::from(output);
    name.push(".rejected.csv");
    Destination::named(Path::new(&name))?.open()
}

/// Reports why the task failed.
fn failed(problem: &Problem, json: Json) -> Result<ExitCode, Failure> {
    if json.wanted {
        json.print(problem)?;
    } else {
        note(&problem_text(problem));
    }
    Ok(ExitCode::FAILURE)
}

fn sentence(summary: &Summary, took: Duration, file: Option<&Path>) -> String {
    let Summary { rows_read, rows_rejected, groups, .. } = *summary;
    let took = format!(" in {:.2} s", took.as_secs_f64());
    let phrase = Aggregated { rows_read, rows_rejected, groups }.phrase(&took);
    let location = file.map(|path| format!(" The result is in {}.", path.display()));
    format!("{phrase}.{}", location.unwrap_or_default())
}

fn rejected_sentence(count: u64, file: Option<&Path>) -> String {
    let rows = counted(count, "row was", "rows were");
    let hint = match file {
        Some(path) => format!("see {}", path.display()),
        None => "with --output FILE they are listed beside the result".to_owned(),
    };
    format!("{rows} rejected and left out; {hint}.")
}

/// Shows the progress of the engine and cancels it on Ctrl-C.
struct Progress<'a> {
    bar: TransferBar,
    size: Option<u64>,
    cancel: &'a Cancel,
}

impl Control for Progress<'_> {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        // All input is read and the engine is still working.
        if bytes_read == self.bar.position() && Some(bytes_read) == self.size {
            self.bar.rename("Writing");
        }
        self.bar.at(bytes_read);
        if self.cancel.is_cancelled() { Err(Interrupted) } else { Ok(()) }
    }
}

/// The outputs of the engine.
struct Files {
    result: BufWriter<Box<dyn Write + Send>>,
    rejected: BufWriter<Box<dyn Write + Send>>,
}

impl Outputs for Files {
    fn result(&mut self) -> io::Result<&mut dyn Write> {
        Ok(&mut self.result)
    }

    fn rejected(&mut self) -> io::Result<&mut dyn Write> {
        Ok(&mut self.rejected)
    }
}
