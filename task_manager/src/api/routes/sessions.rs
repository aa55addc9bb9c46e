//! `/v1/sessions`.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::sessions::tokens::Tokens;
use crate::accounts::sessions::{self, Client, SessionList};
use crate::accounts::users::Users;
use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{InvalidParameters, PageQuery, TooManyTries};
use crate::api::request::address::{ClientAddress, ClientTls};
use crate::api::request::body::JsonBody;
use crate::api::request::detached::run_detached;
use crate::api::request::parameters::Parameters;
use crate::api::request::path::SessionPath;
use crate::api::request::query::Query;
use crate::api::session_cookie;
use crate::audit::Audit;
use crate::db::Database;
use crate::error::Error;

/// How much of a program's name is stored, in characters.
const LONGEST_USER_AGENT: usize = 255;

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
        (status = 403, description = "The password is right, but the user is disabled"),
        TooManyTries,
    )
)]
pub async fn log_in(
    State(users): State<Users>,
    State(tokens): State<Tokens>,
    ClientAddress(address): ClientAddress,
    ClientTls(is_tls): ClientTls,
    headers: HeaderMap,
    JsonBody(request): JsonBody<LoginRequest>,
) -> Result<Response, Error> {
    let LoginRequest { username, password, cookie } = request;
    let client = Client { address, user_agent: user_agent(&headers) };
    let logging_in =
        async move { sessions::log_in(&users, &tokens, &username, password, client).await };
    let (token, session) = run_detached("a login", logging_in).await?;
    let expires_at = session.expires_at;
    if cookie {
        let header = session_cookie::set(&token, expires_at, is_tls)?;
        let body = Json(NewSession { token: None, expires_at });
        return Ok((StatusCode::CREATED, [header], body).into_response());
    }
    let body = Json(NewSession { token: Some(token), expires_at });
    Ok((StatusCode::CREATED, body).into_response())
}

/// The program of a client as it names itself, as far as it is stored.
fn user_agent(headers: &HeaderMap) -> Option<String> {
    let name = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(name.chars().take(LONGEST_USER_AGENT).collect())
}

/// Lists the sessions of the caller that have not ended, newest first.
///
/// Sessions of a version that listed none are missing.
#[utoipa::path(
    get, path = "/v1/sessions", tag = "users",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of sessions", body = SessionList),
        InvalidParameters,
    )
)]
pub async fn list_sessions(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<SessionList>, Error> {
    let mut query = Query::of(parameters);
    let (before, page_size) = (query.cursor(), query.page_size());
    query.finish()?;
    Ok(Json(sessions::list(&db, user.id, user.session, before, page_size).await?))
}

/// Ends a session of the caller: its token is revoked.
#[utoipa::path(
    delete, path = "/v1/sessions/{id}", tag = "users",
    params(SessionPath),
    responses(
        (status = 204, description = "The session has ended"),
        (status = 404, description = "The caller has no such session"),
    )
)]
pub async fn end_session(
    State(db): State<Database>,
    State(audit): State<Audit>,
    ClientTls(is_tls): ClientTls,
    user: CurrentUser,
    SessionPath(id): SessionPath,
) -> Result<Response, Error> {
    let ending = async move { sessions::end(&db, &audit, user.actor(), id).await };
    run_detached("the end of a session", ending).await?;
    match user.session.is_some_and(|session| session.id == id) {
        true => ended(user, is_tls),
        false => Ok(StatusCode::NO_CONTENT.into_response()),
    }
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
    State(audit): State<Audit>,
    ClientTls(is_tls): ClientTls,
    user: CurrentUser,
) -> Result<Response, Error> {
    let session = user.session.ok_or(Error::NoSession)?;
    let revoking = async move { sessions::log_out(&db, &audit, user.actor(), session).await };
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
