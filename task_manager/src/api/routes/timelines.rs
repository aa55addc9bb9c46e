//! `/v1/tasks/{id}/timeline`.

use axum::Json;
use axum::extract::State;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{ForeignState, NoSuchTask};
use crate::api::request::path::TaskPath;
use crate::db::{Database, DbConnection};
use crate::error::Error;
use crate::tasks::store;
use crate::views::timeline::{Timeline, timeline};

/// Shows the phases of a task: its upload, waits in the queue, attempts and rollback.
///
/// Attempts are removed together with the task's files.
#[utoipa::path(
    get, path = "/v1/tasks/{id}/timeline", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 200, description = "The phases, in order", body = Timeline),
        NoSuchTask,
        ForeignState,
    )
)]
pub async fn show_timeline(
    State(db): State<Database>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
) -> Result<Json<Timeline>, Error> {
    let owner = user.owner_of(&db, id).await?;
    let read = move |conn: &mut DbConnection| {
        let found = store::find_owned(conn, owner, id)?;
        found.map(|task| timeline(conn, &task)).transpose()
    };
    db.read(read).await?.map(Json).ok_or(Error::TaskNotFound)
}
