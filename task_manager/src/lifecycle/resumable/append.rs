//! Appends the bytes of a request to an upload.
//!
//! # Invariants
//! - What has arrived before a request ends, for whatever reason, is kept, unless the request
//!   carries a checksum: then all of its bytes are kept or none.
//! - A request with a wrong offset is refused before a byte of its body is read.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use chrono::NaiveDateTime;
use common::storage::{ObjectKey, StagedWriter, StagingWriter};
use common::task::{AcceptedTask, TaskId, UserId};
use tokio::time::Instant;
use tracing::warn;

use super::hold::{self, HOLD, Hold, Loss};
use super::intake::Intake;
use super::store::{self, Received, ResumableUpload};
use super::{ResumableUploads, Role, UploadState};
use crate::db;
use crate::error::{Error, Interruption};
use crate::file_source::FileSource;
use crate::lifecycle::upload::draft::Purpose;

/// How often the stored offset follows the bytes of a long request. Receiving waits for the disk
/// meanwhile, so a fast client is not stopped after every so many bytes (`make bench-upload`).
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// The bytes that a request appends, and what it says of them.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Where they belong.
    pub offset: u64,
    /// How many they are, if the request says so.
    pub length: Option<u64>,
    /// The size of the whole file, if the request tells it.
    pub size: Option<u64>,
    /// Whether the file ends with them, if the request says so.
    pub is_last: Option<bool>,
    /// What they must hash to.
    pub checksum: Option<Checksum>,
}

/// A checksum of the bytes of a request.
pub trait Digester: Send {
    /// Adds bytes.
    fn update(&mut self, bytes: &[u8]);
    /// The hash of all of them.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

/// The expected checksum of the bytes of a request.
pub struct Checksum {
    pub digester: Box<dyn Digester>,
    pub expected: Vec<u8>,
}

impl std::fmt::Debug for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checksum").finish_non_exhaustive()
    }
}

/// The upload after a request.
#[derive(Debug)]
pub struct Appended {
    /// How many bytes are stored.
    pub offset: u64,
    pub size: Option<u64>,
    pub expires_at: NaiveDateTime,
    /// The task, if the file is complete.
    pub task: Option<AcceptedTask>,
    /// Whether the upload has all its bytes.
    pub is_complete: bool,
}

impl Appended {
    /// An upload that has all its bytes.
    pub(super) fn complete(upload: &ResumableUpload, task: Option<AcceptedTask>) -> Self {
        Self {
            offset: upload.size.unwrap_or(upload.received),
            size: upload.size,
            expires_at: upload.expires_at,
            task,
            is_complete: true,
        }
    }
}

impl ResumableUploads {
    /// Appends the bytes of `body`. The last ones complete the upload.
    ///
    /// # Errors
    /// The offset is wrong, the bytes are too many or of the wrong type, or the request was
    /// interrupted.
    pub async fn append(
        &self,
        owner: UserId,
        id: TaskId,
        chunk: Chunk,
        body: &mut impl FileSource,
    ) -> Result<Appended, Error> {
        let upload = self.find(owner, id).await?;
        self.check(&upload, &chunk)?;
        let (upload, hold) = hold::take(self, owner, id).await?;
        let Some(hold) = hold else {
            return self.nothing_to_append(&upload, chunk.offset, body).await;
        };
        let begun = match self.check(&upload, &chunk) {
            Ok(()) if chunk.offset > upload.received => Err(mismatch(&upload)),
            Ok(()) => self.begin(&upload, &hold, chunk.size).await,
            Err(error) => Err(error),
        };
        let mut writing = match begun {
            Ok(writing) => writing,
            Err(error) => {
                match error {
                    Error::UploadNotFound => self.discard(id).await,
                    // Nothing was written; an earlier writer may still be busy.
                    _ => self.release(id, hold.writer, hold.takes_over).await,
                }
                return Err(error);
            }
        };
        match writing.receive(chunk, body).await {
            Ok(true) => {
                drop(writing);
                // As it was stored with its last byte.
                let upload = self.find(owner, id).await?;
                self.finish(&upload, &hold).await
            }
            Ok(false) => Ok(writing.appended()),
            Err(error) => {
                self.end_failed(&writing, &error).await;
                Err(error)
            }
        }
    }

    /// Checks what the request says, before its body is read.
    fn check(&self, upload: &ResumableUpload, chunk: &Chunk) -> Result<(), Error> {
        if upload.role == Role::Final {
            return Err(Error::UploadIsFinal);
        }
        // Offsets only grow: a smaller one cannot become right by waiting for another request.
        let is_settled = upload.held_until.is_none();
        if chunk.offset < upload.received || (is_settled && chunk.offset != upload.received) {
            return Err(mismatch(upload));
        }
        let size = match (upload.size, chunk.size) {
            (Some(size), Some(given)) if size != given => {
                let text = format!("The upload has {size} bytes, and the request says {given}.");
                return Err(Error::BadRequest(text));
            }
            (size, given) => size.or(given),
        };
        let limit = self.drafts.limit;
        let end = chunk.offset.saturating_add(chunk.length.unwrap_or(0));
        if size.is_some_and(|size| size > limit) || end > limit {
            return Err(Error::TooLarge { limit });
        }
        match size {
            Some(size) if end > size => Err(Error::BeyondEnd { size }),
            Some(size) if chunk.is_last == Some(true) && chunk.length.is_some() && end < size => {
                let text = format!("The file ends at {size}, and the last request at {end}.");
                Err(Error::BadRequest(text))
            }
            _ => Ok(()),
        }
    }

