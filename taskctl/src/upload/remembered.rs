//! The upload that a command begins or continues, as it is remembered.

use std::time::Duration;

use chrono::{DateTime, Utc};
use common::task::TaskId;

use super::Plan;
use super::input::Input;
use super::progress::Progress;
use super::record::{Identity, Record, Slot};
use super::tus::Created;
use crate::failure::Failure;
use crate::session::Session;
use crate::view::printable_line;

/// A part is not worth a connection of its own below this size in bytes.
const SMALLEST_PART: u64 = 1 << 20;
/// A renewed end is recorded if it is later by this much.
const RENEWAL: Duration = Duration::from_mins(10);

/// An upload and its record, if it can be remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) record: Record,
    identity: Identity,
    slot: Option<Slot>,
    progress: Progress,
    /// How many parts a new upload has.
    parts: u64,
    /// Whether an earlier command began it, and the server was not asked for it yet.
    is_continued: bool,
}

impl Remembered {
    /// The upload of `input` that an earlier command began, or a new one; and the uploads of
    /// another content of the file, which nothing continues.
    pub(super) fn open(
        session: &Session,
        args: &Plan,
        input: &Input,
        progress: Progress,
    ) -> (Self, Vec<TaskId>) {
        let identity = Identity {
            server: session.client.server().to_owned(),
            user: session.user.clone(),
            file: input.path.clone(),
            kind: args.kind,
            params: args.params.clone(),
        };
        let slot = slot(&identity, input, &progress);
        let parts = u64::from(args.parallel).min(input.size() / SMALLEST_PART).max(1);
        let name = printable_line(&input.name);
        let (record, outdated) = match slot.as_ref().and_then(Slot::load) {
            Some(record) if record.version == input.version => (Some(record), Vec::new()),
            Some(record) => {
                progress.note(&format!(
                    "{name} has changed since its upload was interrupted; it is uploaded anew."
                ));
                (None, record.uploads().collect())
            }
            None => (None, Vec::new()),
        };
        let is_continued = record.is_some();
        let record = record.unwrap_or_else(|| Record::new(&identity, input.version.clone(), parts));
        let mut remembered = Self { record, identity, slot, progress, parts, is_continued };
        remembered.save();
        (remembered, outdated)
    }

    /// Whether an earlier command began it, and the server may no longer have it.
    pub(super) fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// Whether a later command can continue it.
    pub(super) fn is_continuable(&self) -> bool {
        self.slot.is_some()
    }

    /// The server has it: from now on it is like one that this command began.
    pub(super) fn found(&mut self) {
        self.is_continued = false;
    }

    /// Begins another upload, since the server no longer has this one.
    pub(super) fn begin_again(&mut self, input: &Input) {
        self.progress.note(&format!(
            "The server no longer has the interrupted upload of {}; it is uploaded anew.",
            printable_line(&input.name)
        ));
        self.is_continued = false;
        self.record = Record::new(&self.identity, input.version.clone(), self.parts);
        self.save();
    }

    /// The server has created the upload of a part.
    pub(super) fn created(&mut self, part: usize, created: Created) {
        if let Some(part) = self.record.parts.get_mut(part) {
            part.upload = Some(created.id);
        }
        if let Some(expires_at) = created.expires_at {
            self.record.expires_at = expires_at;
        }
        self.save();
    }

    /// The server keeps it until then.
    pub(super) fn renew(&mut self, expires_at: Option<DateTime<Utc>>) {
        if let Some(expires_at) = expires_at
            && expires_at > self.record.expires_at + RENEWAL
        {
            self.record.expires_at = expires_at;
            self.save();
        }
    }

    /// The parts are complete, and may be joined from now on.
    pub(super) fn joining(&mut self) {
        self.record.is_joining = true;
        self.save();
    }

    /// The server has accepted it, or lost it.
    pub(super) fn forget(&mut self) {
        if let Some(slot) = self.slot.take() {
            slot.forget();
        }
    }

    /// Whether nothing can continue it after this failure.
    pub(super) fn is_useless(&self, failure: &Failure) -> bool {
        matches!(failure.status(), Some(413 | 415 | 422)) || self.record.uploads().next().is_none()
    }

    fn save(&mut self) {
        let Some(slot) = &self.slot else { return };
        if let Err(error) = slot.save(&self.record) {
            cannot_remember(&error, &self.progress);
            self.slot = None;
        }
    }
}

fn slot(identity: &Identity, input: &Input, progress: &Progress) -> Option<Slot> {
    match Slot::open(identity) {
        Ok(Some(slot)) => Some(slot),
        Ok(None) => {
            progress.note(&format!(
                "Another command uploads {} at the moment. This is a separate upload, which cannot \
                 be continued if it is interrupted.",
                printable_line(&input.name)
            ));
            None
        }
        Err(error) => {
            cannot_remember(&error, progress);
            None
        }
    }
}

fn cannot_remember(error: &std::io::Error, progress: &Progress) {
    progress.note(&format!("The upload cannot be continued if it is interrupted: {error}."));
}
