//! Parameters and answers that several operations of the OpenAPI document share.

use common::problem::Problem;
use utoipa::{IntoParams, IntoResponses};

/// Selects a page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct PageQuery {
    /// Items per page: 50 if absent, lowered to 10,000
    page_size: Option<u64>,
    /// `next_page_token` of the previous page
    page_token: Option<String>,
}

/// Limits a list or report to a period.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct PeriodQuery {
    /// At or after this time (RFC 3339) or day (UTC)
    from: Option<String>,
    /// Before this time (RFC 3339) or day (UTC)
    to: Option<String>,
}

/// Makes a request repeatable.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes parameters in the OpenAPI document")]
pub struct IdempotencyKey {
    /// The same request (body, or file, name and parameters) with the same key gets the same answer
    /// for 24 hours
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// The task does not exist
#[derive(IntoResponses)]
#[response(
    status = 404,
    description = "The task does not exist",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct NoSuchTask(Problem);

/// A parameter is invalid
#[derive(IntoResponses)]
#[response(
    status = 422,
    description = "A parameter is invalid",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct InvalidParameters(Problem);

/// A request with the same key is in progress
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "A request with the same key is in progress",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct RequestInProgress(Problem);

/// The body's type is not supported
#[derive(IntoResponses)]
#[response(
    status = 415,
    description = "The body's type is not supported",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct UnsupportedBody(Problem);

/// The task's state does not allow it
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "The task's state does not allow it",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct WrongState(Problem);

/// The task is in a state that only another version of the server knows (`unreadable_task`)
#[derive(IntoResponses)]
#[response(
    status = 409,
    description = "The task is in a state that only another version of the server knows (`unreadable_task`)",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct ForeignState(Problem);

/// The schedule does not exist
#[derive(IntoResponses)]
#[response(
    status = 404,
    description = "The schedule does not exist",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct NoSuchSchedule(Problem);

/// Only an administrator may do this
#[derive(IntoResponses)]
#[response(
    status = 403,
    description = "Only an administrator may do this",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct AdministratorsOnly(Problem);

/// The body is not JSON of this shape
#[derive(IntoResponses)]
#[response(
    status = 400,
    description = "The body is not JSON of this shape",
    content_type = "application/problem+json"
)]
#[expect(dead_code, reason = "describes a response in the OpenAPI document")]
pub struct UnreadableJson(Problem);
