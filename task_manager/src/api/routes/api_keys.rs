//! `/v1/users/me/keys`, and `/v1/users/{user_id}/keys` for administrators.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::accounts::api_keys::scopes::Scope;
use crate::accounts::api_keys::{self, CreatedKey, Expiry, KeyList, NewKey};
use crate::api::middleware::access::{Administrator, CurrentUser};
use crate::api::openapi::shared::{AdministratorsOnly, InvalidParameters, NoSuchUser};
use crate::api::request::body::JsonBody;
use crate::api::request::detached::run_detached;
use crate::api::request::path::{KeyPath, UserKeyPath, UserPath};
use crate::audit::Audit;
use crate::db::Database;
use crate::error::Error;

/// No cache keeps a key.
const NO_STORE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "no-store")];

/// A key to make. Unknown fields are refused, so that a mistyped expiry makes no lasting key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Its name, which no other key of the caller has.
    #[schema(example = "nightly export", min_length = 1, max_length = 100)]
    name: String,
    /// What it permits. `read` is always included; `admin` gives what `read` and `write` permit the
    /// rights of an administrator.
    #[schema(min_items = 1)]
    scopes: Vec<Scope>,
    /// In how many seconds it expires.
    #[schema(minimum = 1, example = 2_592_000)]
    expires_in: Option<u64>,
    /// When it expires, in place of `expires_in`. It never does without either.
    expires_at: Option<DateTime<Utc>>,
}

/// Makes an API key for a program, which sends it as `Authorization: Bearer KEY`.
///
/// The response has the key, which is not stored and cannot be shown again. The key permits what its
/// scopes name, and never more than its owner may at the time of a request. It cannot change users,
/// passwords, sessions or keys.
#[utoipa::path(
    post, path = "/v1/users/me/keys", tag = "users",
    request_body = NewApiKey,
    responses(
        (status = 201, description = "The key, which is shown once", body = CreatedKey),
        (status = 409, description = "The caller has a key of this name or too many keys, or no token was sent, and none is required here"),
        InvalidParameters,
    )
)]
pub async fn create_key(
    State(db): State<Database>,
    State(audit): State<Audit>,
    user: CurrentUser,
    JsonBody(new): JsonBody<NewApiKey>,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<CreatedKey>), Error> {
    user.session.ok_or(Error::NoSession)?;
    let expiry = Expiry { seconds: new.expires_in, at: new.expires_at };
    let new = NewKey::parse(&new.name, &new.scopes, expiry)?;
    let creating = async move { api_keys::create(&db, &audit, user.actor(), new).await };
    let created = run_detached("a new API key", creating).await?;
    Ok((StatusCode::CREATED, NO_STORE, Json(created)))
}

/// Lists the API keys of the caller, newest first, with those that have expired.
#[utoipa::path(
    get, path = "/v1/users/me/keys", tag = "users",
    responses((status = 200, description = "The keys", body = KeyList))
)]
pub async fn list_keys(
    State(db): State<Database>,
    user: CurrentUser,
) -> Result<Json<KeyList>, Error> {
    Ok(Json(api_keys::list(&db, user.id).await?))
}

/// Revokes an API key of the caller: every task manager refuses it immediately.
#[utoipa::path(
    delete, path = "/v1/users/me/keys/{id}", tag = "users",
    params(KeyPath),
    responses(
        (status = 204, description = "The key is revoked"),
        (status = 404, description = "The caller has no such key"),
    )
)]
pub async fn revoke_key(
    State(db): State<Database>,
    State(audit): State<Audit>,
    user: CurrentUser,
    KeyPath(id): KeyPath,
) -> Result<StatusCode, Error> {
    let revoking = async move { api_keys::revoke(&db, &audit, user.actor(), user.id, id).await };
    run_detached("a revocation of an API key", revoking).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the API keys of a user, newest first.
#[utoipa::path(
    get, path = "/v1/users/{user_id}/keys", tag = "users",
    params(UserPath),
    responses(
        (status = 200, description = "The keys", body = KeyList),
        AdministratorsOnly,
        NoSuchUser,
    )
)]
pub async fn list_keys_of_user(
    State(db): State<Database>,
    _: Administrator,
    UserPath(id): UserPath,
) -> Result<Json<KeyList>, Error> {
    Ok(Json(api_keys::list_of_other(&db, id).await?))
}

/// Revokes an API key of a user: every task manager refuses it immediately.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}/keys/{id}", tag = "users",
    params(UserKeyPath),
    responses(
        (status = 204, description = "The key is revoked"),
        AdministratorsOnly,
        (status = 404, description = "The user has no such key"),
    )
)]
pub async fn revoke_key_of_user(
    State(db): State<Database>,
    State(audit): State<Audit>,
    user: CurrentUser,
    _: Administrator,
    UserKeyPath(owner, id): UserKeyPath,
) -> Result<StatusCode, Error> {
    let revoking = async move { api_keys::revoke(&db, &audit, user.actor(), owner, id).await };
    run_detached("a revocation of an API key", revoking).await?;
    Ok(StatusCode::NO_CONTENT)
}
