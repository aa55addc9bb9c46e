//! JSON bodies and query strings, with errors that name the place.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use common::problem::ErrorLocation;
use common::task::TaskId;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::http::middleware::log_task;

/// A JSON body.
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(error) => Err(json_error(&error, String::new())),
        }
    }
}

/// Reads a JSON body whose bytes are needed too, for example to tell it from another one.
///
/// # Errors
/// It is no JSON, has another shape, or its type says something else.
pub fn read_json<T: DeserializeOwned>(headers: &HeaderMap, content: &[u8]) -> Result<T, ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(not_json(given.to_owned()));
    }
    match Json::from_bytes(content) {
        Ok(Json(body)) => Ok(body),
        Err(error) => Err(json_error(&error, given.to_owned())),
    }
}

fn json_error(error: &JsonRejection, given: String) -> ApiError {
    match error {
        JsonRejection::MissingJsonContentType(_) => not_json(given),
        JsonRejection::BytesRejection(error) if error.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            ApiError::BodyTooLarge
        }
        error => ApiError::BadRequest(error.body_text()),
    }
}

fn not_json(given: String) -> ApiError {
    ApiError::UnsupportedMediaType { given, accepted: "this request takes application/json" }
}

/// The parameters of the query, in order, repeated ones included.
#[derive(Debug, Default)]
pub struct Parameters(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        match query {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(error) => Err(ApiError::BadRequest(error.body_text())),
        }
    }
}

impl Parameters {
    /// Takes the parameter `name` out; where it is given more than once, the last one.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let mut taken = None;
        self.0.retain_mut(|(given, value)| {
            let is_it = given == name;
            if is_it {
                taken = Some(std::mem::take(value));
            }
            !is_it
        });
        taken
    }

    /// Takes all values of `name` out.
    pub fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) =
            std::mem::take(&mut self.0).into_iter().partition(|(given, _)| given == name);
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The errors of the parameters that nobody took.
    pub fn unknown(&self, known: &str) -> Vec<ErrorLocation> {
        let unknown = |(name, _): &(String, String)| {
            ErrorLocation::field(name, format!("is not a parameter here; there are {known}"))
        };
        self.0.iter().map(unknown).collect()
    }
}

/// The task id of the path. One that is no id is the id of no task.
pub struct TaskPath(pub TaskId);

impl<S: Send + Sync> FromRequestParts<S> for TaskPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let id = path.ok().and_then(|path| path.0.parse().ok()).ok_or(ApiError::TaskNotFound)?;
        log_task(id);
        Ok(Self(id))
    }
}
