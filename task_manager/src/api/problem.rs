//! Errors as problem documents: each has a stable code and status.
//!
//! `middleware::problems` adds the path of the request.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::problem::Problem;

use crate::api::request::resumable::{TUS, TUS_VERSION, UPLOAD_OFFSET};
use crate::error::{Error, Interruption};
use crate::tasks::unreadable;

/// The `Retry-After` of temporary errors.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How many errors the detail of a problem names; its list has them all.
const NAMED_IN_DETAIL: usize = 10;

/// The problem document of an error.
fn problem(error: &Error) -> Problem {
    let (status, code, title, detail) = match error {
        Error::BadRequest(detail) => {
            (400, "bad_request", "The request cannot be read", detail.clone())
        }
        Error::InvalidParameters(errors) => {
            let named = errors
                .iter()
                .take(NAMED_IN_DETAIL)
                .map(|error| match &error.field {
                    Some(field) => format!("{field}: {}", error.reason),
                    None => error.reason.clone(),
                })
                .collect::<Vec<_>>()
                .join("; ");
            let detail = match errors.len().checked_sub(NAMED_IN_DETAIL) {
                None | Some(0) => named,
                Some(more) => format!("{named}; and {more} more"),
            };
            return Problem::new(422, "invalid_parameters", "Invalid parameters", detail)
                .with_errors(errors.clone(), errors.len() as u64);
        }
        Error::TokenMissing => (
            401,
            "token_missing",
            "A login is needed",
            "Send `Authorization: Bearer TOKEN`, with the token of POST /v1/sessions. \
             POST /v1/users signs you up."
                .to_owned(),
        ),
        Error::InvalidToken(detail) => {
            (401, "invalid_token", "Invalid or expired token", (*detail).to_owned())
        }
        Error::InvalidCredentials => (
            401,
            "invalid_credentials",
            "Invalid user name or password",
            "There is no user with this name and this password.".to_owned(),
        ),
        Error::NoSession => (
            409,
            "no_session",
            "There is no session",
            "The request has no token, so there is no session to end, no password to change, and no \
             user to make an API key for. Log in with POST /v1/sessions."
                .to_owned(),
        ),
        Error::UserDisabled => (
            403,
            "user_disabled",
            "The user is disabled",
            "An administrator has disabled this user. Ask one to enable it again.".to_owned(),
        ),
        Error::SessionNotFound => (
            404,
            "session_not_found",
            "No such session",
            "There is no session with this id; it may have ended. GET /v1/sessions lists yours."
                .to_owned(),
        ),
        Error::NotByKey => (
            403,
            "not_by_key",
            "An API key cannot do this",
            "Users, passwords, sessions and keys cannot be changed with an API key. Log in, and send \
             the token of POST /v1/sessions."
                .to_owned(),
        ),
        Error::ScopeMissing(scope) => (
            403,
            "scope_missing",
            "The API key lacks a scope",
            format!("This request needs an API key with the scope `{scope}`. Make a new key with it."),
        ),
        Error::KeyNotFound => (
            404,
            "key_not_found",
            "No such API key",
            "The user has no API key with this id; it may have been revoked.".to_owned(),
        ),
        Error::KeyNameTaken(name) => (
            409,
            "key_name_taken",
            "The name is taken",
            format!("You have an API key named `{name}`. Choose another name, or revoke that key."),
        ),
        Error::TooManyKeys { limit } => (
            409,
            "too_many_keys",
            "Too many API keys",
            format!("A user may have up to {limit} API keys. Revoke one that is not used any more."),
        ),
        Error::ReadOnly => (
            403,
            "read_only",
            "Only reading is permitted",
            "The role of this user is `viewer`, which may look and change nothing.".to_owned(),
        ),
        Error::OwnAccount => (
            409,
            "own_account",
            "Administrators cannot change themselves",
            "Ask another administrator to change your role or to disable you.".to_owned(),
        ),
        Error::NotAdministrator => (
            403,
            "not_administrator",
            "Only an administrator may do this",
            "Log in as an administrator (`task_manager admin create` creates one), or send an \
             administrator's API key with the scope `admin`."
                .to_owned(),
        ),
        Error::UsernameTaken(name) => (
            409,
            "username_taken",
            "The name is taken",
            format!("The name `{name}` is taken, regardless of case. Choose another one."),
        ),
        Error::TooManyAttempts { wait } => (
            429,
            "too_many_attempts",
            "Too many attempts",
            format!("There were too many recent attempts. Try again in {} s.", seconds(*wait)),
        ),
        Error::ForeignHost => (
            403,
            "foreign_host",
            "The server is not addressed as this machine",
            "Without a login this server is for its own machine: address it as localhost or \
             by a loopback address."
                .to_owned(),
        ),
        Error::ForeignOrigin => (
            403,
            "foreign_origin",
            "The request is from another site",
            "Without a login this server accepts no requests from pages of other sites."
                .to_owned(),
        ),
        Error::CookieOfForeignPage => (
            403,
            "foreign_origin",
            "The request is from another site",
            "With the session cookie, changes are accepted from pages of this server only: the \
             Origin header must name its host. Other clients send `Authorization: Bearer TOKEN`."
                .to_owned(),
        ),
        Error::RequestInProgress => (
            409,
            "request_under_way",
            "The same request is in progress",
            "Another request with this Idempotency-Key is not completed yet. Send it again later."
                .to_owned(),
        ),
        Error::KeyReused => (
            422,
            "idempotency_key_reused",
            "The Idempotency-Key was used for other content",
            "An earlier request with this Idempotency-Key had other content. Use a new \
             key for a new request."
                .to_owned(),
        ),
        Error::UnreadableAnswer => (
            409,
            "unreadable_answer",
            "The stored answer cannot be read",
            "The request with this Idempotency-Key was completed, but another version of the server \
             stored its answer. Look for its result instead of sending it again."
                .to_owned(),
        ),
        Error::TaskNotFound => {
            (404, "task_not_found", "No such task", "There is no task with this id.".to_owned())
        }
        Error::UserNotFound => {
            (404, "user_not_found", "No such user", "There is no user with this id.".to_owned())
        }
        Error::ScheduleNotFound => (
            404,
            "schedule_not_found",
            "No such schedule",
            "There is no schedule with this name; GET /v1/schedules lists the existing ones."
                .to_owned(),
        ),
        Error::NotAcceptable { offered } => (
            406,
            "not_acceptable",
            "No acceptable media type",
            format!("The Accept header accepts none of the offered types: {offered}."),
        ),
        Error::InvalidState { id, state, rule } => (
            409,
            "invalid_state",
            "The task's state does not allow it",
            format!("The task {id} is {state}; {rule}."),
        ),
        Error::UnreadableTask(detail) => {
            (409, unreadable::CODE, "The task cannot be read", detail.clone())
        }
        Error::NotReady { state } => (
            409,
            "not_ready",
            "The result is not ready yet",
            format!("The task is {state}. Ask again when it is processed."),
        ),
        Error::NoResult { state, reason } => {
            (409, "no_result", "There is no result", format!("The task is {state}: {reason}."))
        }
        Error::NoInput(detail) => {
            (409, "no_input", "The task has no file", detail.clone())
        }
        Error::NoSeries(detail) => {
            (409, "no_series", "The result is no series over time", detail.clone())
        }
        Error::Expired => (
            410,
            "expired",
            "The files are gone",
            "The files of this task have been removed. Upload the file again.".to_owned(),
        ),
        Error::PreconditionFailed => (
            412,
            "precondition_failed",
            "The file has changed",
            "None of the tags of If-Match match the file; a GET without If-Match returns its ETag."
                .to_owned(),
        ),
        Error::RangeNotSatisfiable { size } => (
            416,
            "range_not_satisfiable",
            "The range is outside of the file",
            format!("The file has {size} bytes."),
        ),
        Error::TooLarge { limit } => (
            413,
            "too_large",
            "The file is too large",
            format!(
                "Files may have up to {limit} bytes ({}) here; the setting is `upload_limit`.",
                bytesize::ByteSize::b(*limit)
            ),
        ),
        Error::BodyTooLarge => (
            413,
            "too_large",
            "The body is too large",
            "The body is larger than this request permits.".to_owned(),
        ),
        Error::UnsupportedMediaType { given, accepted } => (
            415,
            "unsupported_media_type",
            "The body's type is not supported",
            format!("The Content-Type is `{given}`; {accepted}."),
        ),
        Error::BatchTooLarge { given, limit } => (
            413,
            "batch_too_large",
            "The batch is too large",
            format!("The batch has {given}; a batch may have up to {limit}."),
        ),
        Error::OutOfOrder { stored, from } => (
            409,
            "out_of_order",
            "The rows before these are missing",
            format!(
                "The batch continues after row {from}, but only row {stored} was reached. \
                 Send what is in between first."
            ),
        ),
        Error::EmptyFile => (
            422,
            "empty_file",
            "The file is empty",
            "The file has no bytes. A CSV file needs at least a header line.".to_owned(),
        ),
        Error::NotCsv(detail) => (422, "not_csv", "The file is not CSV text", detail.clone()),
        Error::UploadStopped(id) => (
            409,
            "invalid_state",
            "The task was stopped",
            format!("The task {id} was stopped during its upload; nothing of the file is kept."),
        ),
        Error::UploadCut(detail) => (
            400,
            "upload_cut",
            "Upload interrupted",
            format!("{detail} Nothing of the file is kept; send it again."),
        ),
        Error::UploadIdle { timeout } => (
            408,
            "upload_timeout",
            "Upload timed out",
            format!(
                "No byte arrived for {} s; the setting is `upload_idle_timeout`. Nothing of the \
                 body is kept; send it again.",
                timeout.as_secs_f64()
            ),
        ),
        Error::UploadLost => (
            503,
            "upload_lost",
            "Upload lost",
            "The server was interrupted for so long that it gave up the upload. Nothing of the \
             file is kept; send it again."
                .to_owned(),
        ),
        Error::UploadNotFound => (
            404,
            "upload_not_found",
            "No such upload",
            "There is no upload with this id. It may have expired or been terminated, or its task \
             was stopped; start a new one."
                .to_owned(),
        ),
        Error::UploadRemoved(id) => (
            410,
            "upload_stopped",
            "The upload was stopped",
            format!("The task {id} was stopped during its upload; nothing of the file is kept."),
        ),
        Error::OffsetMismatch { offset } => (
            409,
            "offset_mismatch",
            "The offset does not match",
            format!("{offset} bytes are stored; continue at Upload-Offset {offset}."),
        ),
        Error::BeyondEnd { size } => (
            413,
            "beyond_end",
            "More bytes than the file has",
            format!("The file has {size} bytes, and the request goes beyond its end."),
        ),
        Error::UploadIsFinal => (
            403,
            "upload_is_final",
            "The upload is made of parts",
            "A final upload consists of its partial uploads; no bytes can be appended.".to_owned(),
        ),
        Error::InvalidPart { id, reason } => (
            400,
            "invalid_part",
            "A partial upload cannot be used",
            format!("The partial upload {id} {reason}."),
        ),
        Error::ChecksumMismatch => (
            460,
            "checksum_mismatch",
            "Checksum mismatch",
            "The bytes do not match Upload-Checksum, and none of them is kept. Send them again."
                .to_owned(),
        ),
        Error::UploadInterrupted { offset, why } => {
            let (status, reason) = match why {
                Interruption::Cut => (409, "The connection broke".to_owned()),
                Interruption::Idle(timeout) => (
                    409,
                    format!(
                        "No byte arrived for {} s (`upload_idle_timeout`)",
                        timeout.as_secs_f64()
                    ),
                ),
                Interruption::Replaced => (423, "Another request continues the upload".to_owned()),
                Interruption::Shutdown => (503, "The server shuts down".to_owned()),
            };
            let detail = format!("{reason}. {offset} bytes are stored; continue there.");
            (status, "upload_interrupted", "Upload interrupted", detail)
        }
        Error::UnsupportedTusVersion { given } => (
            412,
            "unsupported_version",
            "Unsupported upload protocol",
            format!(
                "The request names {}; send `Tus-Resumable: 1.0.0`.",
                match given.as_str() {
                    "" => "no version of the tus protocol".to_owned(),
                    given => format!("version `{given}`"),
                }
            ),
        ),
        Error::EncodedBody { given } => (
            415,
            "unsupported_content_encoding",
            "Unsupported Content-Encoding",
            format!(
                "The Content-Encoding is `{given}`, and bodies are not decoded here. Send JSON \
                 and forms uncompressed, and a compressed file as it is, without this header."
            ),
        ),
        Error::PartlyStored { inserted, in_doubt: 0 } => (
            503,
            "partly_stored",
            "Only a part was stored",
            format!(
                "The database or the connection failed. The first {inserted} valid documents \
                 are stored; send the others again."
            ),
        ),
        Error::PartlyStored { inserted, in_doubt } => (
            503,
            "partly_stored",
            "Only a part was stored",
            format!(
                "The connection to the database broke during a commit. The first {inserted} \
                 valid documents are stored, the next {in_doubt} may be stored, and those \
                 after them are not. See GET /v1/messages before you send the others again."
            ),
        ),
        Error::OutcomeUnknown => (
            503,
            "outcome_unknown",
            "Outcome unknown",
            "The connection to the database broke during a commit, so the request may \
             have been executed completely or in part. Check, or repeat it with the same \
             Idempotency-Key; without one it may be executed twice."
                .to_owned(),
        ),
        Error::StorageFull => (
            507,
            "storage_full",
            "The storage is full",
            "The disk of the storage has no space left. Make space: delete tasks that are no \
             longer needed, shorten `keep_files`, or enlarge the disk. Then send the file again; a \
             resumable upload continues where it stopped."
                .to_owned(),
        ),
        Error::DatabaseFull => (
            507,
            "database_full",
            "The database is full",
            "The disk of the database has no space left; nothing was changed. Make space: delete \
             tasks that are no longer needed, shorten `keep_tasks`, or enlarge the disk. Then send \
             the request again."
                .to_owned(),
        ),
        Error::StorageUnavailable => (
            503,
            "storage_unavailable",
            "The storage is temporarily unavailable",
            "The file storage is temporarily unavailable; nothing was changed. Try again.".to_owned(),
        ),
        Error::DatabaseUnavailable => (
            503,
            "database_unavailable",
            "The database is temporarily unavailable",
            "The database is temporarily unavailable; nothing was changed. Try again.".to_owned(),
        ),
        Error::Overloaded => (
            503,
            "overloaded",
            "The server is overloaded",
            "The server has more requests than it can serve; nothing was changed. Try again."
                .to_owned(),
        ),
        Error::RequestTimeout => (
            408,
            "request_timeout",
            "The body did not arrive in time",
            "The body stalled for too long; nothing was changed. Send it again."
                .to_owned(),
        ),
        Error::Internal => (
            500,
            "internal",
            "Internal server error",
            "The log has the details under this request's id (`x-request-id`).".to_owned(),
        ),
    };
    Problem::new(status, code, title, detail)
}

