//! Why a request is not carried out: a closed set.
//!
//! # Not here
//! Status, code and words of each (`api::problem`).

use std::time::Duration;

use common::problem::ErrorLocation;
use common::storage::StorageError;
use common::task::{TaskId, TaskState};
use tracing::{debug, error};

use crate::db::DbError;

/// Why a request got no success.
#[derive(Debug)]
pub enum Error {
    /// The request's shape is wrong: what it is, in words.
    BadRequest(String),
    /// Parts of the request are invalid.
    InvalidParameters(Vec<ErrorLocation>),
    /// There is no token, and one is needed.
    TokenMissing,
    /// The token is invalid or expired.
    InvalidToken(&'static str),
    /// There is no such user, or the password is wrong.
    InvalidCredentials,
    /// There is no session to end.
    NoSession,
    /// Only an administrator may do this.
    NotAdministrator,
    /// The name of a new user is taken.
    UsernameTaken(String),
    /// Too many logins or sign-ups.
    TooManyAttempts { wait: Duration },
    /// The server was addressed by a name that is not this machine's.
    ForeignHost,
    /// A page of another site sent the request.
    ForeignOrigin,
    /// Another request with the same `Idempotency-Key` is under way.
    RequestInProgress,
    /// The `Idempotency-Key` was used for another content.
    KeyReused,
    /// The request with this `Idempotency-Key` was carried out, but its answer cannot be read by this version.
    UnreadableAnswer,
    /// There is no such task.
    TaskNotFound,
    /// There is no such user, or none that the caller may ask for.
    UserNotFound,
    /// There is no such schedule.
    ScheduleNotFound,
    /// The answer has none of the media types that the client takes.
    NotAcceptable { offered: String },
    /// The task's state does not allow it.
    InvalidState { id: TaskId, state: TaskState, rule: &'static str },
    /// The task's row cannot be read by this version: why, and what to do.
    UnreadableTask(String),
    /// The result is not there yet.
    NotReady { state: TaskState },
    /// There will be no result.
    NoResult { state: TaskState, reason: &'static str },
    /// The files have been removed.
    Expired,
    /// The client's copy, by its tag, is not the file that there is.
    PreconditionFailed,
    /// The range lies outside of the file of this size.
    RangeNotSatisfiable { size: u64 },
    /// The file is larger than the limit, in bytes.
    TooLarge { limit: u64 },
    /// The body of a request without a file is larger than it may be.
    BodyTooLarge,
    /// The body's type is none that is accepted.
    UnsupportedMediaType { given: String, accepted: &'static str },
    /// A worker sent more rows at once than may be: how many, and how many may be.
    BatchTooLarge { given: String, limit: String },
    /// A worker sent rows while those before them have not come.
    OutOfOrder { stored: u64, from: u64 },
    /// The file has nothing in it.
    EmptyFile,
    /// The file is no CSV: what it looks like instead.
    NotCsv(String),
    /// The task was stopped while its file arrived.
    UploadStopped(TaskId),
    /// The connection broke while the file arrived.
    UploadCut(String),
    /// No byte of the body arrived for this long.
    UploadIdle { timeout: Duration },
    /// The lease of the upload expired while its file arrived.
    UploadLost,
    /// The body is encoded: how.
    EncodedBody { given: String },
    /// The database or the connection failed when a request was carried out in part: how many
    /// documents are stored, and of how many more that is not known.
    PartlyStored { inserted: u64, in_doubt: u64 },
    /// The connection to the database broke during a commit, which may have taken place, or behind
    /// the first of several.
    OutcomeUnknown,
    /// The storage is temporarily unavailable.
    StorageUnavailable,
    /// The database is temporarily unavailable.
    DatabaseUnavailable,
    /// The server, or its database, has more to do than it can.
    Overloaded,
    /// The client sent nothing of its body for too long.
    RequestTimeout,
    /// A fault of ours; the detail is in the log.
    Internal,
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
            debug!("a request found no connection to the database in time");
            return Self::Overloaded;
        }
        error!(%error, "the database failed");
        match error {
            error if error.is_in_doubt() => Self::OutcomeUnknown,
            error if error.is_unavailable() => Self::DatabaseUnavailable,
            _ => Self::Internal,
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::NotFound(_) => Self::Expired,
            error => {
                error!(%error, "the storage failed");
                Self::StorageUnavailable
            }
        }
    }
}
