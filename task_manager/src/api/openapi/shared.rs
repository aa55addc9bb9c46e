//! Parameters and answers that several operations of the OpenAPI document share.

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

/// Names errors that several operations return; they are problem documents.
macro_rules! errors {
    ($($(#[$description:meta])* $status:literal $name:ident;)*) => {
        $(
            $(#[$description])*
            #[derive(IntoResponses)]
            #[response(status = $status)]
            pub struct $name;
        )*
    };
}

errors! {
    /// The task does not exist
    404 NoSuchTask;

    /// A parameter is invalid
    422 InvalidParameters;

    /// The task's state does not allow it
    409 WrongState;

    /// The task is in a state that only another version of the server knows (`unreadable_task`)
    409 ForeignState;

    /// The schedule does not exist
    404 NoSuchSchedule;

    /// The user does not exist
    404 NoSuchUser;

    /// Only an administrator may do this
    403 AdministratorsOnly;

    /// Too many attempts; `Retry-After` says how long to wait
    429 TooManyTries;
}
