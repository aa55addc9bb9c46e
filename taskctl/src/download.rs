//! `taskctl download`: fetches a result, and resumes after a broken connection.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use common::client::{ApiClient, ClientError};
use common::task::TaskId;
use reqwest::header::{
    CONTENT_DISPOSITION, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE,
};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use crate::console::Console;
use crate::failure::Failure;
use crate::file_name;
use crate::interrupt::or_interrupted;
use crate::progress::TransferBar;
use crate::saving::{Saved, Sink, Target};
use crate::session::Session;

/// How many times in a row a connection may break without a new byte.
const MAX_BREAKS: u32 = 5;
/// The wait after the first break; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The arguments of `taskctl download`.
#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    /// The task whose result to fetch.
    id: TaskId,
    /// Where to save it, `-` for standard output; by default a file in the current folder, named by
    /// the server.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fetch the rejected rows instead of the result.
    #[arg(long)]
    rejected: bool,
    /// Replace an existing file of that name.
    #[arg(long)]
    force: bool,
}

/// `taskctl download`.
pub(crate) async fn download(session: &Session, args: DownloadArgs) -> Result<ExitCode, Failure> {
    let target = match &args.output {
        Some(output) => Target::named(output)?,
        None => Target::ServersName { replace: args.force },
    };
    let console = console_for(session.console, &target)?;
    let part = if args.rejected { Part::Rejected } else { Part::Result };
    let saved = fetch(session, args.id, part, &target).await?;
    if console.is_json() {
        console.document(&json!({ "output": saved.path, "size": saved.size }));
    }
    console.say(&saved.sentence());
    Ok(ExitCode::SUCCESS)
}

/// The console beside a download to `target`.
///
/// # Errors
/// Both the result and JSON would go to standard output.
pub(crate) fn console_for(console: Console, target: &Target) -> Result<Console, Failure> {
    match (target.is_stdout(), console.is_json()) {
        (false, _) => Ok(console),
        (true, false) => Ok(console.with_stdout_reserved()),
        (true, true) => Err(Failure::usage(
            "Standard output takes either the JSON of --json or the result of --output -, not \
             both.",
        )),
    }
}

/// A file of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The result.
    Result,
    /// The rejected rows.
    Rejected,
}

/// Fetches a file of a task to `target`.
///
/// # Errors
/// The server refuses or is down for too long, the target cannot be written, or Ctrl-C was
/// pressed.
pub(crate) async fn fetch(
    session: &Session,
    id: TaskId,
    part: Part,
    target: &Target,
) -> Result<Saved, Failure> {
    let path = match part {
        Part::Result => format!("/v1/data_processor/download/{id}"),
        Part::Rejected => format!("/v1/data_processor/rejected/{id}"),
    };
    or_interrupted(transfer(&session.client, &path, id, target), || {
        format!(
            "The download was interrupted. The result stays on the server: `{}`.",
            session.command("download", id)
        )
    })
    .await
}

/// The properties of the whole file, from a response.
struct FileMeta {
    size: Option<u64>,
    etag: Option<HeaderValue>,
}

impl FileMeta {
    fn of(response: &Response) -> Self {
        let etag = response.headers().get(ETAG);
        // A weak tag does not guarantee the same bytes (RFC 9110).
        let strong = etag.filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        Self { size: response.content_length(), etag: strong.cloned() }
    }
}

async fn transfer(
    client: &ApiClient,
    path: &str,
    id: TaskId,
    target: &Target,
) -> Result<Saved, Failure> {
    let mut response = client.send(client.request(Method::GET, path)).await?;
    let mut meta = FileMeta::of(&response);
    let name = suggested_name(response.headers(), id);
    let mut sink = Sink::open(target, name).await?;
    let bar = TransferBar::start("Downloading", meta.size);

    let mut received = 0;
    let mut furthest = 0;
    let mut breaks = 0;
    loop {
        let reason = loop {
            match response.chunk().await {
                Ok(Some(bytes)) => {
                    sink.write(&bytes).await?;
                    received += bytes.len() as u64;
                    bar.at(received);
                }
                Ok(None) => {
                    bar.finish();
                    return sink.finish(received).await;
                }
                Err(error) => break client.unreachable(&error),
            }
        };
        // Only bytes beyond the furthest one so far count as progress: a server that starts over
        // and always breaks at the same position is not retried for ever.
        if received > furthest {
            furthest = received;
            breaks = 0;
        }
        response = reconnect(client, path, received, &meta, &mut breaks, reason).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT {
            if received > 0 {
                sink.restart().await?;
                received = 0;
            }
            meta = FileMeta::of(&response);
        }
    }
}

/// Requests the rest after `received` bytes, until the server answers.
async fn reconnect(
    client: &ApiClient,
    path: &str,
    received: u64,
    meta: &FileMeta,
    breaks: &mut u32,
    mut reason: ClientError,
) -> Result<Response, Failure> {
    loop {
        if *breaks >= MAX_BREAKS {
            return Err(Failure::lost(format!(
                "The connection broke after {received} bytes and again on each of {MAX_BREAKS} \
                 more attempts: {reason}."
            )));
        }
        tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(*breaks)).await;
        *breaks += 1;
        let mut request = client.request(Method::GET, path);
        if let Some(etag) = meta.etag.clone().filter(|_| received > 0) {
            request = request.header(RANGE, format!("bytes={received}-")).header(IF_RANGE, etag);
        }
        match client.send(request).await {
            Ok(response) if response.status() == StatusCode::PARTIAL_CONTENT => {
                return if starts_at(response.headers(), received) {
                    Ok(response)
                } else {
                    Err(Failure::local(
                        "The server sent another part of the result than requested.",
                    ))
                };
            }
            Ok(response) => return Ok(response),
            Err(error) if error.is_transient() => reason = error,
            Err(error) => return Err(error.into()),
        }
    }
}

fn starts_at(headers: &HeaderMap, position: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {position}-")))
}

fn suggested_name(headers: &HeaderMap, id: TaskId) -> String {
    headers
        .get(CONTENT_DISPOSITION)
        .and_then(|header| file_name::from_content_disposition(header.as_bytes()))
        .unwrap_or_else(|| format!("result-{id}"))
}
