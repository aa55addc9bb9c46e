//! `taskctl run csv_aggregation`: writes the sums of a CSV file.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use common::task::spec::CsvAggregationSpec;
use csv_aggregation::{
    AggregationError, Control, DEFAULT_MEMORY_LIMIT, Interrupted, Options, Outputs, Summary,
    WRITE_SIZE,
};
use data_processor::aggregation::{self, AggregationResult};
use data_processor::problems;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::output::Output;
use super::{RunArgs, failed, open, open_rejected, rejected_sentence};
use crate::console::{Console, complain, note};
use crate::counts::{self, Aggregated};
use crate::failure::Failure;
use crate::local::{Cancel, until_interrupted};
use crate::progress::TransferBar;

/// What the JSON document says.
#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    result: AggregationResult,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
}

/// How the result came about.
#[derive(Debug, Clone, Copy, Serialize)]
struct Explanation {
    /// The threads that might work.
    threads: usize,
    /// The most memory for groups, in bytes.
    memory_limit: u64,
    /// The bytes of groups that were written to temporary files.
    bytes_spilled: u64,
    /// The bytes that were read.
    bytes_read: u64,
    /// The seconds of reading the input and grouping its rows.
    read_seconds: f64,
    /// The seconds of sorting the groups and writing the result.
    write_seconds: f64,
}

/// What is observed while the engine works.
#[derive(Debug, Default)]
struct Observed {
    bytes_read: AtomicU64,
    bytes_spilled: AtomicU64,
    /// When all input was read.
    read: OnceLock<Instant>,
}

/// `taskctl run csv_aggregation`.
pub(super) fn aggregate(
    args: &RunArgs,
    spec: &CsvAggregationSpec,
    console: Console,
) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let (input, size) = open(&args.file)?;
    let output = args.output.as_deref();
    let (result, output_file) = Output::open(output, console)?;
    let (rejected, rejected_part) = open_rejected(output, spec.on_bad_row)?;
    let options = options(args, spec);

    let bar = TransferBar::start("Reading", size);
    let observed = Arc::<Observed>::default();
    let result = Shown { output: result, bar: bar.clone(), is_stdout: output_file.is_stdout };
    let mut outputs = Files {
        result: BufWriter::with_capacity(WRITE_SIZE, result),
        rejected: BufWriter::with_capacity(WRITE_SIZE, rejected),
        observed: Arc::clone(&observed),
    };
    let (shown, seen, engine) = (bar.clone(), Arc::clone(&observed), options.clone());
    let done = until_interrupted(move |cancel| {
        let progress = Progress { bar: shown, observed: seen, cancel };
        Ok(csv_aggregation::aggregate(input, &engine, &mut outputs, &progress))
    });
    bar.finish();
    let summary = match done? {
        Ok(summary) => summary,
        // A closed pipe (`| head`) is not a failure.
        Err(AggregationError::Write(error))
            if output_file.is_stdout && error.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Ok(failed(&problems::of_aggregation(&error), console)),
    };
    let explanation = args.explain.then(|| explain(&options, &observed, started));
    let rejected_file = match rejected_part.filter(|_| summary.rows_rejected > 0) {
        Some(part) => Some(part.keep()?),
        None => None,
    };
    let document = Document { result: AggregationResult::from(summary), explanation };
    let result_file = output_file.finish(&document)?;
    if console.is_json() {
        return Ok(ExitCode::SUCCESS);
    }
    note(&sentence(&summary, started.elapsed(), result_file.as_deref()));
    if summary.rows_rejected > 0 {
        note(&rejected_sentence(summary.rows_rejected, rejected_file.as_deref()));
    }
    if let Some(explanation) = explanation {
        // Requested, so it is printed even if messages are not.
        complain(&lines(&summary, &explanation));
    }
    Ok(ExitCode::SUCCESS)
}

