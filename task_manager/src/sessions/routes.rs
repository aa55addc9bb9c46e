//! `/v1/sessions`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::problem::Problem;

use super::NewSession;
use super::tokens::Tokens;
use crate::db::Database;
use crate::error::ApiError;
use crate::http::access::CurrentUser;
use crate::http::address::ClientAddress;
use crate::http::body::JsonBody;
use crate::http::detached::to_the_end;
use crate::users::Users;
use crate::users::routes::Credentials;

/// Logs in: a name and a password for a token.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "users",
    request_body(content = Credentials, content_type = "application/json"),
    responses(
        (status = 201, description = "A token, to be sent as `Authorization: Bearer TOKEN`", body = NewSession),
        (status = 400, description = "The body cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "There is no such user, or the password is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many tries; `Retry-After` says when to come back", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn log_in(
    State(users): State<Users>,
    State(tokens): State<Tokens>,
    ClientAddress(address): ClientAddress,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<(StatusCode, Json<NewSession>), ApiError> {
    let Credentials { username, password } = credentials;
    let session = super::log_in(&users, &tokens, &username, password, address).await?;
    Ok((StatusCode::CREATED, Json(session)))
}

/// Logs out: the token of this request holds no more.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "users",
    responses(
        (status = 204, description = "The token holds no more"),
        (status = 409, description = "There is no session: no token was sent, and none is needed here", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn log_out(
    State(db): State<Database>,
    user: CurrentUser,
) -> Result<StatusCode, ApiError> {
    let session = user.session.ok_or(ApiError::NoSession)?;
    let revoking = async move { super::log_out(&db, user.id, session).await };
    to_the_end("a logout", revoking).await?;
    Ok(StatusCode::NO_CONTENT)
}
