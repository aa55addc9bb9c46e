//! `/v1/audit`.

use axum::Json;
use axum::extract::State;
use common::task::UserId;
use uuid::Uuid;

use crate::accounts::{LOCAL_NAME, LOCAL_USER};
use crate::api::middleware::access::Administrator;
use crate::api::openapi::shared::{AdministratorsOnly, InvalidParameters, PageQuery, PeriodQuery};
use crate::api::request::parameters::Parameters;
use crate::api::request::query::Query;
use crate::audit::{self, Action, AuditList, Filter};
use crate::db::Database;
use crate::error::Error;

/// Lists who did what, newest first: logins, interrupts, deletions, changes of users, API keys and
/// schedules.
///
/// Entries appear shortly after what they name, and are kept for 90 days. `from` and `to` limit
/// their time.
#[utoipa::path(
    get, path = "/v1/audit", tag = "users",
    params(
        ("user_id" = Option<Uuid>, Query, description = "Only what this user did"),
        ("action" = Option<Vec<Action>>, Query, description = "Only this action; repeats"),
        PeriodQuery,
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of entries", body = AuditList),
        AdministratorsOnly,
        InvalidParameters,
    )
)]
pub async fn list_audit(
    State(db): State<Database>,
    _: Administrator,
    parameters: Parameters,
) -> Result<Json<AuditList>, Error> {
    let mut query = Query::of(parameters);
    let user = query.read("user_id", |text| {
        Uuid::try_parse(text).map(UserId).map_err(|_| format!("`{text}` is not a user's id"))
    });
    let actions = query.read_all("action", |text| text.parse());
    let period = query.period();
    let (before, page_size) = (query.cursor(), query.page_size());
    query.finish()?;
    let filter = Filter { period, user, actions, before };
    let mut list = audit::list(&db, filter, page_size).await?;
    for entry in list.items.iter_mut().filter(|entry| entry.user_id == Some(LOCAL_USER.0)) {
        entry.username = Some(LOCAL_NAME.to_owned());
    }
    Ok(Json(list))
}
