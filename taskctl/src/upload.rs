//! `taskctl upload`: uploads a file, and optionally waits for the result and fetches it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use common::client::{ClientError, IDEMPOTENCY_KEY};
use common::task::{AcceptedTask, TaskKind, TaskState};
use futures_util::stream;
use indicatif::{HumanBytes, HumanCount};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::console::note;
use crate::download::{self, console_for};
use crate::failure::Failure;
use crate::interrupt::or_interrupted;
use crate::parameter::parameter;
use crate::patience::GiveUp;
use crate::progress::TransferBar;
use crate::repeats::Repeats;
use crate::saving::Target;
use crate::session::Session;
use crate::{outcome, view, wait};

/// How much of the file is read at a time.
const CHUNK: usize = 256 * 1024;
/// A server may refuse a file by its start and close the connection: a client that is still sending
/// loses the answer. So the next attempt pauses after this much, to give the server time to answer.
const BEGINNING: usize = 16 * 1024;
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The arguments of `taskctl upload`.
#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The file to upload.
    file: PathBuf,
    /// The kind of task.
    #[arg(long, default_value_t = TaskKind::CsvAggregation)]
    kind: TaskKind,
    /// A parameter of the task, for example `on_bad_row=skip`; may be repeated.
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    params: Vec<(String, String)>,
    /// Wait until the task has ended.
    #[arg(long)]
    wait: bool,
    /// Wait, and save the result here, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    give_up: GiveUp,
}

/// `taskctl upload`.
pub(crate) async fn upload(session: &Session, args: UploadArgs) -> Result<ExitCode, Failure> {
    if args.kind == TaskKind::DataUpload && args.output.is_some() {
        return Err(Failure::usage(
            "A data_upload has no result file. Wait for it with --wait, and fetch the rows that it \
             loaded with `taskctl rows ID --output FILE`.",
        ));
    }
    if let Some(instead) = args.kind.created_by() {
        let text = format!("{} takes no file; such tasks are created by {instead}.", args.kind);
        return Err(Failure::usage(text));
    }
    let target = args.output.as_deref().map(Target::named).transpose()?;
    let console = match &target {
        Some(target) => console_for(session.console, target)?,
        None => session.console,
    };
    let input = Input::open(&args.file).await?;
    let sending = Arc::new(Sending::default());
    let mut accepted = or_interrupted(send(session, &args, input, &sending), || {
        format!("The upload was interrupted. {}", sending.fate())
    })
    .await?;
    let id = accepted.task.task_id;

    if !args.wait && target.is_none() {
        console.answer(&accepted, || {
            format!(
                "{}\nSee its state with `{}`.",
                announcement(&accepted),
                session.command("status", id)
            )
        });
        return Ok(ExitCode::SUCCESS);
    }

    if !console.is_json() {
        note(&announcement(&accepted));
    }
    accepted.task = wait::until_ended_or_interrupted(session, id, wait::PATIENCE).await?;
    let saved = match &target {
        Some(target) if accepted.task.state == TaskState::Processed => {
            Some(download::fetch(session, id, download::Part::Result, target, args.give_up).await?)
        }
        _ => None,
    };
    if console.is_json() {
        console.document(&accepted);
    }
    Ok(outcome::conclude(console, session, &accepted.task, saved.as_ref()))
}

fn announcement(accepted: &AcceptedTask) -> String {
    let id = accepted.task.task_id;
    let again = "The same file was uploaded before";
    match (accepted.resumed, accepted.resumed_from_row) {
        (false, _) => format!("Accepted as task {id}."),
        (true, None) => format!("{again}: task {id} is resumed."),
        (true, Some(row)) => format!("{again}: task {id} is resumed at row {}.", HumanCount(row)),
    }
}

/// The file to upload.
struct Input {
    file: File,
    name: String,
    size: u64,
}

