//! `/v1/sessions`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::accounts::sessions::tokens::Tokens;
use crate::accounts::sessions::{self, NewSession};
use crate::accounts::users::Users;
use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::TooManyTries;
use crate::api::request::address::ClientAddress;
use crate::api::request::body::JsonBody;
use crate::api::request::detached::run_detached;
use crate::api::routes::users::Credentials;
use crate::db::Database;
use crate::error::Error;

/// Logs in: exchanges a name and a password for a token.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "users",
    request_body(content = Credentials, content_type = "application/json"),
    responses(
        (status = 201, description = "A token, to be sent as `Authorization: Bearer TOKEN`", body = NewSession),
        (status = 401, description = "The user does not exist, or the password is wrong"),
        TooManyTries,
    )
)]
pub async fn log_in(
    State(users): State<Users>,
    State(tokens): State<Tokens>,
    ClientAddress(address): ClientAddress,
    JsonBody(credentials): JsonBody<Credentials>,
) -> Result<(StatusCode, Json<NewSession>), Error> {
    let Credentials { username, password } = credentials;
    let session = sessions::log_in(&users, &tokens, &username, password, address).await?;
    Ok((StatusCode::CREATED, Json(session)))
}

/// Logs out: the token of this request is revoked.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "users",
    responses(
        (status = 204, description = "The token is revoked"),
        (status = 409, description = "No session to end: no token was sent, and none is required here"),
    )
)]
pub async fn log_out(State(db): State<Database>, user: CurrentUser) -> Result<StatusCode, Error> {
    let session = user.session.ok_or(Error::NoSession)?;
    let revoking = async move { sessions::log_out(&db, user.id, session).await };
    run_detached("a logout", revoking).await?;
    Ok(StatusCode::NO_CONTENT)
}
