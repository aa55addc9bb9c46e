//! `taskctl rows` and `taskctl rejected`: the rows of a task, one page of the API at a time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use common::task::TaskView;
use csv::{ByteRecord, StringRecord, Writer};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::download::{self, Part, console_for};
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::patience::GiveUp;
use crate::saving::{Saved, Sink, Target};
use crate::session::{Session, task_path};
use crate::task_refs::OneTask;

/// The largest page of the API.
const PAGE: &str = "10000";
const ROW_COLUMNS: [&str; 3] = ["row", "name", "email"];
const REJECTED_COLUMNS: [&str; 5] = ["row", "line", "column", "value", "reason"];

/// The arguments of `taskctl rows` and `taskctl rejected`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RowsArgs {
    #[command(flatten)]
    task: OneTask,
    /// Where to write the rows, `-` for standard output.
    #[arg(long, short, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

/// A page of rows.
#[derive(Deserialize)]
struct Page {
    items: Vec<Map<String, Value>>,
    next_page_token: Option<String>,
}

/// The output format of rows.
#[derive(Debug, Clone, Copy)]
enum Format {
    /// With these columns.
    Csv(&'static [&'static str]),
    /// As the API lists them, in one list.
    Json,
}

/// `taskctl rows`.
pub(crate) async fn rows(session: &Session, args: RowsArgs) -> Result<ExitCode, Failure> {
    let id = args.task.resolve(session).await?;
    let path = format!("/v1/data_uploads/{id}/rows");
    let format = format(session, &ROW_COLUMNS);
    let saved = copy(session, &path, format, &Target::named(&args.output)?).await?;
    Ok(concluded(session, &args.output, &saved))
}

/// `taskctl rejected`.
pub(crate) async fn rejected(session: &Session, args: RowsArgs) -> Result<ExitCode, Failure> {
    let target = Target::named(&args.output)?;
    let id = args.task.resolve(session).await?;
    let task: TaskView = session.client.get(&task_path(id)).await?;
    let saved = match task.links.rejected {
        Some(path) if path.starts_with("/v1/data_uploads/") => {
            let format = format(session, &REJECTED_COLUMNS);
            copy(session, &path, format, &target).await?
        }
        Some(path) if session.console.is_json() => copy_csv(session, &path, &target).await?,
        Some(_) => {
            console_for(session.console, &target)?;
            download::fetch(session, id, Part::Rejected, &target, GiveUp::default()).await?
        }
        None => {
            return Err(Failure::local(format!(
                "Task {id} has no rejected rows (it is {}).",
                task.state
            )));
        }
    };
    Ok(concluded(session, &args.output, &saved))
}

/// Reports where the rows were saved, unless they went to standard output.
fn concluded(session: &Session, output: &Path, saved: &Saved) -> ExitCode {
    if output != Path::new("-") {
        session.console.say(&saved.sentence());
    }
    ExitCode::SUCCESS
}

fn format(session: &Session, columns: &'static [&'static str]) -> Format {
    if session.console.is_json() { Format::Json } else { Format::Csv(columns) }
}

/// Copies all pages of the list at `path` to `target`.
async fn copy(
    session: &Session,
    path: &str,
    format: Format,
    target: &Target,
) -> Result<Saved, Failure> {
    let copied = async {
        // Before the target is opened: the task may not exist.
        let mut page = fetch(session, path, None).await?;
        let mut output = Output::open(target, format).await?;
        loop {
            output.write(&page.items).await?;
            let Some(token) = page.next_page_token else { return output.finish().await };
            page = fetch(session, path, Some(&token)).await?;
        }
    };
    or_interrupted(copied, || "Interrupted; not all rows were written.".to_owned()).await
}

async fn fetch(session: &Session, path: &str, token: Option<&str>) -> Result<Page, Failure> {
    let mut query = vec![("page_size", PAGE)];
    query.extend(token.map(|token| ("page_token", token)));
    let request = session.client.request(Method::GET, path).query(&query);
    Ok(session.client.json(request).await?)
}

/// Copies the CSV file at `path` to `target` as JSON.
async fn copy_csv(session: &Session, path: &str, target: &Target) -> Result<Saved, Failure> {
    let copied = async {
        let mut response = session.client.send(session.client.request(Method::GET, path)).await?;
        let cannot_read =
            |error: csv::Error| Failure::local(format!("The rows cannot be read: {error}."));
        let mut output = Output::open(target, Format::Json).await?;
        let mut rows = CsvRows::default();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|error| session.client.unreachable(&error))?;
            let Some(bytes) = chunk else { break };
            output.write(&rows.push(&bytes).map_err(cannot_read)?).await?;
        }
        output.write(&rows.finish().map_err(cannot_read)?).await?;
        output.finish().await
    };
    or_interrupted(copied, || "Interrupted; not all rows were written.".to_owned()).await
}

/// Parses CSV that arrives in chunks. Buffers only an incomplete record.
#[derive(Default)]
struct CsvRows {
    header: Option<StringRecord>,
    /// The data after the last complete record.
    rest: Vec<u8>,
}

