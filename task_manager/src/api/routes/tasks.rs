//! `/v1/tasks`: show, list, interrupt, delete.

use axum::Json;
use axum::extract::{FromRef, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use common::task::{AcceptedTask, TaskId, TaskList, TaskState, TaskView, named};

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{
    ForeignState, InvalidParameters, NoSuchTask, PageQuery, WrongState,
};
use crate::api::request::detached::run_detached;
use crate::api::request::parameters::Parameters;
use crate::api::request::path::TaskPath;
use crate::api::request::query::Query;
use crate::api::request::task_filter::{self, Scope, TaskFilterQuery, TaskScopeQuery};
use crate::audit::{Action, Audit, Entry};
use crate::db::{Database, DbConnection};
use crate::error::Error;
use crate::lifecycle::delete;
use crate::lifecycle::interrupt::{self, Interrupt, Interrupted};
use crate::lifecycle::wakeups::Wakeups;
use crate::paging::{PageSize, Position};
use crate::tasks::store::{self, Filter, Sort};
use crate::tasks::unreadable::{broken, read_settled};
use crate::views::{self, show_to_administrator, view_any, views, views_for_administrator};

/// Shows a task.
#[utoipa::path(
    get, path = "/v1/tasks/{id}", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 200, description = "The task", body = TaskView),
        NoSuchTask,
        ForeignState,
    )
)]
pub async fn show_task(
    State(db): State<Database>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
) -> Result<Json<TaskView>, Error> {
    let owner = user.owner_of(&db, id).await?;
    let read = move |conn: &mut DbConnection| {
        let found = store::find_any_owned(conn, owner, id)?;
        let broken = broken(found.as_slice());
        let mut view = found.map(|task| view_any(conn, task)).transpose()?;
        if let Some(view) = view.as_mut().filter(|_| user.is_administrator()) {
            show_to_administrator(view, views::owner(conn, owner)?, user.id);
        }
        Ok((view, broken))
    };
    let found = read_settled(&db, read).await?;
    found.map(Json).ok_or(Error::TaskNotFound)
}

/// Shows a task; the same as `/v1/tasks/{id}`.
#[utoipa::path(
    get, path = "/v1/tasks/status/{id}", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 200, description = "The task", body = TaskView),
        NoSuchTask,
        ForeignState,
    )
)]
pub async fn show_task_status(
    db: State<Database>,
    user: CurrentUser,
    path: TaskPath,
) -> Result<Json<TaskView>, Error> {
    show_task(db, user, path).await
}

/// Lists the caller's tasks, newest first.
///
/// `from` and `to` limit the time at which tasks were created. Sorted by another value, tasks
/// without it come last.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks",
    params(
        TaskFilterQuery,
        ("sort" = Option<String>, Query, description = "`-created_at` (if absent), `created_at`, `-finished_at`, `-size` or `-duration`; `-` stands for the greatest first"),
        TaskScopeQuery,
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of tasks", body = TaskList),
        (status = 403, description = "Only an administrator may request all users"),
        (status = 404, description = "The tasks are not the caller's"),
        InvalidParameters,
    )
)]
pub async fn list_tasks(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<TaskList>, Error> {
    let ListQuery { filter, scope, sort, after, page_size } = read_list(parameters)?;
    let owner = scope.owner(user)?;
    let read = move |conn: &mut DbConnection| {
        let mut listed = store::list(conn, owner, &filter, sort, after, page_size.limit())?;
        let next_page_token = page_size.cut(&mut listed).map(|(_, position)| position.to_string());
        let tasks: Vec<_> = listed.into_iter().map(|(task, _)| task).collect();
        let broken = broken(&tasks);
        let items = match user.is_administrator() {
            true => views_for_administrator(conn, user.id, tasks)?,
            false => views(conn, tasks)?,
        };
        Ok((TaskList { items, next_page_token }, broken))
    };
    Ok(Json(read_settled(&db, read).await?))
}

/// The parameters of a list.
struct ListQuery {
    filter: Filter,
    scope: Scope,
    sort: Sort,
    after: Option<Position>,
    page_size: PageSize,
}

fn read_list(parameters: Parameters) -> Result<ListQuery, Error> {
    let mut query = Query::of(parameters);
    let filter = task_filter::filter(&mut query);
    let sort =
        query.read("sort", |text| named(text, Sort::ALL, Sort::as_str).map_err(task_filter::named));
    let scope = Scope::read(&mut query);
    let sort = sort.unwrap_or_default();
    let after = query.position(|position| sort.accepts(position));
    let page_size = query.page_size();
    query.finish()?;
    Ok(ListQuery { filter, scope, sort, after, page_size })
}

/// Stops a task: it ends, and its data is rolled back.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/stop", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 202, description = "The task is being rolled back", body = TaskView),
        (status = 200, description = "The task is stopped already", body = TaskView),
        NoSuchTask,
        WrongState,
    )
)]
pub async fn stop_task(request: TaskRequest) -> Result<Response, Error> {
    request.interrupt(Interrupt::Stop).await.map(ended)
}

