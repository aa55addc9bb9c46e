//! `/v1/data_processor/preview` and `/series`: the result of an aggregation as JSON.

use axum::Json;
use axum::extract::State;
use common::storage::{ObjectKey, OutputPart};
use common::task::TaskId;
use common::task::spec::TaskSpec;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{InvalidParameters, NoSuchTask};
use crate::api::request::parameters::Parameters;
use crate::api::request::path::TaskPath;
use crate::api::request::query::Query;
use crate::db::Database;
use crate::error::Error;
use crate::results::ResultFiles;
use crate::results::preview::{ResultPreview, Selection, preview};
use crate::results::series::{ResultSeries, series};
use crate::tasks::outputs::accepted_output;
use crate::tasks::store;

/// How many rows are shown.
const DEFAULT_ROWS: usize = 20;
const MAX_ROWS: usize = 1_000;
/// How many series are shown.
const DEFAULT_SERIES: usize = 5;
const MAX_SERIES: usize = 20;

/// Shows rows of the result of an aggregation.
///
/// The first rows, which takes as long for a large result as for a small one; or with
/// `sort=-COLUMN` those with the largest sums in this column, for which the whole result is read.
#[utoipa::path(
    get, path = "/v1/data_processor/preview/{id}", tag = "data_processor",
    params(
        TaskPath,
        ("sort" = Option<String>, Query, description = "`-` and the name of a sum: the rows with the largest ones, largest first", pattern = "^-.+$", example = "-Number of Plays"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20 if absent, up to 1,000", minimum = 1, maximum = 1_000),
    ),
    responses(
        (status = 200, description = "The rows", body = ResultPreview),
        NoSuchTask,
        (status = 409, description = "The task has no result (`no_result`) or none yet (`not_ready`, with Retry-After)"),
        (status = 410, description = "The files are gone"),
        InvalidParameters,
    )
)]
pub async fn preview_result(
    State(db): State<Database>,
    State(files): State<ResultFiles>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
    parameters: Parameters,
) -> Result<Json<ResultPreview>, Error> {
    let mut query = Query::of(parameters);
    let largest_by = query.read("sort", |text| match text.strip_prefix('-') {
        Some(column) if !column.is_empty() => Ok(column.to_owned()),
        _ => Err(format!("`{text}` is not `-` and the name of a column: largest come first")),
    });
    let limit = query.read("limit", |text| up_to(MAX_ROWS, text)).unwrap_or(DEFAULT_ROWS);
    query.finish()?;
    let (key, groups) = result_file(&db, user, id).await?;
    let selection = Selection { largest_by, limit };
    let read = files.read(key, move |records| preview(records, groups, &selection));
    read.await.map(Json)
}

/// Shows how the sums of the largest groups develop over time.
///
/// For aggregations whose last column of `group_by` has dates, as that of the default one. The
/// value is the first sum. The whole result is read.
#[utoipa::path(
    get, path = "/v1/data_processor/series/{id}", tag = "data_processor",
    params(
        TaskPath,
        ("top" = Option<usize>, Query, description = "How many groups: 5 if absent, up to 20", minimum = 1, maximum = 20),
    ),
    responses(
        (status = 200, description = "The series", body = ResultSeries),
        NoSuchTask,
        (status = 409, description = "The groups have no dates (`no_series`), the task has no result (`no_result`) or none yet (`not_ready`, with Retry-After)"),
        (status = 410, description = "The files are gone"),
        InvalidParameters,
    )
)]
pub async fn series_of_result(
    State(db): State<Database>,
    State(files): State<ResultFiles>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
    parameters: Parameters,
) -> Result<Json<ResultSeries>, Error> {
    let mut query = Query::of(parameters);
    let top = query.read("top", |text| up_to(MAX_SERIES, text)).unwrap_or(DEFAULT_SERIES);
    query.finish()?;
    let (key, groups) = result_file(&db, user, id).await?;
    files.read(key, move |records| series(records, groups, top)).await.map(Json)
}

fn up_to(limit: usize, text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=limit).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not a number from 1 to {limit}")),
    }
}

/// The result of a user's aggregation, and how many columns a group has.
async fn result_file(
    db: &Database,
    user: CurrentUser,
    id: TaskId,
) -> Result<(ObjectKey, usize), Error> {
    let task = db.read(move |conn| store::find_owned(conn, user.id, id)).await?;
    let task = task.ok_or(Error::TaskNotFound)?;
    let part = OutputPart::Result;
    let (_, attempt) = accepted_output(&task, part)?;
    let TaskSpec::CsvAggregation(spec) = &task.spec else {
        return Err(Error::NoResult { state: task.state, reason: "its result is not a table" });
    };
    Ok((ObjectKey::Output { task_id: id, attempt, part }, spec.group_by.len()))
}
