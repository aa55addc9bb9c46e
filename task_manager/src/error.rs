//! The errors of requests: a closed set.
//!
//! # Not here
//! Their status codes, error codes and texts (`api::problem`).

use std::time::Duration;

use common::problem::ErrorLocation;
use common::storage::StorageError;
use common::task::{TaskId, TaskState};
use tracing::{debug, error, warn};

use crate::db::DbError;

/// Why a request failed.
#[derive(Debug)]
pub enum Error {
    /// The request is malformed: the reason, in words.
    BadRequest(String),
    /// Parts of the request are invalid.
    InvalidParameters(Vec<ErrorLocation>),
    /// A token is required and missing.
    TokenMissing,
    /// The token is invalid or expired.
    InvalidToken(&'static str),
    /// The user does not exist, or the password is wrong.
    InvalidCredentials,
    /// The password is right, but the user is disabled.
    UserDisabled,
    /// The request has no session.
    NoSession,
    /// The user has no such session.
    SessionNotFound,
    /// An API key was sent for a change that only a session may make.
    NotByKey,
    /// The API key lacks a scope.
    ScopeMissing(&'static str),
    /// The user has no such API key.
    KeyNotFound,
    /// The user has another API key of this name.
    KeyNameTaken(String),
    /// The user has as many API keys as one user may have.
    TooManyKeys { limit: i64 },
    /// Only an administrator may do this.
    NotAdministrator,
    /// The role of the user permits no changes.
    ReadOnly,
    /// Administrators may not change themselves in this way.
    OwnAccount,
    /// The name of a new user is taken.
    UsernameTaken(String),
    /// Too many logins or sign-ups.
    TooManyAttempts { wait: Duration },
    /// The server was addressed by a name that is not this machine's.
    ForeignHost,
    /// A page of another site sent the request.
    ForeignOrigin,
    /// A page of another server may have sent the request, whose session is that of the cookie.
    CookieOfForeignPage,
    /// Another request with the same `Idempotency-Key` is in progress.
    RequestInProgress,
    /// The `Idempotency-Key` was used for other content.
    KeyReused,
    /// The request with this `Idempotency-Key` was completed, but this version cannot read its
    /// answer.
    UnreadableAnswer,
    /// The task does not exist.
    TaskNotFound,
    /// The user does not exist, or is not visible to the caller.
    UserNotFound,
    /// The schedule does not exist.
    ScheduleNotFound,
    /// None of the offered media types is acceptable to the client.
    NotAcceptable { offered: String },
    /// The task's state does not permit the request: the rule, in words.
    InvalidState { id: TaskId, state: TaskState, rule: &'static str },
    /// This version cannot read the task's row: the reason, and what to do.
    UnreadableTask(String),
    /// The result does not exist yet.
    NotReady { state: TaskState },
    /// The task will have no result.
    NoResult { state: TaskState, reason: &'static str },
    /// The task has no file that another one could read: why, in words.
    NoInput(String),
    /// The result has no dates, so that there is nothing to show over time: why, in words.
    NoSeries(String),
    /// The files have been removed.
    Expired,
    /// The client's copy, by its tag, differs from the current file.
    PreconditionFailed,
    /// The range is outside of the file of this size.
    RangeNotSatisfiable { size: u64 },
    /// The file is larger than the limit, in bytes.
    TooLarge { limit: u64 },
    /// The body of a request without a file is larger than it may be.
    BodyTooLarge,
    /// The type of the body is not accepted.
    UnsupportedMediaType { given: String, accepted: &'static str },
    /// A worker sent a batch with too many rows.
    BatchTooLarge { given: String, limit: String },
    /// A worker sent rows whose predecessors have not arrived.
    OutOfOrder { stored: u64, from: u64 },
    /// The file is empty.
    EmptyFile,
    /// The file is not CSV: what it looks like instead.
    NotCsv(String),
    /// The task was stopped during its upload.
    UploadStopped(TaskId),
    /// The connection broke during the upload.
    UploadCut(String),
    /// The body stalled for this long.
    UploadIdle { timeout: Duration },
    /// The lease of the upload expired before its end.
    UploadLost,
    /// The user has no such resumable upload.
    UploadNotFound,
    /// The task of a resumable upload was stopped, so the upload is gone.
    UploadRemoved(TaskId),
    /// A request appends bytes elsewhere than behind those that are stored.
    OffsetMismatch { offset: u64 },
    /// A request appends more bytes than the file has.
    BeyondEnd { size: u64 },
    /// A request appends bytes to an upload that is made of parts.
    UploadIsFinal,
    /// A part of an upload does not exist, is incomplete, or belongs to another upload.
    InvalidPart { id: String, reason: &'static str },
    /// The bytes of a request do not match its checksum.
    ChecksumMismatch,
    /// A request that appends bytes ended early; the upload continues at `offset`.
    UploadInterrupted { offset: u64, why: Interruption },
    /// The version of the upload protocol is not supported.
    UnsupportedTusVersion { given: String },
    /// The body has a content encoding.
    EncodedBody { given: String },
    /// The database or the connection failed in the middle of a request: how many documents are
    /// stored, and for how many more the outcome is unknown.
    PartlyStored { inserted: u64, in_doubt: u64 },
    /// The connection to the database broke during a commit, which may have succeeded, or after the
    /// first of several commits.
    OutcomeUnknown,
    /// The disk of the storage has no space left.
    StorageFull,
    /// The disk of the database has no space left.
    DatabaseFull,
    /// The storage is temporarily unavailable.
    StorageUnavailable,
    /// The database is temporarily unavailable.
    DatabaseUnavailable,
    /// The server or its database is overloaded.
    Overloaded,
    /// The request body stalled for too long.
    RequestTimeout,
    /// A bug; the log has the details.
    Internal,
}

/// Why a request that appends bytes to an upload ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// The connection broke.
    Cut,
    /// No byte arrived for this long.
    Idle(Duration),
    /// Another request continues the upload.
    Replaced,
    /// The server shuts down.
    Shutdown,
}

impl Error {
    /// An invalid parameter.
    pub fn invalid(field: &str, reason: impl Into<String>) -> Self {
        Self::InvalidParameters(vec![ErrorLocation::field(field, reason)])
    }
}

impl From<DbError> for Error {
    fn from(error: DbError) -> Self {
        match error {
            DbError::LockLost => return Self::RequestInProgress,
            DbError::UnreadableTask(detail) => return Self::UnreadableTask(detail),
            _ => {}
        }
        if matches!(error, DbError::Overloaded) {
            debug!("a request got no database connection in time");
            return Self::Overloaded;
        }
        error!(%error, "the database failed");
        match error {
            error if error.is_in_doubt() => Self::OutcomeUnknown,
            error if error.is_out_of_space() => Self::DatabaseFull,
            error if error.is_unavailable() => Self::DatabaseUnavailable,
            _ => Self::Internal,
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound(_) => Self::Expired,
            // Bytes of an upload are gone, for example after the restore of a backup.
            error @ StorageError::Lost(_) => {
                warn!(%error, "an upload cannot be continued");
                Self::UploadNotFound
            }
            error if error.is_out_of_space() => {
                error!(%error, "the disk of the storage is full");
                Self::StorageFull
            }
            error => {
                error!(%error, "the storage failed");
                Self::StorageUnavailable
            }
        }
    }
}
