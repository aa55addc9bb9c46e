//! `POST /v1/data_processor/upload`.

use axum::response::Response;
use common::task::TaskKind;

use crate::api::openapi::csv_dialect::{CsvDialectQuery, csv_form};
use crate::api::openapi::shared::IdempotencyKey;
use crate::api::request::upload::{Upload, UploadParameters, UploadResponses};
use crate::error::Error;

csv_form!(
    /// The form of an upload.
    UploadForm {
        /// A column of the groups; repeats. `Song` and `Date` if absent.
        #[schema(nullable = false)]
        group_by: Option<Vec<String>>,
        /// A column to sum; repeats. `Number of Plays` if absent.
        #[schema(nullable = false)]
        sum: Option<Vec<String>>,
        /// Another name for the last sum in the header of the output.
        #[schema(nullable = false, min_length = 1)]
        total_header: Option<String>,
        /// `fail` (the default) or `skip`.
        #[schema(nullable = false)]
        on_bad_row: Option<common::task::spec::OnBadRow>,
        /// Memory for the groups, such as `256MiB`, if less than the worker permits.
        #[schema(nullable = false, min_length = 1)]
        memory_limit: Option<String>,
        /// The character before decimals, `,` or `.`. Decimals must be zeros; numbers have none if absent.
        #[schema(example = ",", nullable = false, min_length = 1)]
        decimal: Option<String>,
        /// The character between groups of three digits: `.`, `,`, `'`, `_` or `space`. Numbers have none
        /// if absent.
        #[schema(example = ".", nullable = false, min_length = 1)]
        thousands: Option<String>,
    },
    /// The CSV file, after all other fields.
    #[schema(value_type = String, format = Binary)]
    file
);

/// Uploads a CSV file, optionally compressed by gzip or zstd, to aggregate it: sums by groups of
/// equal values.
///
/// The file is the field `file` of a multipart form, after the parameters, or the raw body with
/// `?file_name=`. Parameters may be query parameters too.
#[utoipa::path(
    post, path = "/v1/data_processor/upload", tag = "data_processor",
    params(
        IdempotencyKey,
        UploadParameters,
        ("group_by" = Option<Vec<String>>, Query, description = "A column of the groups; repeats"),
        ("sum" = Option<Vec<String>>, Query, description = "A column to sum; repeats"),
        ("total_header" = Option<String>, Query, description = "Another name for the last sum"),
        ("on_bad_row" = Option<common::task::spec::OnBadRow>, Query, description = "`fail` or `skip`"),
        ("memory_limit" = Option<String>, Query, description = "Memory for the groups, such as `256MiB`"),
        ("decimal" = Option<String>, Query, description = "The character before decimals, `,` or `.`. Decimals must be zeros; numbers have none if absent"),
        ("thousands" = Option<String>, Query, description = "The character between groups of three digits: `.`, `,`, `'`, `_` or `space`. Numbers have none if absent"),
        CsvDialectQuery,
    ),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(UploadResponses)
)]
pub async fn upload_csv(upload: Upload) -> Result<Response, Error> {
    upload.accept(TaskKind::CsvAggregation).await
}
