//! Where `taskctl run` writes a result.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use serde::Serialize;

use crate::console::Console;
use crate::destination::{Destination, Part, cannot_write};
use crate::failure::Failure;

/// The output of a CSV file.
pub(super) struct Output {
    part: Option<Part>,
    /// The file that the rows of the JSON document come from.
    rows: Option<File>,
    /// Whether it is standard output.
    pub(super) is_stdout: bool,
    console: Console,
}

impl Output {
    /// Opens the output. With JSON and without a file, the rows wait in a temporary file, since the
    /// counts precede them.
    pub(super) fn open(
        output: Option<&Path>,
        console: Console,
    ) -> Result<(Box<dyn Write + Send>, Self), Failure> {
        let Some(path) = output else {
            if !console.is_json() {
                let stdout = Self { part: None, rows: None, is_stdout: true, console };
                return Ok((Box::new(io::stdout()), stdout));
            }
            let made = tempfile::tempfile().and_then(|file| Ok((file.try_clone()?, file)));
            let (file, rows) = made.map_err(|error| {
                Failure::local(format!("Cannot create a temporary file: {error}."))
            })?;
            let kept = Self { part: None, rows: Some(rows), is_stdout: false, console };
            return Ok((Box::new(file), kept));
        };
        let destination = Destination::named(path)?;
        let (writer, part) = destination.open()?;
        let is_stdout = destination == Destination::Stdout;
        Ok((writer, Self { part, rows: None, is_stdout, console }))
    }

    /// Gives a complete file its name, and prints `counts` if JSON was requested. Returns the name.
    pub(super) fn finish(self, counts: &impl Serialize) -> Result<Option<PathBuf>, Failure> {
        let file = self.part.map(Part::keep).transpose()?;
        match self.rows {
            _ if !self.console.is_json() => {}
            None => self.console.document(counts),
            Some(rows) => print_with_rows(counts, rows)?,
        }
        Ok(file)
    }
}

/// Prints the fields of `counts`, and the columns and rows of a CSV file. The rows are as in the
/// API's preview of a result.
fn print_with_rows(counts: &impl Serialize, mut rows: File) -> Result<(), Failure> {
    let print = || {
        let counts = serde_json::to_string(counts)?;
        rows.rewind()?;
        let mut rows = csv::Reader::from_reader(rows);
        let mut output = BufWriter::new(io::stdout().lock());
        // The object goes on with the rows, which are not held in memory.
        let counts = counts.strip_suffix('}').unwrap_or(&counts);
        write!(output, "{counts},\"columns\":")?;
        serde_json::to_writer(&mut output, &texts(rows.byte_headers()?))?;
        output.write_all(b",\"rows\":[")?;
        let (mut record, mut separator) = (ByteRecord::new(), &b"\n"[..]);
        while rows.read_byte_record(&mut record)? {
            output.write_all(separator)?;
            serde_json::to_writer(&mut output, &texts(&record))?;
            separator = b",\n";
        }
        output.write_all(b"\n]}\n")?;
        output.flush()
    };
    match print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::local(format!("Cannot write JSON: {error}.")))
        }
        // A closed pipe is not a failure.
        _ => Ok(()),
    }
}

fn texts(record: &ByteRecord) -> Vec<String> {
    record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
}

/// Writes the text of a result to its destination; with JSON it is printed too.
pub(super) fn print(output: Option<&Path>, text: &str, console: Console) -> Result<(), Failure> {
    let Some(path) = output else {
        console.line(text);
        return Ok(());
    };
    let destination = Destination::named(path)?;
    let (mut writer, part) = destination.open()?;
    let written = writeln!(writer, "{text}").and_then(|()| writer.flush());
    match (written, part) {
        // A closed pipe is not a failure.
        (Err(_), None) if destination == Destination::Stdout => return Ok(()),
        (Err(error), _) => return Err(cannot_write(path, &error)),
        (Ok(()), part) => part.map(Part::keep).transpose()?,
    };
    if console.is_json() {
        console.line(text);
    }
    Ok(())
}
