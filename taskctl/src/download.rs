//! `taskctl download`: fetches a result, and resumes after a broken connection, or what an earlier
//! download of the same result has left.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use clap::Args;
use common::client::{ApiClient, ClientError};
use common::task::TaskId;
use indicatif::{HumanBytes, HumanDuration};
use reqwest::header::{
    CONTENT_DISPOSITION, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, RANGE,
};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tokio::time::timeout;

use crate::console::Console;
use crate::failure::Failure;
use crate::file_name;
use crate::interrupt::or_interrupted;
use crate::patience::{GiveUp, Patience};
use crate::progress::TransferBar;
use crate::saving::{Saved, Sink, Target};
use crate::session::Session;
use crate::several::Several;
use crate::task_refs::Tasks;

/// A connection without a byte for this long is broken.
const STALL: Duration = Duration::from_secs(30);

/// The arguments of `taskctl download`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DownloadArgs {
    #[command(flatten)]
    tasks: Tasks,
    /// Where to save it: a file, a folder, or `-` for standard output; by default a file in the
    /// current folder, named by the server.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Fetch the rejected rows instead of the result.
    #[arg(long)]
    rejected: bool,
    /// Replace an existing file of that name.
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    give_up: GiveUp,
}

/// `taskctl download`.
pub(crate) async fn download(session: &Session, args: DownloadArgs) -> Result<ExitCode, Failure> {
    let target = match &args.output {
        Some(output) if output.is_dir() => {
            Target::ServersName { folder: output.clone(), replace: args.force }
        }
        Some(output) => Target::named(output)?,
        None => Target::ServersName { folder: PathBuf::new(), replace: args.force },
    };
    let console = console_for(session.console, &target)?;
    let part = if args.rejected { Part::Rejected } else { Part::Result };
    let ids = args.tasks.resolve(session).await?;
    if ids.len() > 1 && !target.takes_several() {
        return Err(Failure::usage(
            "Several results need a folder: name an existing one with --output FOLDER.",
        ));
    }
    let mut several = Several::new(console, ids.len());
    for id in ids {
        let fetched = fetch(session, id, part, &target, args.give_up).await;
        let Some(saved) = several.tried(&id.to_string(), fetched)? else { continue };
        console.say(&saved.sentence());
        let document = json!({"task_id": id, "output": saved.path, "size": saved.size});
        several.add(&document, ExitCode::SUCCESS);
    }
    Ok(several.finish())
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
    give_up: GiveUp,
) -> Result<Saved, Failure> {
    let download = Download { client: &session.client, id, part, target, kept: OnceLock::new() };
    or_interrupted(download.run(give_up), || match download.kept.get() {
        Some(path) => format!("The download was interrupted. {}", kept_sentence(path)),
        None => format!(
            "The download was interrupted. The result stays on the server: `{}`.",
            session.command("download", id)
        ),
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

struct Download<'a> {
    client: &'a ApiClient,
    id: TaskId,
    part: Part,
    target: &'a Target,
    /// The file with the bytes so far, if a later download can continue it.
    kept: OnceLock<PathBuf>,
}

impl Download<'_> {
    fn path(&self) -> String {
        match self.part {
            Part::Result => format!("/v1/data_processor/download/{}", self.id),
            Part::Rejected => format!("/v1/data_processor/rejected/{}", self.id),
        }
    }

    /// A name for the bytes of the result: the same later only if the bytes are the same.
    fn identity(&self, meta: &FileMeta) -> Option<String> {
        let etag = meta.etag.as_ref()?.to_str().ok()?;
        Some(format!("{} {etag}", self.path()))
    }

    async fn run(&self, give_up: GiveUp) -> Result<Saved, Failure> {
        let mut patience = Patience::new(give_up);
        let bar = TransferBar::prepare("Downloading");
        let done = self.transfer(&mut patience, &bar).await;
        bar.finish();
        done
    }

    async fn transfer(&self, patience: &mut Patience, bar: &TransferBar) -> Result<Saved, Failure> {
        let mut response = self.request(0, None, patience, bar).await?;
        let mut meta = FileMeta::of(&response);
        let name = suggested_name(response.headers(), self.id);
        let identity = self.identity(&meta);
        let (mut sink, kept) = Sink::open(self.target, name, identity.as_deref()).await?;
        if kept > 0 {
            self.note_kept(&sink);
        }
        bar.start_at(kept, meta.size);

        let mut received = 0;
        let mut furthest = 0;
        if kept > 0 {
            if meta.size == Some(kept) {
                return sink.finish(kept).await;
            }
            (received, furthest) = (kept, kept);
            response = self.request(received, meta.etag.as_ref(), patience, bar).await?;
        }
        loop {
            if received > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                sink.restart().await?;
                received = 0;
                meta = FileMeta::of(&response);
                bar.start_at(0, meta.size);
            }
            let reason = loop {
                match timeout(STALL, response.chunk()).await {
                    Ok(Ok(Some(bytes))) => {
                        sink.write(&bytes).await?;
                        received += bytes.len() as u64;
                        bar.at(received);
                        self.note_kept(&sink);
                    }
                    Ok(Ok(None)) => return sink.finish(received).await,
                    Ok(Err(error)) => break self.client.unreachable(&error),
                    Err(_) => break self.client.stalled(STALL),
                }
            };
            // Only bytes beyond the furthest one so far count as progress: a server that starts
            // over and always breaks at the same position is not retried for ever.
            if received > furthest {
                furthest = received;
                patience.progressed();
            }
            self.pause(reason, patience, bar).await?;
            response = self.request(received, meta.etag.as_ref(), patience, bar).await?;
        }
    }

    /// Notes that a later download can continue the bytes so far, if so.
    fn note_kept(&self, sink: &Sink) {
        if self.kept.get().is_none()
            && let Some(path) = sink.continuable()
        {
            self.kept.get_or_init(|| path.to_owned());
        }
    }

    /// Requests the bytes after `received`, until the server answers: with the rest if it is still
    /// that of `etag`, else with the whole file.
    async fn request(
        &self,
        received: u64,
        etag: Option<&HeaderValue>,
        patience: &mut Patience,
        bar: &TransferBar,
    ) -> Result<Response, Failure> {
        loop {
            let mut request = self.client.request(Method::GET, &self.path());
            if let Some(etag) = etag.filter(|_| received > 0) {
                request = request.header(RANGE, format!("bytes={received}-"));
                request = request.header(IF_RANGE, etag);
            }
            let answer = timeout(STALL, self.client.send(request)).await;
            match answer.unwrap_or_else(|_| Err(self.client.stalled(STALL))) {
                Ok(response)
                    if response.status() == StatusCode::PARTIAL_CONTENT
                        && !starts_at(response.headers(), received) =>
                {
                    return Err(Failure::local(
                        "The server sent another part of the result than requested.",
                    ));
                }
                Ok(response) => return Ok(response),
                Err(error) if error.is_transient() => self.pause(error, patience, bar).await?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn pause(
        &self,
        error: ClientError,
        patience: &mut Patience,
        bar: &TransferBar,
    ) -> Result<(), Failure> {
        let given_up = match patience.pause(error, bar).await {
            Ok(()) => return Ok(()),
            Err(given_up) => given_up,
        };
        let failure = match (given_up.error, bar.position()) {
            (ClientError::Unreachable { reason, .. }, received @ 1..) => Failure::lost(format!(
                "The connection broke after {}, and there was no progress for {}: {reason}.",
                HumanBytes(received),
                HumanDuration(given_up.after),
            )),
            (error, _) => error.into(),
        };
        Err(match self.kept.get() {
            Some(path) => failure.with_advice(&kept_sentence(path)),
            None => failure,
        })
    }
}

/// A sentence on how to continue.
fn kept_sentence(path: &Path) -> String {
    format!("The same command continues it; what has arrived is in {}.", path.display())
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
