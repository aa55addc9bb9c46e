//! `taskctl run file_statistics`: the statistics of a file, on standard output or in a file.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::process::ExitCode;

use common::file_statistics::FileStatistics;
use data_processor::file_statistics::{ExamineError, MAX_THREADS, examine};
use indicatif::HumanCount;

use super::output::print;
use super::{RunArgs, open};
use crate::console::Console;
use crate::counts::exact_size;
use crate::failure::Failure;
use crate::local::until_interrupted;
use crate::progress::TransferBar;
use crate::view::printable_line;

/// Prints the statistics of the file as text, or with `json` as JSON.
pub(super) fn file_statistics(args: &RunArgs, console: Console) -> Result<ExitCode, Failure> {
    let (input, size) = open(&args.file)?;
    let path = args.file.display().to_string();
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();

    let threads = args.threads.map_or(MAX_THREADS, NonZero::get);

    let bar = TransferBar::start("Reading", size);
    let shown = bar.clone();
    let examined = until_interrupted(move |cancel| {
        let examined = examine(input, &name, threads, |done| {
            shown.at(done);
            if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        examined.map_err(|error| match error {
            ExamineError::Interrupted => Failure::interrupted("Interrupted."),
            ExamineError::Read(error) => Failure::local(format!("Cannot read {path}: {error}.")),
        })
    });
    bar.finish();
    let statistics = examined?;
    let text = match console.is_json() {
        true => serde_json::to_string_pretty(&statistics)
            .map_err(|error| Failure::local(format!("Cannot write JSON: {error}.")))?,
        false => lines(&statistics),
    };
    print(args.output.as_deref(), &text, console)?;
    Ok(ExitCode::SUCCESS)
}

/// A line for each value.
fn lines(statistics: &FileStatistics) -> String {
    let count = |count: Option<u64>| count.map(|count| HumanCount(count).to_string());
    let size = statistics.size;
    let encoding = serde_json::to_value(statistics.encoding).ok();
    let rows = [
        ("File", Some(printable_line(&statistics.file_name))),
        ("Size", Some(exact_size(size))),
        ("Lines", count(statistics.lines)),
        ("Words", count(statistics.words)),
        ("Characters", count(statistics.characters)),
        ("Content type", Some(statistics.content_type.clone())),
        ("Encoding", encoding.and_then(|name| name.as_str().map(str::to_owned))),
        ("SHA-256", Some(statistics.sha256.clone())),
    ];
    let lines: Vec<_> = rows
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name:<12} {value}")))
        .collect();
    lines.join("\n")
}
