//! `/v1/users` for administrators.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::accounts::administration::{self, Filter, ListedUser, UserChange, UserList};
use crate::accounts::password_changes;
use crate::accounts::users::Users;
use crate::accounts::users::credentials::PasswordLength;
use crate::api::middleware::access::{Administrator, CurrentUser};
use crate::api::openapi::shared::{AdministratorsOnly, InvalidParameters, NoSuchUser, PageQuery};
use crate::api::request::body::JsonBody;
use crate::api::request::detached::run_detached;
use crate::api::request::parameters::Parameters;
use crate::api::request::path::UserPath;
use crate::api::request::query::Query;
use crate::audit::Audit;
use crate::db::Database;
use crate::error::Error;

/// Lists all users, newest first, with what they store.
#[utoipa::path(
    get, path = "/v1/users", tag = "users",
    params(
        ("text" = Option<String>, Query, description = "Only users whose name contains this text, in any case"),
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of users", body = UserList),
        AdministratorsOnly,
        InvalidParameters,
    )
)]
pub async fn list_users(
    State(db): State<Database>,
    _: Administrator,
    parameters: Parameters,
) -> Result<Json<UserList>, Error> {
    let mut query = Query::of(parameters);
    let text = query.read("text", |text| Ok(text.to_owned()));
    let (before, page_size) = (query.cursor(), query.page_size());
    query.finish()?;
    Ok(Json(administration::list(&db, Filter { text, before }, page_size).await?))
}

/// Changes the role of a user, or locks a user out.
///
/// A disabled user is refused immediately, and has no sessions afterwards. A `viewer` may look at
/// the viewer's own tasks and change nothing.
#[utoipa::path(
    patch, path = "/v1/users/{user_id}", tag = "users",
    params(UserPath),
    request_body = UserChange,
    responses(
        (status = 200, description = "The user is changed", body = ListedUser),
        AdministratorsOnly,
        NoSuchUser,
        (status = 409, description = "Administrators cannot change themselves"),
    )
)]
pub async fn change_user(
    State(db): State<Database>,
    State(audit): State<Audit>,
    user: CurrentUser,
    _: Administrator,
    UserPath(id): UserPath,
    JsonBody(change): JsonBody<UserChange>,
) -> Result<Json<ListedUser>, Error> {
    let changing =
        async move { administration::change(&db, &audit, user.actor(), id, change).await };
    Ok(Json(run_detached("a change of a user", changing).await?))
}

/// A new password of a user.
#[derive(Debug, Deserialize, ToSchema)]
pub struct NewPassword {
    /// 6 to 12 characters unless the server is configured otherwise.
    #[schema(value_type = String, format = Password, example = "N3wword!")]
    new_password: SecretString,
}

/// Sets the password of a user, and ends all sessions of that user.
#[utoipa::path(
    put, path = "/v1/users/{user_id}/password", tag = "users",
    params(UserPath),
    request_body(content = NewPassword, content_type = "application/json"),
    responses(
        (status = 204, description = "The password is set"),
        AdministratorsOnly,
        NoSuchUser,
        InvalidParameters,
    )
)]
pub async fn reset_password(
    State(users): State<Users>,
    State(length): State<PasswordLength>,
    user: CurrentUser,
    _: Administrator,
    UserPath(id): UserPath,
    JsonBody(NewPassword { new_password }): JsonBody<NewPassword>,
) -> Result<StatusCode, Error> {
    if let Some(error) = length.check("new_password", &new_password) {
        return Err(Error::InvalidParameters(vec![error]));
    }
    let resetting =
        async move { password_changes::reset(&users, user.actor(), id, new_password).await };
    run_detached("a reset of a password", resetting).await?;
    Ok(StatusCode::NO_CONTENT)
}
