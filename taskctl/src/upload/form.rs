//! Uploads a small file by one request: a form with the parameters and the file.
//!
//! A file that fits into one request needs no other: it costs one round trip instead of several,
//! and after a broken connection it is sent again faster than a server is asked how much has
//! arrived.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::client::{ClientError, IDEMPOTENCY_KEY};
use common::task::{AcceptedTask, TaskKind};
use futures_util::stream;
use indicatif::{HumanBytes, HumanDuration};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio::time::sleep;
use uuid::Uuid;

use super::input::Input;
use super::{CHUNK, Plan, label};
use crate::failure::Failure;
use crate::patience::{GivenUp, Patience};
use crate::progress::TransferBar;
use crate::session::Session;

/// A server may refuse a file by its start and close the connection: a client that is still sending
/// loses the answer. So the next attempt pauses after this much, to give the server time to answer.
const BEGINNING: usize = 16 * 1024;
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// The state of sending, shared with the request.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// How many bytes of the file this attempt has sent.
    bytes: AtomicU64,
    /// Why the file could not be read completely.
    trouble: OnceLock<String>,
    /// Whether an attempt sent the whole file, so that the server may have accepted it.
    is_whole: AtomicBool,
}

/// Sends the file until the server answers, always with the same key, so that it takes effect once.
///
/// # Errors
/// The server refuses or does not answer for too long, or the file cannot be read.
pub(super) async fn send(
    session: &Session,
    args: &Plan,
    input: &Input,
    sending: &Arc<Sending>,
) -> Result<AcceptedTask, Failure> {
    let key = Uuid::new_v4().to_string();
    let mut patience = Patience::new(args.give_up);
    let mut is_repeat = false;
    let bar = TransferBar::prepare(&label(input));
    loop {
        bar.start_at(0, Some(input.size()));
        sending.bytes.store(0, Ordering::Relaxed);
        let body = contents(input.clone(), is_repeat, bar.clone(), Arc::clone(sending));
        let request = request(session, args, input, body).header(IDEMPOTENCY_KEY, &key);
        let answer = session.client.json::<AcceptedTask>(request).await;
        let error = match answer {
            Ok(accepted) => {
                bar.finish();
                return Ok(accepted);
            }
            Err(error) => error,
        };
        if let Some(trouble) = sending.trouble.get() {
            return Err(input.failure(trouble));
        }
        if !error.is_transient() && !error.is_in_progress() {
            return Err(error.into());
        }
        if let Err(given_up) = patience.pause(error, &bar).await {
            return Err(failure(given_up, input.size(), sending));
        }
        is_repeat = true;
    }
}

fn failure(given_up: GivenUp, size: u64, sending: &Sending) -> Failure {
    let GivenUp { error, after } = given_up;
    let sent = sending.bytes.load(Ordering::Relaxed);
    let may_be_accepted = sending.is_whole.load(Ordering::Relaxed);
    let ClientError::Unreachable { server, reason, connected } = error else {
        return error.into();
    };
    if !connected && !may_be_accepted {
        return ClientError::Unreachable { server, reason, connected }.into();
    }
    Failure::lost(format!(
        "The connection to {server} broke after {} of {}, and there was no progress for {}: \
         {reason}.\n{}",
        HumanBytes(sent),
        HumanBytes(size),
        HumanDuration(after),
        sending.fate()
    ))
}

impl Sending {
    /// A sentence on the possible outcome of an upload without an answer.
    pub(super) fn fate(&self) -> &'static str {
        if self.is_whole.load(Ordering::Relaxed) {
            "The whole file was sent, so it may have been accepted: see `taskctl list`."
        } else {
            "Nothing of it is kept; upload it again."
        }
    }
}

/// The request: parameters first, since the server refuses them after the file.
fn request(session: &Session, args: &Plan, input: &Input, body: Body) -> reqwest::RequestBuilder {
    let path = match args.kind {
        TaskKind::CsvAggregation => "/v1/data_processor/upload",
        TaskKind::FileStatistics => "/v1/file_statistics",
        TaskKind::DataUpload => "/v1/data_uploads",
        TaskKind::CsvPreview => "/v1/csv_previews",
        TaskKind::MessageValidation => "/v1/messages",
        TaskKind::UserEvent => "/v1/user_events",
        TaskKind::ReportEmail => "/v1/schedules",
        TaskKind::BulkAction => "/v1/tasks/actions",
    };
    // Unescaped names in UTF-8, as browsers send them.
    let mut form = Form::new().percent_encode_noop();
    for (name, value) in &args.params {
        form = form.text(name.clone(), value.clone());
    }
    let file = Part::stream_with_length(body, input.size()).file_name(input.name.clone());
    session.client.request(Method::POST, path).multipart(form.part("file", file))
}

/// The bytes of the file, read while they are sent: exactly as many as announced. A retry pauses
/// after the start.
fn contents(input: Input, is_repeat: bool, bar: TransferBar, sending: Arc<Sending>) -> Body {
    let start = (0, is_repeat.then_some(ANSWER_TIME));
    Body::wrap_stream(stream::try_unfold(start, move |(position, mut pause)| {
        let (input, bar, sending) = (input.clone(), bar.clone(), Arc::clone(&sending));
        async move {
            // Data appended to the file since the start is not sent.
            let missing = input.size() - position;
            if missing == 0 {
                sending.is_whole.store(true, Ordering::Relaxed);
                return Ok(None);
            }
            if position > 0
                && let Some(pause) = pause.take()
            {
                sleep(pause).await;
            }
            let most = pause.map_or(CHUNK, |_| BEGINNING);
            let length = usize::try_from(missing).map_or(most, |missing| missing.min(most));
            let chunk = input.read(position, length).await.map_err(|trouble| {
                io::Error::other(sending.trouble.get_or_init(|| trouble).clone())
            })?;
            let position = position + chunk.len() as u64;
            bar.at(position);
            sending.bytes.store(position, Ordering::Relaxed);
            if position == input.size() {
                // A body with an announced length is not polled for its end.
                sending.is_whole.store(true, Ordering::Relaxed);
            }
            Ok::<_, io::Error>(Some((chunk, (position, pause))))
        }
    }))
}
