//! `/v1/tasks/counts`, `/v1/tasks/failures` and `/v1/tasks/throughput`.

use axum::Json;
use axum::extract::State;
use common::task::{TaskKind, TaskState, named};
use utoipa::ToSchema;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{InvalidParameters, PeriodQuery};
use crate::api::request::parameters::Parameters;
use crate::api::request::query::Query;
use crate::api::request::task_filter::{self, Scope, TaskFilterQuery, TaskScopeQuery};
use crate::db::Database;
use crate::error::Error;
use crate::paging::Period;
use crate::tasks::store::{self, CountBy, Filter};
use crate::views::counts::TaskCounts;
use crate::views::failures::{FailureList, failures};
use crate::views::throughput::{Throughput, Window, throughput};

/// What counts distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Group {
    State,
    Kind,
    Hour,
}

impl Group {
    const ALL: [Self; 3] = [Self::State, Self::Kind, Self::Hour];

    fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Kind => "kind",
            Self::Hour => "hour",
        }
    }
}

/// Counts the caller's tasks by state, kind and hour of creation.
///
/// The counts are exact.
#[utoipa::path(
    get, path = "/v1/tasks/counts", tag = "tasks",
    params(
        ("by" = Option<Vec<Group>>, Query, style = Form, explode = false, description = "What to distinguish, separated by commas; `state` if absent"),
        TaskFilterQuery,
        TaskScopeQuery,
    ),
    responses(
        (status = 200, description = "The counts", body = TaskCounts),
        (status = 403, description = "Only an administrator may request all users"),
        (status = 404, description = "The tasks are not the caller's"),
        InvalidParameters,
    )
)]
pub async fn count_tasks(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<TaskCounts>, Error> {
    let mut query = Query::of(parameters);
    let by = query.read("by", |text| {
        let group = |text| named(text, Group::ALL, Group::as_str).map_err(task_filter::named);
        text.split(',').map(group).collect::<Result<Vec<_>, _>>()
    });
    let filter = task_filter::filter(&mut query);
    let scope = Scope::read(&mut query);
    query.finish()?;
    let owner = scope.owner(user)?;
    let by = by.unwrap_or_else(|| vec![Group::State]);
    let by = CountBy {
        state: by.contains(&Group::State),
        kind: by.contains(&Group::Kind),
        hour: by.contains(&Group::Hour),
    };
    let counts = db.read(move |conn| store::counts(conn, owner, &filter, by)).await?;
    Ok(Json(TaskCounts::of(counts)))
}

/// Lists the causes of the caller's failed tasks: the codes of their errors, the most frequent
/// first.
///
/// `from` and `to` limit the time at which tasks were created.
#[utoipa::path(
    get, path = "/v1/tasks/failures", tag = "tasks",
    params(
        ("kind" = Option<Vec<TaskKind>>, Query, description = "Only tasks of this kind; repeats"),
        PeriodQuery,
        TaskScopeQuery,
    ),
    responses(
        (status = 200, description = "The causes", body = FailureList),
        (status = 403, description = "Only an administrator may request all users"),
        (status = 404, description = "The tasks are not the caller's"),
        InvalidParameters,
    )
)]
pub async fn list_failures(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<FailureList>, Error> {
    let mut query = Query::of(parameters);
    let kind = query.read_all("kind", |text| text.parse().map_err(task_filter::named));
    let Period { from, to } = query.period();
    let scope = Scope::read(&mut query);
    query.finish()?;
    let owner = scope.owner(user)?;
    let state = vec![TaskState::Failed];
    let filter = Filter { state, kind, from, to, ..Filter::default() };
    Ok(Json(db.read(move |conn| failures(conn, owner, &filter)).await?))
}

/// Counts the caller's tasks that were processed or failed in each minute of the last hour or day.
///
/// Deleted tasks are not counted.
#[utoipa::path(
    get, path = "/v1/tasks/throughput", tag = "tasks",
    params(
        ("window" = Option<Window>, Query, description = "The period, which ends now; `hour` if absent"),
        TaskScopeQuery,
    ),
    responses(
        (status = 200, description = "Every minute, the oldest first", body = Throughput),
        (status = 403, description = "Only an administrator may request all users"),
        (status = 404, description = "The tasks are not the caller's"),
        InvalidParameters,
    )
)]
pub async fn show_throughput(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Json<Throughput>, Error> {
    let mut query = Query::of(parameters);
    let window = query.read("window", |text| {
        named(text, Window::ALL, Window::as_str).map_err(task_filter::named)
    });
    let scope = Scope::read(&mut query);
    query.finish()?;
    let owner = scope.owner(user)?;
    let window = window.unwrap_or(Window::Hour);
    Ok(Json(db.read(move |conn| throughput(conn, owner, window)).await?))
}
