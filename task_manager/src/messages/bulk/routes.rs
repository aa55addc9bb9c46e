//! `POST /v1/messages/bulk`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use common::problem::Problem;
use futures_util::{StreamExt, TryStreamExt};

use super::document::MessageDocument;
use super::{BulkResult, Format, load};
use crate::db::Database;
use crate::error::ApiError;
use crate::http::access::CurrentUser;
use crate::uploads::body::FileBody;

/// Stores many messages at once, without validating them.
///
/// The body is a JSON array of documents, or one document on each line (NDJSON), of any length:
/// it is stored while it arrives. Documents that do not hold are named by their place, and the
/// others are stored. They go in by chunks of up to 1,000; when the connection or the database
/// fails, the chunks before it are there. The request counter does not rise.
#[utoipa::path(
    post, path = "/v1/messages/bulk", tag = "messages",
    request_body(content(
        (Vec<MessageDocument> = "application/json"),
        (String = "application/x-ndjson", example = "{\"message\": \"one\"}\n{\"message\": \"two\", \"category\": \"Retried\"}\n"),
    )),
    responses(
        (status = 200, description = "What became of the documents", body = BulkResult),
        (status = 400, description = "The body is no JSON array, and nothing was stored", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body's type is not supported", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The database or the connection failed; the detail says how many were stored", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn load_messages(
    State(db): State<Database>,
    user: CurrentUser,
    request: Request,
) -> Result<Json<BulkResult>, ApiError> {
    let (parts, body) = request.into_parts();
    let mut body = FileBody::Raw(body.into_data_stream().map_err(Into::into).boxed());
    let loaded = match format(&parts.headers) {
        Ok(format) => load(&db, user.id, format, &mut body).await,
        Err(error) => Err(error),
    };
    if loaded.is_err() {
        body.drain().await;
    }
    loaded.map(Json)
}

fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let given = given.unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Format::Array),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Lines),
        _ => Err(ApiError::UnsupportedMediaType {
            given: given.to_owned(),
            accepted: "messages are loaded from application/json or application/x-ndjson",
        }),
    }
}
