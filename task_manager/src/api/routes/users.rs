//! `/v1/users`: signing up, and the user of the request.
//!
//! # Not here
//! Users as administrators see them (`administration`).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accounts::api_keys::ApiKeyUse;
use crate::accounts::api_keys::scopes::Scope;
use crate::accounts::password_changes;
use crate::accounts::sessions::SessionView;
use crate::accounts::sessions::tokens::Tokens;
use crate::accounts::users::credentials::{NewUser, PasswordLength};
use crate::accounts::users::{Role, UserView, Users, name_of};
use crate::api::middleware::access::{Authenticator, CurrentUser};
use crate::api::openapi::shared::{IdempotencyKey, TooManyTries};
use crate::api::request::address::ClientAddress;
use crate::api::request::body::{Content, JsonBody, read_json};
use crate::api::request::detached::run_detached;
use crate::api::request::idempotency;
use crate::db::Database;
use crate::error::Error;

/// A name and a password.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Credentials {
    /// 5 to 15 letters and digits, unique regardless of case.
    #[schema(example = "alice42", min_length = 5, max_length = 15, pattern = "^[A-Za-z0-9]+$")]
    pub username: String,
    /// 6 to 12 characters unless the server is configured otherwise.
    #[schema(value_type = String, format = Password, example = "Pa55word!")]
    pub password: SecretString,
}

/// Signs a user up. Log in with `POST /v1/sessions` afterwards.
#[utoipa::path(
    post, path = "/v1/users", tag = "users",
    params(IdempotencyKey),
    request_body(content = Credentials, content_type = "application/json"),
    responses(
        (status = 201, description = "The user is signed up", body = UserView),
        (status = 409, description = "The name is taken, or a request with the same key is in progress"),
        (status = 422, description = "The name or password is invalid, or the key was used for another body"),
        TooManyTries,
    )
)]
pub async fn sign_up(
    State(users): State<Users>,
    State(tokens): State<Tokens>,
    State(length): State<PasswordLength>,
    ClientAddress(address): ClientAddress,
    parts: Parts,
    Content(content): Content,
) -> Result<(StatusCode, Json<UserView>), Error> {
    let Credentials { username, password } = read_json(&parts.headers, &content)?;
    let user = NewUser::parse(&username, password, length).map_err(Error::InvalidParameters)?;
    // There is no session yet, so the key is scoped to the name. The body contains a password, so
    // its hash is keyed with the server's secret.
    let request_key =
        idempotency::key(&parts, user.name.key())?.map(|key| (key, tokens.fingerprint(&content)));
    let signing_up = async move { users.sign_up(user, request_key, address).await };
    Ok((StatusCode::CREATED, Json(run_detached("a sign-up", signing_up).await?)))
}

/// The user of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct CurrentUserView {
    /// The owner of everything that the user makes.
    #[schema(example = "0199aa3e-7c1f-7d05-9c4e-5b1f3d8f2a10")]
    user_id: Uuid,
    /// The name as it was given; `local` for requests without a token.
    #[schema(example = "alice42")]
    username: String,
    /// What the user may do.
    role: Role,
    /// Whether the server refuses requests without a token.
    login_required: bool,
    /// The session of the token; `null` without a token.
    session: Option<SessionView>,
    /// The API key of the request; `null` if none was sent.
    api_key: Option<CurrentKey>,
}

/// The API key of a request.
#[derive(Debug, Serialize, ToSchema)]
pub struct CurrentKey {
    /// Its id.
    key_id: Uuid,
    /// What it permits, as far as its owner may do it.
    scopes: Vec<Scope>,
    /// When it expires, UTC; `null` if never.
    expires_at: Option<DateTime<Utc>>,
}

impl From<ApiKeyUse> for CurrentKey {
    fn from(ApiKeyUse { id, scopes, expires_at, .. }: ApiKeyUse) -> Self {
        Self { key_id: id, scopes: scopes.list(), expires_at }
    }
}

/// Shows the user of the request.
#[utoipa::path(
    get, path = "/v1/users/me", tag = "users",
    responses((status = 200, description = "The user", body = CurrentUserView))
)]
pub async fn show_current_user(
    State(db): State<Database>,
    State(authenticator): State<Authenticator>,
    user: CurrentUser,
) -> Result<Json<CurrentUserView>, Error> {
    Ok(Json(CurrentUserView {
        user_id: user.id.0,
        username: name_of(&db, user.id).await?,
        role: user.role(),
        login_required: authenticator.login_required,
        session: user.session.map(SessionView::from),
        api_key: user.key.map(CurrentKey::from),
    }))
}

/// A change of the caller's password.
#[derive(Debug, Deserialize, ToSchema)]
pub struct PasswordChange {
    /// The present password.
    #[schema(value_type = String, format = Password, example = "Pa55word!")]
    current_password: SecretString,
    /// 6 to 12 characters unless the server is configured otherwise.
    #[schema(value_type = String, format = Password, example = "N3wword!")]
    new_password: SecretString,
}

/// Changes the caller's password, and ends all other sessions of the caller.
#[utoipa::path(
    put, path = "/v1/users/me/password", tag = "users",
    request_body(content = PasswordChange, content_type = "application/json"),
    responses(
        (status = 204, description = "The password is changed"),
        (status = 409, description = "No token was sent, and none is required here"),
        (status = 422, description = "The current password is wrong, or the new one is invalid"),
        TooManyTries,
    )
)]
pub async fn change_password(
    State(users): State<Users>,
    State(length): State<PasswordLength>,
    user: CurrentUser,
    JsonBody(change): JsonBody<PasswordChange>,
) -> Result<StatusCode, Error> {
    let session = user.session.ok_or(Error::NoSession)?;
    let PasswordChange { current_password, new_password } = change;
    if let Some(error) = length.check("new_password", &new_password) {
        return Err(Error::InvalidParameters(vec![error]));
    }
    let changing = async move {
        let (present, new) = (current_password, new_password);
        password_changes::change_own(&users, user.actor(), session, present, new).await
    };
    run_detached("a change of a password", changing).await?;
    Ok(StatusCode::NO_CONTENT)
}
