//! `/v1/csv_previews`.

use axum::response::Response;
use common::task::TaskKind;

use crate::api::openapi::csv_dialect::{CsvDialectQuery, csv_form};
use crate::api::openapi::shared::IdempotencyKey;
use crate::api::request::upload::{Upload, UploadParameters, UploadResponses};
use crate::error::Error;

csv_form!(
    /// The form of a CSV file.
    CsvPreviewForm {},
    /// The CSV file.
    #[schema(value_type = String, format = Binary)]
    file
);

/// Uploads a CSV file to show its first rows and statistics of its columns.
///
/// The file is the field `file` of a multipart form, or the raw body with `?file_name=`. The
/// preview is the task's `result` (the schema `CsvPreview`) when it is processed: the first 100
/// rows, and for each column its type and how many of its values are empty, counted over the whole
/// file.
#[utoipa::path(
    post, path = "/v1/csv_previews", tag = "csv_previews",
    params(
        UploadParameters,
        CsvDialectQuery,
        IdempotencyKey,
    ),
    request_body(content = CsvPreviewForm, content_type = "multipart/form-data"),
    responses(UploadResponses)
)]
pub async fn preview_csv(upload: Upload) -> Result<Response, Error> {
    upload.accept(TaskKind::CsvPreview).await
}
