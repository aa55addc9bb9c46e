//! `taskctl run`: processes a file locally, with the engines of the workers and without a server.

mod aggregation;
mod csv_preview;
mod data_upload;
mod file_statistics;
mod output;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use common::problem::{ErrorLocation, Problem};
use common::task::TaskKind;
use common::task::spec::{OnBadRow, TaskSpec};

use crate::console::{Console, complain};
use crate::counts::counted;
use crate::destination::{Destination, Part};
use crate::failure::Failure;
use crate::kind_options::{self, KindOptions};
use crate::problem_text::problem_text;

/// The arguments of `taskctl run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The kind of task.
    #[arg(value_parser = kind_options::file_kind())]
    kind: TaskKind,
    /// The file, `-` for standard input.
    file: PathBuf,
    /// Where to write the result, `-` for standard output, which is the default. Rejected rows are
    /// written to FILE.rejected.csv beside it.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    options: KindOptions,
    /// The number of threads; by default that of processors.
    #[arg(long, short, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// Print rows, groups, memory, temporary files, and the time of each stage, for a
    /// csv_aggregation.
    #[arg(long)]
    explain: bool,
}

/// `taskctl run`. With JSON, standard output takes one document: the counts of the result, with its
/// rows unless they are written to a file; or the problem.
pub(crate) fn run(args: &RunArgs, console: Console) -> ExitCode {
    let done = spec(args, console).and_then(|spec| match spec {
        TaskSpec::CsvAggregation(spec) => aggregation::aggregate(args, &spec, console),
        TaskSpec::FileStatistics => file_statistics::file_statistics(args, console),
        TaskSpec::CsvPreview(spec) => csv_preview::csv_preview(args, &spec, console),
        TaskSpec::DataUpload(spec) => data_upload::data_upload(args, &spec, console),
        TaskSpec::MessageValidation(_)
        | TaskSpec::UserEvent(_)
        | TaskSpec::ReportEmail(_)
        | TaskSpec::BulkAction(_) => Err(Failure::usage(format!("{} takes no file.", args.kind))),
    });
    done.unwrap_or_else(|failure| failure.report(console))
}

/// The task that the options describe.
fn spec(args: &RunArgs, console: Console) -> Result<TaskSpec, Failure> {
    let RunArgs { kind, options, .. } = args;
    if let Some(instead) = kind.created_by() {
        let text = format!("{kind} takes no file; such tasks are created by {instead}.");
        return Err(Failure::usage(text));
    }
    options.check(*kind)?;
    if args.explain && *kind != TaskKind::CsvAggregation {
        return Err(Failure::usage(format!("--explain is for csv_aggregation, not for {kind}.")));
    }
    if console.is_json() && args.output.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage(
            "Standard output takes either the JSON of --json or the result of --output -, not \
             both. Without --output, the rows are part of the JSON.",
        ));
    }
    TaskSpec::from_parameters(*kind, &options.params).map_err(|errors| {
        let line = |error: &ErrorLocation| match &error.field {
            Some(name) => format!("  {}: {}", options.given_as(name), error.reason),
            None => format!("  {}", error.reason),
        };
        let lines: Vec<_> = errors.iter().map(line).collect();
        Failure::usage(format!("These parameters are invalid:\n{}", lines.join("\n")))
    })
}

/// The input and its size, if known.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin()), None));
    }
    let cannot_read =
        |why: String| Failure::local(format!("Cannot read {}: {why}.", path.display()));
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
    output: Option<&Path>,
    on_bad_row: OnBadRow,
) -> Result<(Box<dyn Write + Send>, Option<Part>), Failure> {
    let destination = output.map(Destination::named).transpose()?;
    match (output, destination) {
        (Some(output), Some(Destination::File(_))) if on_bad_row == OnBadRow::Skip => {
            let mut name = OsString::from(output);
            name.push(".rejected.csv");
            Destination::named(Path::new(&name))?.open()
        }
        _ => Ok((Box::new(io::sink()), None)),
    }
}

/// Reports why the task failed.
fn failed(problem: &Problem, console: Console) -> ExitCode {
    match console.is_json() {
        true => console.document(problem),
        false => complain(&problem_text(problem)),
    }
    ExitCode::FAILURE
}

fn rejected_sentence(count: u64, file: Option<&Path>) -> String {
    let rows = counted(count, "row was", "rows were");
    let hint = match file {
        Some(path) => format!("see {}", path.display()),
        None => "--output FILE writes such rows to a file beside the result".to_owned(),
    };
    format!("{rows} rejected and left out; {hint}.")
}
