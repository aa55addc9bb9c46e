//! `/v1/csv_previews`.

use axum::response::Response;
use common::task::TaskKind;

use crate::api::openapi::shared::IdempotencyKey;
use crate::api::request::upload::{Upload, UploadParameters, UploadResponses};
use crate::error::Error;

/// The form of a CSV file.
#[derive(utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document")]
pub struct CsvPreviewForm {
    /// The character between fields: `comma`, `semicolon`, `tab`, `pipe` or the character itself;
    /// detected from the first rows if absent or `auto`.
    #[schema(example = "semicolon", nullable = false, min_length = 1)]
    delimiter: Option<String>,
    /// The encoding of the text: `utf-8`, `windows-1252` or `utf-16`; that of its byte order mark, or
    /// else UTF-8, if absent or `auto`.
    #[schema(example = "windows-1252", nullable = false, min_length = 1)]
    encoding: Option<String>,
    /// The character that encloses quoted fields; `"` if absent.
    #[schema(example = "'", nullable = false, min_length = 1)]
    quote: Option<String>,
    /// The character in quoted fields that makes the next one part of the field; none if absent.
    #[schema(example = "\\", nullable = false, min_length = 1)]
    escape: Option<String>,
    /// The character at the start of lines that are comments; none if absent.
    #[schema(example = "#", nullable = false, min_length = 1)]
    comment: Option<String>,
    /// The CSV file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

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
        ("delimiter" = Option<String>, Query, description = "The character between fields: `comma`, `semicolon`, `tab`, `pipe` or the character itself; detected from the first rows if absent or `auto`"),
        ("encoding" = Option<String>, Query, description = "The encoding of the text: `utf-8`, `windows-1252` or `utf-16`; that of its byte order mark, or else UTF-8, if absent or `auto`"),
        ("quote" = Option<String>, Query, description = "The character that encloses quoted fields; `\"` if absent"),
        ("escape" = Option<String>, Query, description = "The character in quoted fields that makes the next one part of the field; none if absent"),
        ("comment" = Option<String>, Query, description = "The character at the start of lines that are comments; none if absent"),
        IdempotencyKey,
    ),
    request_body(content = CsvPreviewForm, content_type = "multipart/form-data"),
    responses(UploadResponses)
)]
pub async fn preview_csv(upload: Upload) -> Result<Response, Error> {
    upload.accept(TaskKind::CsvPreview).await
}
