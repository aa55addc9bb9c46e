//! Writing made-up files: the bar, Ctrl-C, and a file that appears when it is complete.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::console::{Console, note};
use crate::counts;
use crate::destination::{Destination, Part};
use crate::failure::Failure;
use crate::local::until_interrupted;

/// How much output is gathered before it is written.
const BUFFER: usize = 256 << 10;
/// After as many rows a file is to tell how far it is, so that the progress is shown and Ctrl-C is
/// seen.
pub(crate) const ROWS_AT_ONCE: u64 = 10_000;

/// Hears the number of the row that comes next; an error ends the writing.
type Progress<'a> = &'a mut dyn FnMut(u64) -> io::Result<()>;

/// Writes a file of so many `rows` to `output`, `-` for standard output.
pub(crate) fn write(
    output: &Path,
    rows: u64,
    write_rows: impl FnOnce(&mut dyn Write, Progress<'_>) -> io::Result<()> + Send + 'static,
) -> ExitCode {
    match write_file(output, rows, write_rows) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(Console::new(false)),
    }
}

fn write_file(
    output: &Path,
    rows: u64,
    write_rows: impl FnOnce(&mut dyn Write, Progress<'_>) -> io::Result<()> + Send + 'static,
) -> Result<(), Failure> {
    let destination = Destination::named(output)?;
    let (output, part) = destination.open()?;
    let to_stdout = destination == Destination::Stdout;
    let bar = ProgressBar::new(rows);
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
            // A reader that has seen enough (`| head`) is no failure.
            Err(error) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::local(format!("Cannot write the file: {error}."))),
            Ok(()) => Ok(()),
        }
    });
    bar.finish_and_clear();
    done?;
    if let Some(path) = part.map(Part::keep).transpose()? {
        note(&format!("Wrote {} to {}.", counts::rows(rows), path.display()));
    }
    Ok(())
}