/// Kills a task: it ends, and its durable data is kept.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/kill", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 200, description = "The task is killed", body = TaskView),
        NoSuchTask,
        WrongState,
    )
)]
pub async fn kill_task(request: TaskRequest) -> Result<Response, Error> {
    request.interrupt(Interrupt::Kill).await.map(ended)
}

/// Resumes a killed or failed task: it is queued again and continues at its checkpoint, or from
/// the start if its kind has none. `resumed_from_row` is the first row that is read again.
#[utoipa::path(
    post, path = "/v1/tasks/{id}/resume", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 200, description = "The task is queued again", body = AcceptedTask),
        NoSuchTask,
        WrongState,
        (status = 410, description = "The task's files are gone"),
    )
)]
pub async fn resume_task(request: TaskRequest) -> Result<Json<AcceptedTask>, Error> {
    let Interrupted { task, resumes_from_row, .. } = request.interrupt(Interrupt::Resume).await?;
    Ok(Json(AcceptedTask { task, resumed: true, resumed_from_row: resumes_from_row }))
}

/// The answer to an interrupt that ends a task.
fn ended(Interrupted { task, .. }: Interrupted) -> Response {
    let status = match task.state {
        TaskState::Stopping => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    (status, Json(task)).into_response()
}

/// Deletes an ended task and all its data.
#[utoipa::path(
    delete, path = "/v1/tasks/{id}", tag = "tasks",
    params(TaskPath),
    responses(
        (status = 204, description = "The task is gone"),
        NoSuchTask,
        (status = 409, description = "The task has not ended"),
    )
)]
pub async fn delete_task(request: TaskRequest) -> Result<StatusCode, Error> {
    request.delete().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A request of a user to change a task.
pub struct TaskRequest {
    db: Database,
    wakeups: Wakeups,
    audit: Audit,
    user: CurrentUser,
    id: TaskId,
}

impl<S> FromRequestParts<S> for TaskRequest
where
    S: Send + Sync,
    Database: FromRef<S>,
    Wakeups: FromRef<S>,
    Audit: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let user = CurrentUser::from_request_parts(parts, state).await?;
        let TaskPath(id) = TaskPath::from_request_parts(parts, state).await?;
        let (db, wakeups) = (Database::from_ref(state), Wakeups::from_ref(state));
        Ok(Self { db, wakeups, audit: Audit::from_ref(state), user, id })
    }
}

impl TaskRequest {
    async fn interrupt(self, interrupt: Interrupt) -> Result<Interrupted, Error> {
        let Self { db, wakeups, audit, user, id } = self;
        let interrupting = async move {
            let owner = user.owner_of(&db, id).await?;
            let interrupted = interrupt::interrupt(&db, owner, id, interrupt).await?;
            let action = match interrupt {
                Interrupt::Stop => Action::TaskStopped,
                Interrupt::Kill => Action::TaskKilled,
                Interrupt::Resume => Action::TaskResumed,
            };
            audit.note(Entry::of(action, user.actor()).with_task(id));
            wakeups.changed(&db, (owner, id)).await;
            Ok(interrupted)
        };
        run_detached("an interrupt", interrupting).await
    }

    async fn delete(self) -> Result<(), Error> {
        let Self { db, wakeups, audit, user, id } = self;
        let deleting = async move {
            let owner = user.owner_of(&db, id).await?;
            delete::delete(&db, owner, id).await?;
            audit.note(Entry::of(Action::TaskDeleted, user.actor()).with_task(id));
            wakeups.wake();
            Ok(())
        };
        run_detached("a deletion", deleting).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invalid_list_parameter_is_named() {
        let given = [("state", "done"), ("page_size", "0"), ("color", "red"), ("to", "now")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let Err(Error::InvalidParameters(errors)) = read_list(Parameters(given)) else {
            panic!("valid")
        };
        let fields: Vec<_> = errors.iter().filter_map(|error| error.field.as_deref()).collect();
        assert_eq!(fields, ["state", "to", "page_size", "color"]);
    }
}
