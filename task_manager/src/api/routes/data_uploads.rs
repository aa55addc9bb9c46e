//! `/v1/data_uploads`, and the rows that workers send.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use common::report::RejectedRow;
use common::task::spec::OnBadRow;
use common::task::{TaskId, TaskKind, TaskState};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::csv_dialect::{CsvDialectQuery, csv_form};
use crate::api::openapi::shared::{IdempotencyKey, InvalidParameters, PageQuery};
use crate::api::request::parameters::Parameters;
use crate::api::request::path::TaskPath;
use crate::api::request::query::Query;
use crate::api::request::upload::{Upload, UploadParameters, UploadResponses};
use crate::api::response::negotiation::{CSV, JSON, preferred};
use crate::db::Database;
use crate::error::Error;
use crate::kinds::data_upload::rejected;
use crate::kinds::data_upload::store::{self, LoadedRow};
use crate::paging::PageSize;
use crate::tasks::{Task, store as tasks};

csv_form!(
    /// The form of a file whose rows will be loaded.
    DataUploadForm {
        /// `skip` (the default) or `fail`.
        #[schema(example = "skip", nullable = false)]
        on_bad_row: Option<OnBadRow>,
    },
    /// The CSV file with the columns `name` and `email`, after all other fields.
    #[schema(value_type = String, format = Binary, example = "name,email\nAda Lovelace,ada@example.org\n")]
    file
);

/// Uploads a CSV file with the columns `name` and `email`, whose rows are loaded into the database.
///
/// The file is the field `file` of a multipart form, or the raw body with `?file_name=`. A stop
/// removes every row that was loaded; a kill keeps them. After a kill or failure, resuming the
/// task, or uploading the same file with the same parameters again, continues at the checkpoint:
/// the answer names the first row that is read then (`resumed_from_row`). Every row is loaded
/// exactly once. With `on_bad_row=fail`, no row of a file with a bad row is loaded.
#[utoipa::path(
    post, path = "/v1/data_uploads", tag = "data_uploads",
    params(
        UploadParameters,
        ("on_bad_row" = Option<OnBadRow>, Query, description = "`skip` (the default): invalid rows are left out and listed as rejected; `fail`: the task fails"),
        CsvDialectQuery,
        IdempotencyKey,
    ),
    request_body(content = DataUploadForm, content_type = "multipart/form-data"),
    responses(UploadResponses)
)]
pub async fn upload_data(upload: Upload) -> Result<Response, Error> {
    upload.accept(TaskKind::DataUpload).await
}

/// Why the rows of a task are not shown.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes responses in the OpenAPI document")]
pub enum UnknownUpload {
    /// There is no such data upload
    #[response(status = 404)]
    Missing,
    /// The task cannot be read by this version of the server (`unreadable_task`)
    #[response(status = 409)]
    Unreadable,
}

/// A page of loaded rows, in the order of the file.
#[derive(Debug, Serialize, ToSchema)]
pub struct LoadedRowList {
    /// The rows of this page.
    items: Vec<LoadedRow>,
    /// The token of the next page; `null` on the last one.
    #[schema(example = "50")]
    next_page_token: Option<String>,
}

/// Lists the rows that a task has loaded, in the order of the file.
///
/// While it is loading, those loaded so far. A stopped task has none.
#[utoipa::path(
    get, path = "/v1/data_uploads/{id}/rows", tag = "data_uploads",
    params(
        TaskPath,
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of rows", body = LoadedRowList),
        UnknownUpload,
        InvalidParameters,
    )
)]
pub async fn list_loaded_rows(
    State(db): State<Database>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
    parameters: Parameters,
) -> Result<Json<LoadedRowList>, Error> {
    let page = Page::read(parameters)?;
    if is_rolled_back(&find(&db, user, id).await?) {
        return Ok(Json(LoadedRowList { items: Vec::new(), next_page_token: None }));
    }
    let mut items =
        db.read(move |conn| store::rows(conn, id, page.after, page.size.limit())).await?;
    let next_page_token = page.cut(&mut items, |row| row.row);
    Ok(Json(LoadedRowList { items, next_page_token }))
}

/// A page of rejected rows, in the order of the file.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectedRowList {
    /// The rows of this page.
    items: Vec<RejectedRow>,
    /// The token of the next page; `null` on the last one.
    #[schema(example = "50")]
    next_page_token: Option<String>,
}

/// Lists the rows that a task has rejected, in the order of the file, with the reasons.
///
/// As JSON in pages, or all of them as CSV (`row,line,column,value,reason`) if `Accept` prefers
/// `text/csv`.
#[utoipa::path(
    get, path = "/v1/data_uploads/{id}/rejected", tag = "data_uploads",
    params(
        TaskPath,
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of rows, or all of them as CSV", content(
            (RejectedRowList = "application/json", example = json!({
                "items": [{"row": 7, "line": 8, "column": "email", "value": "ada", "reason": "is no e-mail address"}],
                "next_page_token": null,
            })),
            (String = "text/csv", example = "row,line,column,value,reason\n7,8,email,ada,is no e-mail address\n"),
        )),
        UnknownUpload,
        (status = 406, description = "The rows have none of the accepted media types"),
        InvalidParameters,
    )
)]
pub async fn list_rejected_rows(
    State(db): State<Database>,
    user: CurrentUser,
    TaskPath(id): TaskPath,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let media_type = preferred(&headers, &[JSON, CSV])?;
    let page = Page::read(parameters)?;
    let is_empty = is_rolled_back(&find(&db, user, id).await?);
    let response = if media_type == CSV {
        let body = Body::from_stream(rejected::csv(db, id, is_empty));
        let disposition = format!("attachment; filename=\"{id}.rejected.csv\"");
        let headers = [
            (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, disposition),
        ];
        (headers, body).into_response()
    } else {
        let read = move |conn: &mut _| match is_empty {
            true => Ok(Vec::new()),
            false => store::rejected(conn, id, page.after, page.size.limit()),
        };
        let mut items = db.read(read).await?;
        let next_page_token = page.cut(&mut items, |row| row.row);
        Json(RejectedRowList { items, next_page_token }).into_response()
    };
    Ok(([(header::VARY, "accept")], response).into_response())
}

/// The caller's task, if it is a data upload.
async fn find(db: &Database, user: CurrentUser, id: TaskId) -> Result<Task, Error> {
    let task = db.read(move |conn| tasks::find_owned(conn, user.id, id)).await?;
    task.filter(|task| task.kind() == TaskKind::DataUpload).ok_or(Error::TaskNotFound)
}

/// A stop hides the rows immediately, while they are still being removed.
fn is_rolled_back(task: &Task) -> bool {
    matches!(task.state, TaskState::Stopping | TaskState::Stopped)
}

#[derive(Debug, Clone, Copy)]
struct Page {
    /// The number of the last row of the previous page.
    after: u64,
    size: PageSize,
}

impl Page {
    fn read(parameters: Parameters) -> Result<Self, Error> {
        let mut query = Query::of(parameters);
        let after = query.read("page_token", |text| {
            text.parse().map_err(|_| "is not a token of a list".to_owned())
        });
        let size = query.page_size();
        query.finish()?;
        Ok(Self { after: after.unwrap_or(0), size })
    }

    /// Removes the rows beyond the page; returns the token of the next one.
    fn cut<T>(self, items: &mut Vec<T>, row: impl Fn(&T) -> u64) -> Option<String> {
        self.size.cut(items).map(|last| row(last).to_string())
    }
}