impl Input {
    async fn open(path: &Path) -> Result<Self, Failure> {
        let unusable =
            |reason: String| Failure::usage(format!("Cannot upload {}: {reason}.", path.display()));
        let file = File::open(path).await.map_err(|error| unusable(error.to_string()))?;
        let found = file.metadata().await.map_err(|error| unusable(error.to_string()))?;
        if !found.is_file() {
            return Err(unusable("it is not a regular file".to_owned()));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        // The name is sent in a header of the form's part.
        let name = name.unwrap_or_default().replace(|c: char| c.is_control(), "_");
        Ok(Self { file, name, size: found.len() })
    }
}

/// The state of sending, shared with the request.
#[derive(Debug, Default)]
struct Sending {
    /// How many bytes of the file this attempt has sent.
    bytes: AtomicU64,
    /// Why the file could not be read completely.
    trouble: OnceLock<String>,
    /// Whether an attempt sent the whole file, so that the server may have accepted it.
    is_whole: AtomicBool,
}

/// Sends the file until the server answers, always with the same key.
async fn send(
    session: &Session,
    args: &UploadArgs,
    input: Input,
    sending: &Arc<Sending>,
) -> Result<AcceptedTask, Failure> {
    let Input { file, name, size } = input;
    let mut repeats = Repeats::new();
    let mut first = Some(file);
    loop {
        let (file, is_repeat) = match first.take() {
            Some(file) => (file, false),
            None => (Input::open(&args.file).await?.file, true),
        };
        let bar =
            TransferBar::start(&format!("Uploading {}", view::printable_line(&name)), Some(size));
        sending.bytes.store(0, Ordering::Relaxed);
        let body = contents(file, size, is_repeat, bar.clone(), Arc::clone(sending));
        let request = request(session, args, &name, body, size);
        let request = request.header(IDEMPOTENCY_KEY, repeats.key());
        let answer = session.client.json::<AcceptedTask>(request).await;
        bar.finish();
        match answer {
            Ok(accepted) => return Ok(accepted),
            Err(error) => {
                if let Some(trouble) = sending.trouble.get() {
                    let path = args.file.display();
                    return Err(Failure::local(format!("Cannot upload {path}: {trouble}.")));
                }
                if !repeats.again(&error).await {
                    return Err(given_up(error, size, sending));
                }
            }
        }
    }
}

fn given_up(error: ClientError, size: u64, sending: &Sending) -> Failure {
    let sent = sending.bytes.load(Ordering::Relaxed);
    let may_be_accepted = sending.is_whole.load(Ordering::Relaxed);
    match error {
        ClientError::Unreachable { server, reason, .. } if may_be_accepted => Failure::lost(
            format!("The connection to {server} broke: {reason}.\n{}", sending.fate()),
        ),
        ClientError::Unreachable { server, reason, connected: true } => Failure::lost(format!(
            "The connection to {server} broke after {} of {} were sent: {reason}.\n{}",
            HumanBytes(sent),
            HumanBytes(size),
            sending.fate()
        )),
        error => error.into(),
    }
}

impl Sending {
    /// A sentence on the possible outcome of an upload without an answer.
    fn fate(&self) -> &'static str {
        if self.is_whole.load(Ordering::Relaxed) {
            "The whole file was sent, so it may have been accepted: see `taskctl list`."
        } else {
            "Nothing of it is kept; upload it again."
        }
    }
}

/// The request: parameters first, since the server refuses them after the file.
fn request(
    session: &Session,
    args: &UploadArgs,
    name: &str,
    body: Body,
    size: u64,
) -> reqwest::RequestBuilder {
    let path = match args.kind {
        TaskKind::CsvAggregation => "/v1/data_processor/upload",
        TaskKind::FileStatistics => "/v1/file_statistics",
        TaskKind::DataUpload => "/v1/data_uploads",
        TaskKind::CsvPreview => "/v1/csv_previews",
        TaskKind::MessageValidation => "/v1/messages",
        TaskKind::UserEvent => "/v1/user_events",
        TaskKind::ReportEmail => "/v1/schedules",
    };
    // Unescaped names in UTF-8, as browsers send them.
    let mut form = Form::new().percent_encode_noop();
    for (name, value) in &args.params {
        form = form.text(name.clone(), value.clone());
    }
    let file = Part::stream_with_length(body, size).file_name(name.to_owned());
    session.client.request(Method::POST, path).multipart(form.part("file", file))
}

/// The bytes of the file, read while they are sent: exactly as many as announced. A retry pauses
/// after the start.
fn contents(
    file: File,
    size: u64,
    is_repeat: bool,
    bar: TransferBar,
    sending: Arc<Sending>,
) -> Body {
    let start = (file, 0, is_repeat.then_some(ANSWER_TIME));
    Body::wrap_stream(stream::try_unfold(start, move |(mut file, position, mut pause)| {
        let bar = bar.clone();
        let sending = Arc::clone(&sending);
        async move {
            let missing = size - position;
            if missing == 0 {
                sending.is_whole.store(true, Ordering::Relaxed);
                return Ok(None);
            }
            if position > 0
                && let Some(pause) = pause.take()
            {
                sleep(pause).await;
            }
            let mut chunk = Vec::with_capacity(pause.map_or(CHUNK, |_| BEGINNING));
            let read = match file.read_buf(&mut chunk).await {
                Ok(0) => Err(io::Error::other("it became shorter while it was read")),
                read => read,
            };
            if let Err(error) = read {
                sending.trouble.get_or_init(|| error.to_string());
                return Err(error);
            }
            // Data appended to the file since the start is not sent.
            chunk.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
            let position = position + chunk.len() as u64;
            bar.at(position);
            sending.bytes.store(position, Ordering::Relaxed);
            if position == size {
                // A body with an announced length is not polled for its end.
                sending.is_whole.store(true, Ordering::Relaxed);
            }
            Ok(Some((chunk, (file, position, pause))))
        }
    }))
}
