//! Uploads a file by requests that continue each other, whatever interrupts them: a broken
//! connection, a restart of the server, or the end of this program.
//!
//! # Invariants
//! - The server alone knows how much has arrived: after every failure it is asked.
//! - Only bytes that the server has stored are progress.
//! - Memory is bounded by a chunk for each part that is sent in parallel.
//!
//! # Not here
//! The requests ([`tus`](super::tus)), and what is remembered ([`record`](super::record)).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::client::ClientError;
use common::task::{AcceptedTask, TaskId, TaskState, TaskView};
use futures_util::future::try_join_all;
use futures_util::stream;
use reqwest::Body;
use tokio::time::sleep;

use super::input::Input;
use super::progress::Progress;
use super::record::{PartRecord, Record};
use super::remembered::Remembered;
use super::tus::{self, Outcome, Purpose, Role, Stored, Tus};
use super::{CHUNK, Plan};
use crate::failure::Failure;
use crate::patience::{GivenUp, Patience};
use crate::session::{Session, task_path};

/// A request that sends no byte for this long is given up.
const STALL: Duration = Duration::from_secs(30);
/// How long the server may take to answer after the last byte: it stores the file until then.
const ANSWER: Duration = Duration::from_secs(300);
/// A file of the wrong type is refused by its beginning. That is sent by a request of its own,
/// since a client that is still sending may lose the answer.
const BEGINNING: u64 = 64 * 1024;
/// How often the outcome is asked for.
const POLL: Duration = Duration::from_millis(300);

/// Why an upload ended without a task.
enum Stop {
    /// The server no longer has it.
    Gone(ClientError),
    /// Something else, which is final.
    Failed(Failure),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        match tus::is_gone(&error) {
            true => Self::Gone(error),
            false => Self::Failed(error.into()),
        }
    }
}

/// Uploads the file, or continues an earlier upload of it.
///
/// # Errors
/// The server refuses or does not answer for too long, or the file cannot be read.
pub(super) async fn send(
    session: &Session,
    args: &Plan,
    input: &Input,
    progress: &Progress,
) -> Result<AcceptedTask, Failure> {
    let tus = Tus { client: &session.client };
    let (mut remembered, outdated) = Remembered::open(session, args, input, progress.clone());
    for upload in outdated {
        tus.terminate(upload).await;
    }
    loop {
        progress.remember(remembered.is_continuable());
        let upload = Upload { session, tus, args, input, progress, trouble: Arc::default() };
        match upload.run(&mut remembered).await {
            Ok(accepted) => {
                remembered.forget();
                return Ok(accepted);
            }
            Err(Stop::Gone(_)) if remembered.is_continued() => remembered.begin_again(input),
            Err(Stop::Gone(error)) => {
                let failure = upload.gone(&remembered.record, error).await;
                remembered.forget();
                return Err(failure);
            }
            Err(Stop::Failed(failure)) => {
                if remembered.is_useless(&failure) {
                    for id in remembered.record.uploads() {
                        tus.terminate(id).await;
                    }
                    remembered.forget();
                    return Err(failure);
                }
                return Err(match failure.is_of_server() {
                    true => failure.with_advice(&progress.advice()),
                    false => failure,
                });
            }
        }
    }
}

/// A part of the file whose upload exists.
#[derive(Debug, Clone, Copy)]
struct Part {
    number: usize,
    upload: TaskId,
    /// Where it begins in the file.
    from: u64,
    length: u64,
}

/// An upload of one file.
struct Upload<'a> {
    session: &'a Session,
    tus: Tus<'a>,
    args: &'a Plan,
    input: &'a Input,
    progress: &'a Progress,
    /// Why the file could not be read.
    trouble: Arc<OnceLock<String>>,
}