    /// Answers a request for an upload that has all its bytes.
    async fn nothing_to_append(
        &self,
        upload: &ResumableUpload,
        offset: u64,
        body: &mut impl FileSource,
    ) -> Result<Appended, Error> {
        if Some(offset) != upload.size || body.next().await?.is_some() {
            return Err(mismatch(upload));
        }
        let finished = self.finish_waiting(upload.id).await?;
        Ok(finished.unwrap_or_else(|| Appended::complete(upload, None)))
    }

    async fn begin<'a>(
        &'a self,
        upload: &ResumableUpload,
        hold: &'a Hold,
        size: Option<u64>,
    ) -> Result<Writing<'a>, Error> {
        let purpose = self.purpose(upload).await?;
        let kind = purpose.as_ref().map(|purpose| purpose.spec.kind());
        let intake = match (kind, &upload.intake) {
            (Some(kind), Some(stored)) => Some(Intake::from_json(kind, stored)?),
            (Some(kind), None) => Some(Intake::of(kind)),
            (None, _) => None,
        };
        let size = upload.size.or(size);
        let staging = StagingWriter { number: hold.writer, takes_over: hold.takes_over };
        let key = ObjectKey::Input(upload.id);
        let writer = self.drafts.storage.stage(key, upload.staged.as_ref(), staging, size).await?;
        Ok(Writing {
            uploads: self,
            id: upload.id,
            hold,
            purpose,
            writer,
            intake,
            size,
            received: upload.received,
            stored: upload.received,
            released: false,
            expires_at: upload.expires_at,
        })
    }

    /// After an error: keeps what can be kept, and removes what can never be completed.
    async fn end_failed(&self, writing: &Writing<'_>, error: &Error) {
        let id = writing.id;
        match error {
            Error::NotCsv(_) | Error::EmptyFile | Error::UploadNotFound => self.discard(id).await,
            Error::UploadInterrupted { .. } if writing.released => {}
            _ => self.release(id, writing.hold.writer, true).await,
        }
    }

    /// Ends the hold of `writer`. `may_be_writing` says that it, or the one before, may be at work in
    /// the storage.
    pub(super) async fn release(&self, id: TaskId, writer: u32, may_be_writing: bool) {
        let released = self.drafts.db.write(move |conn| {
            let now = db::now(conn)?;
            store::release(conn, id, writer, may_be_writing.then_some(now))
        });
        if let Err(error) = released.await {
            warn!(%error, "cannot release an upload; the next request takes it over");
        }
    }
}

fn mismatch(upload: &ResumableUpload) -> Error {
    Error::OffsetMismatch { offset: upload.received }
}

/// A request that writes to an upload.
struct Writing<'a> {
    uploads: &'a ResumableUploads,
    id: TaskId,
    hold: &'a Hold,
    purpose: Option<Purpose>,
    writer: StagedWriter,
    /// None for a partial upload, which is hashed as a part of the final one.
    intake: Option<Intake>,
    size: Option<u64>,
    /// How many bytes have arrived, and how many of them are acknowledged.
    received: u64,
    stored: u64,
    released: bool,
    expires_at: NaiveDateTime,
}

/// Why no more bytes of a request are read.
enum End {
    /// The body has ended.
    Body,
    /// The request was interrupted; what has arrived can be kept.
    Interrupted(Interruption),
    /// The upload belongs to others, or is gone.
    Lost(Error),
}

/// What becomes of the upload after its bytes are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Continue,
    Release,
    Complete,
}

