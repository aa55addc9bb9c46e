//! `POST /v1/messages/bulk`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderMap;

use crate::api::middleware::access::CurrentUser;
use crate::api::openapi::shared::IdempotencyKey;
use crate::api::request::body::media_type;
use crate::api::request::detached::run_detached;
use crate::api::request::file::FileBody;
use crate::api::request::idempotency;
use crate::api::request::incoming::Incoming;
use crate::error::Error;
use crate::idempotency::IdempotencyKeys;
use crate::lifecycle::bulk_messages::document::MessageDocument;
use crate::lifecycle::bulk_messages::{BulkResult, Format, load_once};

/// Stores many messages without validating them.
///
/// The body is a JSON array of documents, or one document per line (NDJSON), of any length: it is
/// stored while it arrives. Invalid documents are named by their position, and the others are
/// stored. They are committed in chunks of up to 1,000; if the connection or the database fails,
/// the earlier chunks stay stored. The request counter does not rise.
#[utoipa::path(
    post, path = "/v1/messages/bulk", tag = "messages",
    params(IdempotencyKey),
    request_body(content(
        (Vec<MessageDocument> = "application/json"),
        (String = "application/x-ndjson", example = "{\"message\": \"one\"}\n{\"message\": \"two\", \"category\": \"Retried\"}\n"),
    )),
    responses(
        (status = 200, description = "The outcome", body = BulkResult),
        (status = 400, description = "The body is not a JSON array, and nothing was stored"),
        (status = 408, description = "No byte arrived for `upload_idle_timeout`, and nothing was stored"),
        (status = 422, description = "The key was used for another body"),
        (status = 503, description = "The database or the connection failed; the detail says how many were stored"),
    )
)]
pub async fn load_messages(
    State(keys): State<IdempotencyKeys>,
    incoming: Incoming,
    user: CurrentUser,
    request: Request,
) -> Result<Json<BulkResult>, Error> {
    run_detached("loading messages", receive(keys, incoming, user, request)).await.map(Json)
}

async fn receive(
    keys: IdempotencyKeys,
    incoming: Incoming,
    user: CurrentUser,
    request: Request,
) -> Result<BulkResult, Error> {
    let (parts, body) = request.into_parts();
    let mut body = FileBody::Raw(incoming.bytes(body));
    let loaded = async {
        let format = format(&parts.headers)?;
        let key = idempotency::key(&parts, &user.id.0.to_string())?;
        load_once(&keys, key, user.id, format, &mut body).await
    }
    .await;
    if loaded.is_err() {
        body.linger();
    }
    loaded
}

fn format(headers: &HeaderMap) -> Result<Format, Error> {
    let (given, media_type) = media_type(headers);
    match media_type.as_str() {
        "application/json" => Ok(Format::Array),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Ok(Format::Lines),
        _ => Err(Error::UnsupportedMediaType {
            given: given.to_owned(),
            accepted: "messages are loaded from application/json or application/x-ndjson",
        }),
    }
}
