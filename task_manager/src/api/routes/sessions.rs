//! `/v1/sessions`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::sessions;
use crate::accounts::sessions::tokens::Tokens;
use crate::accounts::users::Users;
use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::TooManyTries;
use crate::api::request::address::{ClientAddress, ClientTls};
use crate::api::request::body::JsonBody;
use crate::api::request::detached::run_detached;
use crate::api::session_cookie;
use crate::db::Database;
use crate::error::Error;

/// A login.
#[derive(Debug, Deserialize, ToSchema)]
pub struct LoginRequest {
    /// The name, in any case.
    #[schema(example = "alice42", min_length = 5, max_length = 15, pattern = "^[A-Za-z0-9]+$")]
    username: String,
    /// The password.
    #[schema(value_type = String, format = Password, example = "Pa55word!")]
    password: SecretString,
    /// Whether to store the token in a cookie that scripts cannot read, instead of returning it; for
    /// pages of this server.
    #[serde(default)]
    cookie: bool,
}

/// A token and its expiry.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewSession {
    /// To be sent as `Authorization: Bearer TOKEN`; `null` if it is in the cookie.
    #[schema(
        example = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJIUzI1NiIsImtpZCI6Ii4uLiJ9.eyJpc3MiOiIuLi4ifQ.c2lnbmF0dXJl"
    )]
    token: Option<String>,
    /// When it expires, UTC.
    expires_at: DateTime<Utc>,
}

/// Logs in: exchanges a name and a password for a token.
///
/// With `cookie`, the token is in a cookie: `session`, or behind TLS `__Host-session`. Requests with
/// the cookie that change something are accepted from pages of this server only: browsers name the
/// page's origin in `Origin`. `Authorization` takes precedence over the cookie.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "users",
    request_body(content = LoginRequest, content_type = "application/json"),
    responses(
        (status = 201, description = "A token, to be sent as `Authorization: Bearer TOKEN`", body = NewSession,
            headers(("Set-Cookie" = String, description = "The token, with `cookie`"))),
        (status = 401, description = "The user does not exist, or the password is wrong"),
        TooManyTries,
    )
)]
pub async fn log_in(
    State(users): State<Users>,
    State(tokens): State<Tokens>,
    ClientAddress(address): ClientAddress,
    ClientTls(is_tls): ClientTls,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, Error> {
    let LoginRequest { username, password, cookie } = request;
    let (token, session) = sessions::log_in(&users, &tokens, &username, password, address).await?;
    let expires_at = session.expires_at;
    if cookie {
        let header = session_cookie::set(&token, expires_at, is_tls)?;
        let body = Json(NewSession { token: None, expires_at });
        return Ok((StatusCode::CREATED, [header], body).into_response());
    }
    let body = Json(NewSession { token: Some(token), expires_at });
    Ok((StatusCode::CREATED, body).into_response())
}

/// Logs out: the token of this request is revoked.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "users",
    responses(
        (status = 204, description = "The token is revoked",
            headers(("Set-Cookie" = String, description = "Removes the cookie, if the token came in it"))),
        (status = 409, description = "No session to end: no token was sent, and none is required here"),
    )
)]
pub async fn log_out(
    State(db): State<Database>,
    ClientTls(is_tls): ClientTls,
    user: CurrentUser,
) -> Result<Response, Error> {
    let session = user.session.ok_or(Error::NoSession)?;
    let revoking = async move { sessions::log_out(&db, user.id, session).await };
    run_detached("a logout", revoking).await?;
    ended(user, is_tls)
}

/// The answer to the end of the session of the request.
fn ended(user: CurrentUser, is_tls: bool) -> Result<Response, Error> {
    if user.is_by_cookie {
        return Ok((StatusCode::NO_CONTENT, [session_cookie::clear(is_tls)?]).into_response());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
