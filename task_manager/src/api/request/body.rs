//! Extractors for buffered bodies and JSON, with errors that name the location.
//!
//! By hand: the timeout, for the reason in [`file`](super::file). The size limit is axum's, which a
//! route can raise; it could not raise that of `RequestBodyLimitLayer` of tower-http.

use std::time::Duration;

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, LengthLimitError};
use hyper::body::Frame;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::error::Error;
use crate::strict_json;

/// How long a client may send nothing of a buffered body.
#[derive(Debug, Clone, Copy)]
pub struct BodyTimeout(pub Duration);

/// A buffered body of any type, up to the size limit of its route.
pub struct Content(pub Bytes);

impl<S> FromRequest<S> for Content
where
    S: Send + Sync,
    BodyTimeout: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let BodyTimeout(silence) = BodyTimeout::from_ref(state);
        read_whole(request.with_limited_body().into_body(), silence).await.map(Self)
    }
}

async fn read_whole(mut body: Body, silence: Duration) -> Result<Bytes, Error> {
    // Most bodies arrive in one piece, which is not copied.
    let Some(first) = next_bytes(&mut body, silence).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_bytes(&mut body, silence).await? else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    whole.extend_from_slice(&second);
    while let Some(bytes) = next_bytes(&mut body, silence).await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

async fn next_bytes(body: &mut Body, silence: Duration) -> Result<Option<Bytes>, Error> {
    loop {
        let frame = timeout(silence, body.frame()).await.map_err(|_| Error::RequestTimeout)?;
        match frame.transpose().map_err(|error| unreadable(&error))?.map(Frame::into_data) {
            None => return Ok(None),
            Some(Ok(bytes)) => return Ok(Some(bytes)),
            // Trailers.
            Some(Err(_)) => {}
        }
    }
}

fn unreadable(error: &axum::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return Error::BodyTooLarge;
        }
        cause = error.source();
    }
    Error::BadRequest("The body ends early or cannot be read.".to_owned())
}

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
    BodyTimeout: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        check_json_type(request.headers())?;
        let Content(content) = Content::from_request(request, state).await?;
        from_json(&content).map(Self)
    }
}

/// Parses a JSON body whose bytes are needed too, for example to compare it with another one.
///
/// # Errors
/// The body is not JSON, has the wrong shape, or its Content-Type is not JSON.
pub fn read_json<T: DeserializeOwned>(headers: &HeaderMap, content: &[u8]) -> Result<T, Error> {
    check_json_type(headers)?;
    from_json(content)
}

/// The Content-Type as it was sent, and its media type in lower case, without parameters; both are
/// empty if it is missing.
pub fn media_type(headers: &HeaderMap) -> (&str, String) {
    let given = headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    (given, essence)
}

fn check_json_type(headers: &HeaderMap) -> Result<(), Error> {
    let (given, media_type) = media_type(headers);
    let subtype = media_type.strip_prefix("application/").unwrap_or_default();
    match subtype == "json" || subtype.ends_with("+json") {
        true => Ok(()),
        false => Err(Error::UnsupportedMediaType {
            given: given.to_owned(),
            accepted: "this request takes application/json",
        }),
    }
}

fn from_json<T: DeserializeOwned>(content: &[u8]) -> Result<T, Error> {
    strict_json::from_slice(content).map_err(|reason| {
        Error::BadRequest(format!("The body is not the JSON that this request takes: {reason}."))
    })
}
