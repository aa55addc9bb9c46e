//! A client of the API.

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::problem::{MEDIA_TYPE, Problem};
use common::task::{AcceptedTask, TaskId, TaskList, TaskState, TaskView};
use reqwest::{Body, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

/// The deadline for events that should happen soon, even on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// The path of uploads.
pub const UPLOAD: &str = "/v1/data_processor/upload";

/// Every field of a problem document.
const PROBLEM_FIELDS: [&str; 9] =
    ["code", "detail", "error_count", "errors", "instance", "status", "timestamp", "title", "type"];

/// Waits until `check` returns a value.
pub async fn eventually<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, check).await
}

/// Like [`eventually`], with another deadline.
pub async fn eventually_within<T>(
    deadline: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(started.elapsed() < deadline, "within {deadline:?} not: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// A client of one server, with its token.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    token: Option<String>,
    /// The URL of the server.
    pub url: String,
}

impl Api {
    pub fn new(url: String) -> Self {
        Self {
            http: common::client::plain_http().unwrap().no_proxy().build().unwrap(),
            token: None,
            url,
        }
    }

    /// The same, with a timeout for answers.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        let http = common::client::plain_http().unwrap().no_proxy().timeout(timeout);
        self.http = http.build().unwrap();
        self
    }

    /// Signs a user up and logs in; an existing user only logs in.
    pub async fn logged_in_as(mut self, name: &str, password: &str) -> Self {
        let credentials = json!({"username": name, "password": password});
        let post = async |path: &str| {
            self.request(Method::POST, path).json(&credentials).send().await.unwrap()
        };
        let status = post("/v1/users").await.status();
        assert!(matches!(status, StatusCode::CREATED | StatusCode::CONFLICT), "{status}");
        let response = post("/v1/sessions").await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let session: Value = response.json().await.unwrap();
        self.token = session["token"].as_str().map(str::to_owned);
        self
    }

    /// Its token.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// The answer, if there is one.
    pub async fn try_get(&self, path: &str) -> Option<Response> {
        self.request(Method::GET, path).send().await.ok()
    }

    /// Uploads a raw body; `parameters` starts with `&` if there are any.
    pub fn upload(&self, parameters: &str, content: impl Into<Body>) -> RequestBuilder {
        let path = format!("{UPLOAD}?file_name=songs.csv{parameters}");
        self.request(Method::POST, &path).header("content-type", "text/csv").body(content)
    }

    /// Uploads a file, which must be accepted.
    pub async fn accept(&self, parameters: &str, content: impl Into<Body>) -> TaskId {
        accepted(self.upload(parameters, content).send().await.unwrap()).await.task.task_id
    }

    pub async fn task(&self, id: TaskId) -> TaskView {
        let response = self.get(&format!("/v1/tasks/status/{id}")).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    /// All tasks of all pages.
    pub async fn tasks(&self) -> Vec<TaskView> {
        let mut tasks = Vec::new();
        let mut path = "/v1/tasks?page_size=100".to_owned();
        loop {
            let page: TaskList = self.get(&path).await.json().await.unwrap();
            tasks.extend(page.items);
            let Some(token) = page.next_page_token else { return tasks };
            path = format!("/v1/tasks?page_size=100&page_token={token}");
        }
    }

    /// Waits until the task has ended.
    pub async fn wait_for_end(&self, id: TaskId) -> TaskView {
        eventually(&format!("{id} ends"), async || {
            Some(self.task(id).await).filter(|task| task.state.is_ended())
        })
        .await
    }

    pub async fn wait_for_state(&self, id: TaskId, state: TaskState) -> TaskView {
        eventually(&format!("{id} becomes {state}"), async || {
            Some(self.task(id).await).filter(|task| task.state == state)
        })
        .await
    }

    /// Waits until the task is processed, and downloads its result.
    pub async fn result(&self, id: TaskId) -> Bytes {
        let task = self.wait_for_end(id).await;
        assert_eq!(task.state, TaskState::Processed, "{:?}", task.error);
        let response = self.download(id).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.bytes().await.unwrap()
    }

    pub async fn download(&self, id: TaskId) -> Response {
        self.get(&format!("/v1/data_processor/download/{id}")).await
    }

    /// Posts `stop`, `kill` or `resume`.
    pub async fn interrupt(&self, id: TaskId, verb: &str) -> Response {
        self.request(Method::POST, &format!("/v1/tasks/{id}/{verb}")).send().await.unwrap()
    }
}

/// The task of an accepted upload.
pub async fn accepted(response: Response) -> AcceptedTask {
    if response.status() != StatusCode::ACCEPTED {
        panic!("{}: {}", response.status(), response.text().await.unwrap());
    }
    response.json().await.unwrap()
}

/// The problem document of a refusal, which must be complete.
pub async fn refused(response: Response) -> Problem {
    let status = response.status();
    let path = response.url().path().to_owned();
    let media_type = response.headers().get("content-type").cloned();
    let text = response.text().await.unwrap();
    assert!(status.is_client_error(), "{status} {path}: {text}");
    assert_eq!(media_type.unwrap(), MEDIA_TYPE, "{status} {path}: {text}");
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut fields: Vec<_> = document.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, PROBLEM_FIELDS);
    let problem: Problem = serde_json::from_value(document).unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert_eq!(problem.kind, format!("/problems/{}", problem.code));
    assert_eq!(problem.instance.as_deref(), Some(path.as_str()));
    assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{problem:?}");
    problem
}