impl Upload<'_> {
    async fn run(&self, remembered: &mut Remembered) -> Result<AcceptedTask, Stop> {
        let mut patience = self.patience(remembered);
        if !remembered.record.is_joining {
            self.create(remembered, &mut patience).await?;
            self.fill(remembered).await?;
        }
        let upload = match &remembered.record.parts[..] {
            [PartRecord { upload: Some(upload), .. }] => *upload,
            _ => self.join(remembered, &mut patience).await?,
        };
        self.accepted(upload, &mut patience).await
    }

    /// Creates the uploads of the parts that have none.
    async fn create(
        &self,
        remembered: &mut Remembered,
        patience: &mut Patience,
    ) -> Result<(), Stop> {
        let is_whole = remembered.record.parts.len() == 1;
        for number in 0..remembered.record.parts.len() {
            let Some(part) = remembered.record.parts.get(number) else { continue };
            if part.upload.is_some() {
                continue;
            }
            let (role, key) = match is_whole {
                true => (Role::Whole(part.length), remembered.record.key.to_string()),
                false => {
                    (Role::Partial(part.length), format!("{}-{number}", remembered.record.key))
                }
            };
            let created = loop {
                match self.tus.create(role, self.purpose(), &key).await {
                    Ok(created) => break created,
                    Err(error) => self.pause(error, patience).await?,
                }
            };
            patience.progressed();
            remembered.created(number, created);
        }
        Ok(())
    }

    fn purpose(&self) -> Purpose<'_> {
        let Plan { kind, params, .. } = self.args;
        Purpose { kind: *kind, file_name: &self.input.name, params }
    }

    /// A server that has the upload has answered before.
    fn patience(&self, remembered: &Remembered) -> Patience {
        match remembered.is_continued() {
            true => Patience::continued(self.args.give_up),
            false => Patience::new(self.args.give_up),
        }
    }

    /// Sends all parts.
    async fn fill(&self, remembered: &mut Remembered) -> Result<(), Stop> {
        let parts = remembered.record.parts.iter().enumerate();
        let parts = parts.filter_map(|(number, &PartRecord { upload, from, length })| {
            Some(Part { number, upload: upload?, from, length })
        });
        let parts: Vec<Part> = parts.collect();
        let stored = parts.iter().map(async |part| {
            let mut patience = self.patience(remembered);
            self.stored(part.upload, &mut patience).await
        });
        let stored = try_join_all(stored).await?;
        remembered.found();
        remembered.renew(stored.iter().filter_map(|stored| stored.expires_at).min());
        self.progress.start(&stored.iter().map(|stored| stored.offset).collect::<Vec<_>>());
        let filling = parts.into_iter().zip(stored);
        try_join_all(filling.map(|(part, stored)| self.fill_part(part, stored))).await?;
        Ok(())
    }

    /// Asks how much of an upload is stored.
    async fn stored(&self, upload: TaskId, patience: &mut Patience) -> Result<Stored, Stop> {
        loop {
            match self.tus.state(upload).await {
                Ok(stored) => {
                    self.progress.kept_until(stored.expires_at);
                    return Ok(stored);
                }
                Err(error) => self.pause(error, patience).await?,
            }
        }
    }

    /// Sends a part from where the server has it, until it is complete.
    async fn fill_part(&self, part: Part, mut stored: Stored) -> Result<(), Stop> {
        let mut patience = Patience::continued(self.args.give_up);
        let mut furthest = stored.offset;
        loop {
            if stored.offset > furthest {
                furthest = stored.offset;
                patience.progressed();
            }
            self.progress.at(part.number, stored.offset);
            if stored.offset >= part.length {
                return Ok(());
            }
            let failed = match self.append(part, stored.offset).await {
                Ok(appended) => {
                    stored = appended;
                    continue;
                }
                Err(error) => error,
            };
            if let Some(trouble) = self.trouble.get() {
                return Err(Stop::Failed(self.input.failure(trouble)));
            }
            self.pause(failed, &mut patience).await?;
            stored = self.stored(part.upload, &mut patience).await?;
        }
    }

    /// Sends the rest of a part from `offset`, or its beginning.
    async fn append(&self, part: Part, offset: u64) -> Result<Stored, ClientError> {
        let position = part.from + offset;
        let mut length = part.length - offset;
        if position == 0 {
            length = length.min(BEGINNING);
        }
        let end = offset + length;
        let sent = Arc::new(AtomicU64::new(offset));
        let body = self.body(part, end, Arc::clone(&sent));
        tokio::select! {
            stored = self.tus.append(part.upload, offset, length, body) => stored,
            after = stalled(&sent, end) => Err(self.session.client.stalled(after)),
        }
    }

    /// The bytes of a part from `sent` to `end`, read while they are sent.
    fn body(&self, part: Part, end: u64, sent: Arc<AtomicU64>) -> Body {
        let input = self.input.clone();
        let progress = self.progress.clone();
        let trouble = Arc::clone(&self.trouble);
        let start = sent.load(Ordering::Relaxed);
        Body::wrap_stream(stream::try_unfold(start, move |offset| {
            let (input, progress) = (input.clone(), progress.clone());
            let (sent, trouble) = (Arc::clone(&sent), Arc::clone(&trouble));
            async move {
                progress.at(part.number, offset);
                sent.store(offset, Ordering::Relaxed);
                if offset == end {
                    return Ok(None);
                }
                let length = usize::try_from(end - offset).map_or(CHUNK, |left| left.min(CHUNK));
                let chunk = input
                    .read(part.from + offset, length)
                    .await
                    .map_err(|reason| io::Error::other(trouble.get_or_init(|| reason).clone()))?;
                let next = offset + chunk.len() as u64;
                if next == end {
                    // A body with an announced length is not polled for its end.
                    progress.at(part.number, next);
                    sent.store(next, Ordering::Relaxed);
                }
                Ok::<_, io::Error>(Some((chunk, next)))
            }
        }))
    }

    /// Makes one upload of the complete parts.
    async fn join(
        &self,
        remembered: &mut Remembered,
        patience: &mut Patience,
    ) -> Result<TaskId, Stop> {
        remembered.joining();
        self.progress.rename("Joining the parts");
        let parts: Vec<TaskId> = remembered.record.uploads().collect();
        let key = remembered.record.key.to_string();
        loop {
            match self.tus.create(Role::Final(&parts), self.purpose(), &key).await {
                Ok(created) => return Ok(created.id),
                // An earlier command may have joined them, and the server may have forgotten it.
                Err(error) if remembered.is_continued() && !tus::is_transient(&error) => {
                    return Err(Stop::Gone(error));
                }
                Err(error) => self.pause(error, patience).await?,
            }
        }
    }

    /// The task of a complete upload.
    async fn accepted(
        &self,
        upload: TaskId,
        patience: &mut Patience,
    ) -> Result<AcceptedTask, Stop> {
        let outcome = loop {
            match self.tus.outcome(upload).await {
                Ok(outcome) if outcome.is_complete => break outcome,
                Ok(_) => {
                    patience.progressed();
                    sleep(POLL).await;
                }
                Err(error) => self.pause(error, patience).await?,
            }
        };
        let Outcome { task_id, resumed, resumed_from_row, .. } = outcome;
        let Some(id) = task_id else {
            return Err(Stop::Failed(Failure::local("The server made no task of the upload.")));
        };
        loop {
            match self.session.client.get(&task_path(id)).await {
                Ok(task) => return Ok(AcceptedTask { task, resumed, resumed_from_row }),
                Err(error) if error.is_transient() => self.pause(error, patience).await?,
                Err(error) => return Err(Stop::Failed(error.into())),
            }
        }
    }

    /// Waits after a failure, if the next attempt may succeed.
    async fn pause(&self, error: ClientError, patience: &mut Patience) -> Result<(), Stop> {
        if !tus::is_transient(&error) {
            return Err(error.into());
        }
        let given_up = self.progress.pause(error, patience).await;
        given_up.map_err(|given_up: GivenUp| Stop::Failed(self.progress.failure(given_up)))
    }

    /// The failure of an upload that the server lost while it was sent: its task was stopped, or it
    /// expired.
    async fn gone(&self, record: &Record, error: ClientError) -> Failure {
        let mut uploads = record.uploads();
        // An upload and its task have the same id.
        if let (Some(id), None) = (uploads.next(), uploads.next()) {
            let task = self.session.client.get::<TaskView>(&task_path(id)).await;
            if let Ok(task) = task
                && matches!(task.state, TaskState::Stopping | TaskState::Stopped)
            {
                return Failure::local(format!(
                    "The upload was stopped as task {id}; what had arrived is removed."
                ));
            }
        }
        error.into()
    }
}

/// Returns when no more bytes were sent for too long, and how long that was.
async fn stalled(sent: &AtomicU64, end: u64) -> Duration {
    loop {
        let before = sent.load(Ordering::Relaxed);
        let limit = if before == end { ANSWER } else { STALL };
        sleep(limit).await;
        if sent.load(Ordering::Relaxed) == before {
            return limit;
        }
    }
}