/// The additional header of an error.
fn header(error: &Error) -> Option<(HeaderName, HeaderValue)> {
    match error {
        Error::TokenMissing | Error::InvalidToken(_) | Error::InvalidCredentials => {
            Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
        }
        Error::NotReady { .. }
        | Error::RequestInProgress
        | Error::UploadLost
        | Error::OutcomeUnknown
        | Error::StorageUnavailable
        | Error::DatabaseUnavailable
        | Error::Overloaded => {
            Some((header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER.as_secs())))
        }
        Error::TooManyAttempts { wait } => {
            Some((header::RETRY_AFTER, HeaderValue::from(seconds(*wait))))
        }
        Error::OffsetMismatch { offset } | Error::UploadInterrupted { offset, .. } => {
            Some((UPLOAD_OFFSET, HeaderValue::from(*offset)))
        }
        Error::UnsupportedTusVersion { .. } => Some((TUS_VERSION, HeaderValue::from_static(TUS))),
        Error::UploadIdle { .. } => Some((header::CONNECTION, HeaderValue::from_static("close"))),
        Error::EncodedBody { .. } => {
            Some((header::ACCEPT_ENCODING, HeaderValue::from_static("identity")))
        }
        Error::RangeNotSatisfiable { size } => HeaderValue::try_from(format!("bytes */{size}"))
            .ok()
            .map(|value| (header::CONTENT_RANGE, value)),
        _ => None,
    }
}

/// Whole seconds, at least one.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs_f64().ceil().max(1.0) as u64
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let header = header(&self);
        let mut response = problem_response(problem(&self));
        response.headers_mut().extend(header);
        response
    }
}

/// A response that `middleware::problems` completes with the request's path.
pub fn problem_response(problem: Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = status.into_response();
    response.extensions_mut().insert(problem);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DbError;

    #[test]
    fn an_unknown_outcome_is_reported_as_unknown() {
        let in_doubt = Error::from(DbError::CommitInDoubt("lost connection".to_owned()));
        let partly = Error::PartlyStored { inserted: 1_000, in_doubt: 500 };
        for (error, code) in [(in_doubt, "outcome_unknown"), (partly, "partly_stored")] {
            let problem = problem(&error);
            assert_eq!((problem.status, problem.code.as_str()), (503, code));
            assert!(problem.detail.contains("may "), "{}", problem.detail);
            assert!(!problem.detail.contains("nothing was changed"), "{}", problem.detail);
        }
        let unavailable = Error::from(DbError::Unavailable("no connection".to_owned()));
        let known = problem(&unavailable);
        assert_eq!(known.code, "database_unavailable");
        assert!(known.detail.contains("nothing was changed"), "{}", known.detail);
    }
}
