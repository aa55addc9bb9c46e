//! A fake server of resumable uploads, which fails as a test plans it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fake_api::{answer, problem, processed};

/// The uploads of a server; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploads(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<Known>,
    /// While a request waits by plan.
    may_proceed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    /// By their ids, in the order in which they were created.
    pub(crate) uploads: BTreeMap<String, Upload>,
    /// The requests for uploads so far: the method, and the id without its common beginning.
    pub(crate) requests: Vec<String>,
    /// How the next requests are treated.
    plans: VecDeque<(Method, Plan)>,
}

#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) length: usize,
    pub(crate) bytes: Vec<u8>,
    /// The request that may write: any later request for the upload ends it.
    writer: usize,
}

/// How a request is treated.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Plan {
    /// It is refused with this status; its bytes are discarded.
    Refuse(u16),
    /// The connection breaks after so many bytes, which are kept.
    CutAfter(usize),
    /// It stores its bytes, but is answered only when the test allows it.
    Wait,
}

impl Uploads {
    /// Treats the next request of this method so; may be called several times.
    pub(crate) fn plan(&self, method: Method, plan: Plan) {
        self.known().plans.push_back((method, plan));
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.0.state.lock().unwrap()
    }

    /// Answers the requests that wait, and those that would.
    pub(crate) fn proceed(&self) {
        self.0.may_proceed.send_replace(true);
    }

    /// The bytes of the only upload.
    pub(crate) fn only(&self) -> Vec<u8> {
        let known = self.known();
        assert_eq!(known.uploads.len(), 1, "{:?}", known.requests);
        known.uploads.values().next().unwrap().bytes.clone()
    }

    /// Serves the uploads; every task is processed.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/uploads", post(create))
            .route("/v1/uploads/{id}", any(one))
            .route("/v1/tasks/{id}", get(|Path(id)| async { answer(200, &task(id)) }))
            .with_state(self.clone())
    }

    fn next_plan(&self, method: &Method) -> Option<Plan> {
        let mut known = self.known();
        let next = known.plans.front().filter(|(planned, _)| planned == method)?.1;
        known.plans.pop_front();
        Some(next)
    }
}

fn task(id: String) -> Value {
    let mut task = processed();
    task["task_id"] = json!(id);
    task
}

async fn create(State(uploads): State<Uploads>, request: Request) -> Response {
    let plan = uploads.next_plan(&Method::POST);
    let mut known = uploads.known();
    let id = format!("01890a5d-ac96-774b-bcce-{:012}", known.uploads.len());
    known.requests.push("POST".to_owned());
    if let Some(Plan::Refuse(status)) = plan {
        return problem(status, "planned", "It is planned.");
    }
    let headers = request.headers().clone();
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let parts = text("upload-concat").unwrap_or_default();
    let parts = parts.strip_prefix("final;").unwrap_or_default();
    let parts = parts.split(' ').filter_map(|url| known.uploads.get(url.rsplit('/').next()?));
    let bytes: Vec<u8> = parts.flat_map(|part| part.bytes.clone()).collect();
    let length = text("upload-length").map_or(bytes.len(), |length| length.parse().unwrap());
    let query = request.uri().query().unwrap_or_default().to_owned();
    known.uploads.insert(id.clone(), Upload { query, headers, length, bytes, writer: 0 });
    (StatusCode::CREATED, [("location", format!("/v1/uploads/{id}"))]).into_response()
}

async fn one(State(uploads): State<Uploads>, Path(id): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let number = id.trim_start_matches("01890a5d-ac96-774b-bcce-").trim_start_matches('0');
    uploads.known().requests.push(format!("{} {number}", parts.method).trim_end().to_owned());
    let plan = uploads.next_plan(&parts.method);
    if let Some(Plan::Refuse(status)) = plan {
        return problem(status, "planned", "It is planned.");
    }
    if !uploads.known().uploads.contains_key(&id) {
        return problem(404, "upload_not_found", "It is gone.");
    }
    match parts.method {
        Method::PATCH => append(&uploads, &id, &parts.headers, body, plan).await,
        Method::DELETE => {
            uploads.known().uploads.remove(&id);
            StatusCode::NO_CONTENT.into_response()
        }
        Method::HEAD => {
            begin(&uploads, &id);
            offset(&uploads, &id)
        }
        _ => {
            let known = uploads.known();
            let upload = &known.uploads[&id];
            let is_complete = upload.bytes.len() == upload.length;
            answer(200, &json!({"task_id": id, "is_complete": is_complete, "resumed": false}))
        }
    }
}

async fn append(
    uploads: &Uploads,
    id: &str,
    headers: &HeaderMap,
    body: Body,
    plan: Option<Plan>,
) -> Response {
    assert_eq!(headers["content-type"], "application/offset+octet-stream");
    assert_eq!(headers["tus-resumable"], "1.0.0");
    let (writer, stored) = begin(uploads, id);
    if headers["upload-offset"].to_str().unwrap() != stored.to_string() {
        return problem(409, "offset_mismatch", "It is another one.");
    }
    let mut body = body.into_data_stream();
    let mut arrived = 0;
    while let Some(Ok(mut bytes)) = body.next().await {
        if let Some(Plan::CutAfter(limit)) = plan {
            bytes.truncate(limit - arrived);
        }
        arrived += bytes.len();
        let mut known = uploads.known();
        let upload = known.uploads.get_mut(id).unwrap();
        if upload.writer != writer {
            return problem(423, "upload_interrupted", "Another request writes.");
        }
        upload.bytes.extend(bytes);
        drop(known);
        if matches!(plan, Some(Plan::CutAfter(limit)) if limit == arrived) {
            // A response whose body fails breaks the connection.
            let broken = futures_util::stream::iter([Err::<Vec<u8>, _>("cut")]);
            return Body::from_stream(broken.map(|item| item.map_err(std::io::Error::other)))
                .into_response();
        }
    }
    if let Some(Plan::Wait) = plan {
        uploads.0.may_proceed.subscribe().wait_for(|may| *may).await.unwrap();
    }
    offset(uploads, id)
}

/// Ends an earlier request that writes; returns the number of this one and the stored bytes.
fn begin(uploads: &Uploads, id: &str) -> (usize, usize) {
    let mut known = uploads.known();
    let upload = known.uploads.get_mut(id).unwrap();
    upload.writer += 1;
    (upload.writer, upload.bytes.len())
}

fn offset(uploads: &Uploads, id: &str) -> Response {
    let offset = uploads.known().uploads[id].bytes.len().to_string();
    let expires = "Tue, 01 Jan 2999 10:00:00 GMT".to_owned();
    (StatusCode::NO_CONTENT, [("upload-offset", offset), ("upload-expires", expires)])
        .into_response()
}