fn options(args: &RunArgs, spec: &CsvAggregationSpec) -> Options {
    // Any requested limit is granted, since the user owns this machine.
    let limit = spec.memory_limit.unwrap_or(DEFAULT_MEMORY_LIMIT);
    let mut options = aggregation::options(spec, limit);
    options.unpacked_limit = u64::MAX;
    if let Some(threads) = args.threads {
        options.threads = threads.get();
    }
    options
}

fn explain(options: &Options, observed: &Observed, started: Instant) -> Explanation {
    let read = observed.read.get().copied().unwrap_or(started);
    Explanation {
        threads: options.threads,
        memory_limit: options.memory_limit,
        bytes_spilled: observed.bytes_spilled.load(Ordering::Relaxed),
        bytes_read: observed.bytes_read.load(Ordering::Relaxed),
        read_seconds: (read - started).as_secs_f64(),
        write_seconds: read.elapsed().as_secs_f64(),
    }
}

/// The explanation, one value per line.
fn lines(summary: &Summary, explanation: &Explanation) -> String {
    let spilled = match explanation.bytes_spilled {
        0 => "nothing".to_owned(),
        bytes => HumanBytes(bytes).to_string(),
    };
    let lines = [
        ("Rows", HumanCount(summary.rows_read).to_string()),
        ("Rejected", HumanCount(summary.rows_rejected).to_string()),
        ("Groups", HumanCount(summary.groups).to_string()),
        ("Read", HumanBytes(explanation.bytes_read).to_string()),
        ("Written", HumanBytes(summary.output_size).to_string()),
        ("Spilled", spilled),
        ("Memory", format!("at most {}", HumanBytes(explanation.memory_limit))),
        ("Threads", explanation.threads.to_string()),
        ("Reading", counts::seconds(explanation.read_seconds)),
        ("Writing", counts::seconds(explanation.write_seconds)),
    ];
    let lines = lines.map(|(name, value)| format!("{name:<9} {value}"));
    lines.join("\n")
}

fn sentence(summary: &Summary, took: Duration, file: Option<&Path>) -> String {
    let Summary { rows_read, rows_rejected, groups, .. } = *summary;
    let took = format!(" in {}", counts::seconds(took.as_secs_f64()));
    let phrase = Aggregated { rows_read, rows_rejected, groups }.phrase(&took);
    let location = file.map(|path| format!(" The result is in {}.", path.display()));
    format!("{phrase}.{}", location.unwrap_or_default())
}

/// Shows the progress of the engine and cancels it on Ctrl-C.
struct Progress<'a> {
    bar: TransferBar,
    observed: Arc<Observed>,
    cancel: &'a Cancel,
}

impl Control for Progress<'_> {
    fn progress(&self, bytes_read: u64) -> Result<(), Interrupted> {
        self.observed.bytes_read.store(bytes_read, Ordering::Relaxed);
        if self.observed.read.get().is_none() {
            self.bar.at(bytes_read);
        }
        if self.cancel.is_cancelled() { Err(Interrupted) } else { Ok(()) }
    }

    fn spilled(&self, bytes: u64) {
        self.observed.bytes_spilled.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The outputs of the engine.
struct Files {
    result: BufWriter<Shown>,
    rejected: BufWriter<Box<dyn Write + Send>>,
    observed: Arc<Observed>,
}

/// The result, whose bytes the bar counts.
struct Shown {
    output: Box<dyn Write + Send>,
    bar: TransferBar,
    /// Whether the rows may appear on the terminal of the bar, which ends before them: themselves,
    /// or what another program makes of them.
    is_stdout: bool,
}

impl Outputs for Files {
    /// All input has been read.
    fn result(&mut self) -> io::Result<&mut dyn Write> {
        self.observed.read.get_or_init(Instant::now);
        let Shown { bar, is_stdout, .. } = self.result.get_ref();
        match is_stdout {
            true => bar.finish(),
            false => bar.continue_as("Writing"),
        }
        Ok(&mut self.result)
    }

    fn rejected(&mut self) -> io::Result<&mut dyn Write> {
        Ok(&mut self.rejected)
    }
}

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bar.at(self.bar.position() + written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
