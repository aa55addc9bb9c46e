//! Writes generated files: progress, Ctrl-C, and a file that appears when it is complete.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::console::{Console, is_quiet, note};
use crate::counts;
use crate::destination::{Destination, Part};
use crate::failure::Failure;
use crate::local::until_interrupted;

/// The size of the output buffer.
const BUFFER: usize = 256 << 10;
/// How many rows to write between progress reports, which also check for Ctrl-C.
pub(crate) const ROWS_AT_ONCE: u64 = 10_000;

/// Receives the number of the next row; an error ends the writing.
type Progress<'a> = &'a mut dyn FnMut(u64) -> io::Result<()>;

/// Writes a file of `rows` rows to `output`, `-` for standard output.
pub(crate) fn write(
    output: &Path,
    rows: u64,
    console: Console,
    write_rows: impl FnOnce(&mut dyn Write, Progress<'_>) -> io::Result<()> + Send + 'static,
) -> ExitCode {
    if console.is_json() && output == Path::new("-") {
        let text = "Standard output takes either the JSON of --json or the rows of --output -.";
        return Failure::usage(text).report(console);
    }
    match write_file(output, rows, console, write_rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(console),
    }
}

fn write_file(
    output: &Path,
    rows: u64,
    console: Console,
    write_rows: impl FnOnce(&mut dyn Write, Progress<'_>) -> io::Result<()> + Send + 'static,
) -> Result<(), Failure> {
    let destination = Destination::named(output)?;
    let (output, part) = destination.open()?;
    let to_stdout = destination == Destination::Stdout;
    let bar = if is_quiet() { ProgressBar::hidden() } else { ProgressBar::new(rows) };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} rows, {eta} left")
    {
        bar.set_style(style);
    }
    let shown = bar.clone();
    let done = until_interrupted(move |cancel| {
        let mut output = BufWriter::with_capacity(BUFFER, output);
        let written = write_rows(&mut output, &mut |row| {
            shown.set_position(row);
            if cancel.is_cancelled() { Err(io::Error::other("interrupted")) } else { Ok(()) }
        });
        match written {
            // A closed pipe (`| head`) is not a failure.
            Err(error) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::local(format!("Cannot write the file: {error}."))),
            Ok(()) => Ok(()),
        }
    });
    bar.finish_and_clear();
    done?;
    let path = part.map(Part::keep).transpose()?;
    if console.is_json() {
        console.document(&json!({"output": path, "rows": rows}));
    } else if let Some(path) = path {
        note(&format!("Wrote {} to {}.", counts::rows(rows), path.display()));
    }
    Ok(())
}
