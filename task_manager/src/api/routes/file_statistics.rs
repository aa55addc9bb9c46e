//! `/v1/file_statistics` and its report.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use common::file_statistics::FileStatisticsRow;
use common::task::{TaskKind, UserId};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::{IdempotencyKey, InvalidParameters, PageQuery, PeriodQuery};
use crate::api::request::parameters::Parameters;
use crate::api::request::query::Query;
use crate::api::request::upload::{Upload, UploadParameters, UploadResponses};
use crate::api::response::negotiation::{CSV, JSON, preferred};
use crate::db::Database;
use crate::error::Error;
use crate::kinds::file_statistics::report::FileStatisticsReport;
use crate::kinds::file_statistics::store;
use crate::paging::{Cursor, PageSize, Period};

/// The form of a file.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document")]
pub struct FileForm {
    /// The file, of any type; may be empty.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// Uploads any file to determine its lines, words, characters, content type and SHA-256.
///
/// The file is the field `file` of a multipart form, or the raw body with `?file_name=`. The
/// statistics are the task's `result` when it is processed, and are listed by
/// `GET /v1/file_statistics`; `links.report` links to the report on all of them.
#[utoipa::path(
    post, path = "/v1/file_statistics", tag = "file_statistics",
    params(UploadParameters, IdempotencyKey),
    request_body(content = FileForm, content_type = "multipart/form-data"),
    responses(UploadResponses)
)]
pub async fn request_file_statistics(upload: Upload) -> Result<Response, Error> {
    upload.accept(TaskKind::FileStatistics).await
}

/// A page of statistics, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct FileStatisticsList {
    /// The statistics of this page.
    items: Vec<FileStatisticsRow>,
    /// The token of the next page; `null` on the last one.
    next_page_token: Option<String>,
}

/// Lists the statistics of the caller's files, newest first.
///
/// Each `\n` counts as a line. Words are separated by white space (Unicode's White_Space).
/// Characters are Unicode scalar values; each maximal invalid sequence of UTF-8 is one character.
/// Binary files have no lines, words and characters.
///
/// `from` and `to` limit the time at which statistics were recorded.
#[utoipa::path(
    get, path = "/v1/file_statistics", tag = "file_statistics",
    params(
        PeriodQuery,
        PageQuery,
    ),
    responses(
        (status = 200, description = "A page of statistics; empty if there are none in this period", body = FileStatisticsList),
        (status = 204, description = "The caller has no statistics at all"),
        InvalidParameters,
    )
)]
pub async fn list_file_statistics(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
) -> Result<Response, Error> {
    let page = Page::read(parameters)?;
    let list = db
        .read(move |conn| {
            if !store::has_any(conn, user.id)? {
                return Ok(None);
            }
            let (items, next) = store::list(conn, user.id, page.period, page.after, page.size)?;
            let next_page_token = next.map(|next| next.to_string());
            Ok(Some(FileStatisticsList { items, next_page_token }))
        })
        .await?;
    Ok(match list {
        Some(list) => Json(list).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

struct Page {
    period: Period,
    after: Option<Cursor>,
    size: PageSize,
}

impl Page {
    fn read(parameters: Parameters) -> Result<Self, Error> {
        let mut query = Query::of(parameters);
        let period = query.period();
        let after = query.cursor();
        let size = query.page_size();
        query.finish()?;
        Ok(Self { period, after, size })
    }
}

/// Reports on the caller's files: totals, by content type, by day, and the largest ones.
///
/// As JSON, or as CSV if `Accept` prefers `text/csv`: rows of the sections `total`,
/// `content_type`, `day` and `largest_file`. Administrators may request any user's report.
///
/// `from` and `to` limit the time at which statistics were recorded.
#[utoipa::path(
    get, path = "/v1/reports/file_statistics", tag = "file_statistics",
    params(
        ("user_id" = Option<Uuid>, Query, description = "The owner of the files; the caller if absent"),
        PeriodQuery,
    ),
    responses(
        (status = 200, description = "The report", content(
            (FileStatisticsReport = "application/json"),
            (String = "text/csv", example = "section,name,files,size,lines,words,characters\ntotal,,1,20,2,3,18\n"),
        )),
        (status = 404, description = "The report is not the caller's"),
        (status = 406, description = "The report has none of the accepted media types"),
        InvalidParameters,
    )
)]
pub async fn report_file_statistics(
    State(db): State<Database>,
    user: CurrentUser,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let media_type = preferred(&headers, &[JSON, CSV])?;
    let mut query = Query::of(parameters);
    let owner = query.read("user_id", |text| {
        Uuid::try_parse(text).map(UserId).map_err(|_| format!("`{text}` is not a user id"))
    });
    let period = query.period();
    query.finish()?;
    let owner = owner.unwrap_or(user.id);
    if owner != user.id && !user.is_administrator() {
        return Err(Error::UserNotFound);
    }
    let report = db.read(move |conn| FileStatisticsReport::read(conn, owner, period)).await?;
    let response = match media_type {
        CSV => csv(&report)?,
        _ => Json(report).into_response(),
    };
    Ok(([(header::VARY, "accept")], response).into_response())
}

fn csv(report: &FileStatisticsReport) -> Result<Response, Error> {
    let body = report.to_csv().map_err(|error| {
        tracing::error!(%error, "cannot write a report as CSV");
        Error::Internal
    })?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], body).into_response())
}