impl CsvRows {
    /// The rows that `bytes` complete. A record that ends with them may continue, so it waits.
    fn push(&mut self, bytes: &[u8]) -> csv::Result<Vec<Map<String, Value>>> {
        self.rest.extend_from_slice(bytes);
        self.take(false)
    }

    /// The last row, if one waits.
    fn finish(mut self) -> csv::Result<Vec<Map<String, Value>>> {
        self.take(true)
    }

    fn take(&mut self, is_end: bool) -> csv::Result<Vec<Map<String, Value>>> {
        // An incomplete record may have fewer fields, and end inside a character.
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&*self.rest);
        let (mut record, mut rows, mut complete) = (ByteRecord::new(), Vec::new(), 0);
        while reader.read_byte_record(&mut record)? {
            let end = reader.position().byte() as usize;
            if end == self.rest.len() && !is_end {
                break;
            }
            complete = end;
            let record = StringRecord::from_byte_record_lossy(std::mem::take(&mut record));
            match &self.header {
                Some(header) => rows.push(record.deserialize(Some(header))?),
                None => self.header = Some(record),
            }
        }
        self.rest.drain(..complete);
        Ok(rows)
    }
}

/// The output of rows.
struct Output {
    sink: Sink,
    format: Format,
    size: u64,
    rows: u64,
}

impl Output {
    async fn open(target: &Target, format: Format) -> Result<Self, Failure> {
        let (sink, _) = Sink::open(target, String::new(), None).await?;
        let mut output = Self { sink, format, size: 0, rows: 0 };
        match format {
            Format::Json => output.append(b"{\"items\": [").await?,
            Format::Csv(columns) => output.append(&csv(|csv| csv.write_record(columns))?).await?,
        }
        Ok(output)
    }

    async fn write(&mut self, items: &[Map<String, Value>]) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        match self.format {
            Format::Json => {
                for item in items {
                    bytes.extend(if self.rows == 0 { &b"\n"[..] } else { b",\n" });
                    serde_json::to_writer(&mut bytes, item)
                        .map_err(|error| Failure::local(format!("Cannot write JSON: {error}.")))?;
                    self.rows += 1;
                }
            }
            Format::Csv(columns) => {
                bytes = csv(|csv| {
                    items.iter().try_for_each(|item| {
                        csv.write_record(columns.iter().map(|column| field(item.get(*column))))
                    })
                })?;
            }
        }
        self.append(&bytes).await
    }

    async fn append(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.size += bytes.len() as u64;
        self.sink.write(bytes).await
    }

    async fn finish(mut self) -> Result<Saved, Failure> {
        if let Format::Json = self.format {
            self.append(b"\n], \"next_page_token\": null}\n").await?;
        }
        self.sink.finish(self.size).await
    }
}

fn csv(write: impl FnOnce(&mut Writer<Vec<u8>>) -> csv::Result<()>) -> Result<Vec<u8>, Failure> {
    let mut csv = Writer::from_writer(Vec::new());
    let cannot =
        |error: &dyn std::fmt::Display| Failure::local(format!("Cannot write CSV: {error}."));
    write(&mut csv).map_err(|error| cannot(&error))?;
    csv.into_inner().map_err(|error| cannot(&error))
}

/// A JSON value as a field; empty if it is absent.
fn field(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = concat!(
        "line,column,field,value,reason\n",
        "2,3,Plays,\"a, \"\"b\"\"\nc\",\"no, number\"\r\n",
        "3,,,,two fields\n",
        "4,1,Song,é東,x\n",
    );

    fn rows(pieces: &[&[u8]]) -> Vec<Map<String, Value>> {
        let mut rows = CsvRows::default();
        let mut all: Vec<_> = pieces.iter().flat_map(|piece| rows.push(piece).unwrap()).collect();
        all.extend(rows.finish().unwrap());
        all
    }

    #[test]
    fn rows_are_the_same_wherever_the_file_is_cut() {
        let expected: Result<Vec<Map<String, Value>>, _> =
            csv::Reader::from_reader(FILE.as_bytes()).deserialize().collect();
        let expected = expected.unwrap();
        assert_eq!(expected.len(), 3);
        for file in [FILE, FILE.trim_end()] {
            let file = file.as_bytes();
            for first in 0..=file.len() {
                for second in first..=file.len() {
                    let pieces = [&file[..first], &file[first..second], &file[second..]];
                    assert_eq!(rows(&pieces), expected, "{first} {second}");
                }
            }
            assert_eq!(rows(&file.chunks(1).collect::<Vec<_>>()), expected);
        }
        assert!(rows(&[b"line,column\n"]).is_empty() && rows(&[]).is_empty());
    }

    #[test]
    fn at_most_one_record_is_buffered() {
        let mut rows = CsvRows::default();
        rows.push(b"line,value\n").unwrap();
        let (mut taken, mut line) = (0, 0);
        for _ in 0..1_000 {
            let lines = (0..100).map(|_| {
                line += 1;
                format!("{line},\"some\nvalue\"\n")
            });
            taken += rows.push(lines.collect::<String>().as_bytes()).unwrap().len();
            assert!(rows.rest.len() < 100 && rows.rest.capacity() < 10_000);
        }
        assert_eq!(taken + rows.finish().unwrap().len(), 100_000);
    }
}