impl Writing<'_> {
    /// Receives the body; true if the upload has all its bytes now. Then it is still held.
    async fn receive(&mut self, chunk: Chunk, body: &mut impl FileSource) -> Result<bool, Error> {
        let Chunk { mut checksum, is_last, .. } = chunk;
        let end = self.fill(&mut checksum, body).await?;
        if let Some(Checksum { digester, expected }) = checksum {
            match end {
                End::Body if digester.finish() != expected => return Err(Error::ChecksumMismatch),
                // A part of the bytes cannot be checked.
                End::Interrupted(why) => return Err(self.interrupted(why)),
                End::Body | End::Lost(_) => {}
            }
        }
        if let End::Body = end
            && is_last == Some(true)
        {
            match self.size {
                Some(size) if size != self.received => {
                    let text = format!("The file ends at {}, not at {size}.", self.received);
                    return Err(Error::BadRequest(text));
                }
                _ => self.size = Some(self.received),
            }
        }
        let is_complete = self.size == Some(self.received);
        let next = if is_complete { Next::Complete } else { Next::Release };
        match end {
            End::Lost(error) => return Err(error),
            End::Interrupted(why) => {
                self.store(next).await?;
                if !is_complete {
                    return Err(self.interrupted(why));
                }
            }
            End::Body => self.store(next).await?,
        }
        Ok(is_complete)
    }

    fn interrupted(&self, why: Interruption) -> Error {
        Error::UploadInterrupted { offset: self.stored, why }
    }

    /// Appends the bytes of the body, until it ends or the upload is lost.
    async fn fill(
        &mut self,
        checksum: &mut Option<Checksum>,
        body: &mut impl FileSource,
    ) -> Result<End, Error> {
        let mut lost = pin!(self.hold.lost());
        let mut stored_at = Instant::now();
        loop {
            let next = tokio::select! {
                next = body.next() => next,
                loss = &mut lost => return Ok(self.end_of(loss)),
            };
            let bytes = match next {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Ok(End::Body),
                Err(Error::UploadIdle { timeout }) => {
                    return Ok(End::Interrupted(Interruption::Idle(timeout)));
                }
                Err(Error::UploadCut(_)) => return Ok(End::Interrupted(Interruption::Cut)),
                Err(error) => return Err(error),
            };
            self.add(checksum, bytes).await?;
            if stored_at.elapsed() >= CHECKPOINT_EVERY && checksum.is_none() {
                self.store(Next::Continue).await?;
                stored_at = Instant::now();
            }
        }
    }

    async fn add(&mut self, checksum: &mut Option<Checksum>, bytes: Bytes) -> Result<(), Error> {
        let received = self.received + bytes.len() as u64;
        let limit = self.uploads.drafts.limit;
        match self.size {
            Some(size) if received > size => return Err(Error::BeyondEnd { size }),
            None if received > limit => return Err(Error::TooLarge { limit }),
            _ => {}
        }
        if let Some(intake) = &mut self.intake {
            intake.add(&bytes)?;
        }
        if let Some(checksum) = checksum {
            checksum.digester.update(&bytes);
        }
        self.writer.write(bytes).await?;
        self.received = received;
        self.hold.arrived(received);
        Ok(())
    }

    fn end_of(&self, loss: Loss) -> End {
        match loss {
            Loss::Requested => End::Interrupted(Interruption::Replaced),
            Loss::Shutdown => End::Interrupted(Interruption::Shutdown),
            Loss::TakenOver | Loss::Gone(_) => End::Lost(self.lost(loss)),
        }
    }

    fn lost(&self, loss: Loss) -> Error {
        loss.error(self.id, self.stored)
    }

    /// Makes the received bytes durable, and acknowledges them.
    async fn store(&mut self, next: Next) -> Result<(), Error> {
        if next == Next::Complete
            && let Some(intake) = &self.intake
        {
            if self.received == 0 && self.reads_csv() {
                return Err(Error::EmptyFile);
            }
            intake.clone().finish()?;
        }
        let staged = self.writer.checkpoint().await?;
        let (id, writer, progress) =
            (self.id, self.hold.writer, hold::progress(self.received, self.size));
        let has_task = self.purpose.is_some();
        let intake = self.intake.as_ref().map(Intake::to_json).transpose()?;
        let (size, received, lifetime) = (self.size, self.received, self.uploads.lifetime);
        let outcome = self.uploads.drafts.db.write(move |conn| {
            let now = db::now(conn)?;
            let state = match next {
                Next::Complete => UploadState::Received,
                Next::Continue | Next::Release => UploadState::Receiving,
            };
            let row = Received {
                state,
                size,
                received,
                intake: intake.clone(),
                staged: Some(staged.clone()),
                held_until: (next != Next::Release).then_some(now + HOLD),
                expires_at: now + lifetime,
            };
            if !store::set_received(conn, id, writer, &row)? {
                return Ok(Err(Loss::TakenOver));
            }
            if has_task && !store::task_progress(conn, id, &progress, now, lifetime)? {
                return Ok(Err(Loss::Gone(crate::tasks::store::upload_state(conn, id)?)));
            }
            Ok(Ok(row.expires_at))
        });
        match outcome.await? {
            Ok(expires_at) => {
                (self.stored, self.expires_at) = (self.received, expires_at);
                self.released = next == Next::Release;
                Ok(())
            }
            Err(loss) => Err(self.lost(loss)),
        }
    }

    fn reads_csv(&self) -> bool {
        self.purpose.as_ref().is_some_and(|purpose| purpose.spec.kind().reads_csv())
    }

    fn appended(&self) -> Appended {
        Appended {
            offset: self.stored,
            size: self.size,
            expires_at: self.expires_at,
            task: None,
            is_complete: false,
        }
    }
}
