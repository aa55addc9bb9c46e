//! A task manager under test.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::metrics::Page;
use common::queue::{Consumer, Queue};
use common::report::{
    Attempt, Claim, ClaimRequest, ClaimResponse, ClaimedDelivery, Event, Outcome, Output, Report,
    ReportRequest, ReportResponse, WorkerId, WorkerInfo,
};
use common::storage::{ObjectKey, OutputPart, Storage};
use common::task::{AcceptedTask, KindName, TaskId, TaskKind, TaskList, TaskState, TaskView};
use common::tls::Trust;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::{MysqlConnection, SqliteConnection, sql_query};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use task_manager::Server;
use task_manager::config::Config;
use tempfile::TempDir;
use uuid::Uuid;

use super::backend::{Backend, TestDatabase, queue};

/// How long to wait for a condition.
pub const DEADLINE: Duration = Duration::from_secs(15);

/// Waits until `check` returns a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, check: impl Fn() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub struct TestApp {
    pub backend: Backend,
    pub database: TestDatabase,
    queue: Queue,
    pub folder: TempDir,
    pub storage: Storage,
    config: Config,
    server: Option<Server>,
    http: reqwest::Client,
    /// The token that requests send by default: in a fleet, an administrator's.
    pub token: Option<String>,
    consumer: Consumer,
    worker: WorkerId,
}

impl TestApp {
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, |_| {}).await
    }

    pub async fn start_with(backend: Backend, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut config, _) = Config::load(None, folder.path()).unwrap();
        config.listen.set_port(0);
        let database = TestDatabase::create(backend, &folder);
        config.database_url = database.url.clone().into();
        config.jwt_key = Some(JWT_KEY.into());
        // So that a test that runs at the full hour gets no unexpected task.
        config.run_schedules = false;
        change(&mut config);
        let storage = Storage::connect(&config.storage, &Trust::default()).unwrap();
        let queue = queue(backend);
        let (server, consumer) = serve(backend, &config, &queue, &storage).await;
        let token = match config.needs_login() {
            true => Some(administrator(&config, server.address).await),
            false => None,
        };
        Self {
            backend,
            database,
            queue,
            folder,
            storage,
            config,
            server: Some(server),
            http: client(token.as_deref()),
            token,
            consumer,
            worker: WorkerId(Uuid::now_v7()),
        }
    }

    /// Stops the server and starts another one on the same folder and database; if standalone, with
    /// an empty queue.
    pub async fn restart(&mut self) {
        self.restart_with(|_| {}).await;
    }

    /// The same, with other settings.
    pub async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.server.take().unwrap().stop().await.unwrap();
        if self.backend == Backend::Standalone {
            self.queue = queue(self.backend);
        }
        let (server, consumer) =
            serve(self.backend, &self.config, &self.queue, &self.storage).await;
        (self.server, self.consumer) = (Some(server), consumer);
    }

    /// Starts another server of the fleet and uses it from now on; returns the previous one, which
    /// keeps running.
    pub async fn switch_to_another(&mut self) -> Server {
        let another = Server::start(&self.config, &self.queue, self.storage.clone()).await.unwrap();
        self.server.replace(another).unwrap()
    }

    /// Stops the current server and uses `server`.
    pub async fn switch_back(&mut self, server: Server) {
        self.server.replace(server).unwrap().stop().await.unwrap();
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.server.as_ref().unwrap().address
    }

    pub fn add_metrics(&self, page: &mut Page) {
        self.server.as_ref().unwrap().add_metrics(page);
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address()))
    }

    /// A request without a token.
    pub fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        client(None).request(method, format!("http://{}{path}", self.address()))
    }

    /// A request of the user with this token.
    pub fn request_as(&self, token: &str, method: Method, path: &str) -> RequestBuilder {
        self.anonymous(method, path).bearer_auth(token)
    }

    /// The token that workers send.
    pub fn service_token(&self) -> &str {
        self.server.as_ref().unwrap().service_token.expose_secret()
    }

    /// Signs a user up and logs in; returns the token.
    pub async fn log_in_as(&self, name: &str) -> String {
        let credentials = json!({"username": name, "password": PASSWORD});
        let signed_up = self.anonymous(Method::POST, "/v1/users").json(&credentials).send().await;
        assert_eq!(signed_up.unwrap().status(), StatusCode::CREATED);
        log_in(self.address(), name).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn post(&self, path: &str) -> Response {
        self.request(Method::POST, path).send().await.unwrap()
    }

    pub async fn upload(&self, content: &'static str) -> AcceptedTask {
        self.upload_with("", content).await
    }

    /// Uploads a raw body; `parameters` starts with `&` if there are any.
    pub async fn upload_with(&self, parameters: &str, content: &'static str) -> AcceptedTask {
        let path = format!("/v1/data_processor/upload?file_name=songs.csv{parameters}");
        let response = self.request(Method::POST, &path).body(content).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", response.text().await);
        response.json().await.unwrap()
    }

    pub async fn task(&self, id: TaskId) -> TaskView {
        self.get(&format!("/v1/tasks/{id}")).await.json().await.unwrap()
    }

    pub async fn list(&self, query: &str) -> TaskList {
        self.get(&format!("/v1/tasks{query}")).await.json().await.unwrap()
    }

    pub async fn state(&self, id: TaskId) -> TaskState {
        self.task(id).await.state
    }

    pub async fn wait_for_state(&self, id: TaskId, state: TaskState) -> TaskView {
        let what = format!("{id} becomes {state}");
        eventually(&what, || async { Some(self.task(id).await).filter(|task| task.state == state) })
            .await
    }

    pub async fn interrupt(&self, id: TaskId, verb: &str) -> (StatusCode, Value) {
        let response = self.post(&format!("/v1/tasks/{id}/{verb}")).await;
        (response.status(), response.json().await.unwrap())
    }

    /// The next delivery of the queue.
    pub async fn delivery(&mut self) -> ClaimedDelivery {
        let delivery = tokio::time::timeout(DEADLINE, self.consumer.next()).await.unwrap();
        let message = delivery.message();
        delivery.ack().await;
        ClaimedDelivery { task_id: message.task_id, dispatch: message.dispatch }
    }

    /// Whether the queue delivers nothing for a while.
    pub async fn is_queue_silent(&mut self) -> bool {
        let silence = Duration::from_millis(700);
        tokio::time::timeout(silence, self.consumer.next()).await.is_err()
    }

    pub fn other_worker(&mut self) {
        self.worker = WorkerId(Uuid::now_v7());
    }

    /// A request of a worker.
    pub fn internal_request(&self, path: &str) -> RequestBuilder {
        let token = self.server.as_ref().unwrap().service_token.expose_secret();
        self.request(Method::POST, path).bearer_auth(token)
    }

    async fn internal<T: serde::de::DeserializeOwned>(&self, path: &str, body: Value) -> T {
        let response = self.internal_request(path).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{:?}", response.text().await);
        response.json().await.unwrap()
    }

    pub async fn claim(&self, deliveries: Vec<ClaimedDelivery>) -> Vec<Claim> {
        let request = ClaimRequest { worker: self.worker, deliveries };
        let body = serde_json::to_value(request).unwrap();
        self.internal::<ClaimResponse>("/internal/v1/claims", body).await.claims
    }

    /// A claim by an unknown worker.
    pub async fn claim_as_stranger(&self, delivery: ClaimedDelivery) -> Claim {
        let request = ClaimRequest { worker: WorkerId(Uuid::now_v7()), deliveries: vec![delivery] };
        let body = serde_json::to_value(request).unwrap();
        self.internal::<ClaimResponse>("/internal/v1/claims", body).await.claims.remove(0)
    }

    pub async fn claim_one(&self, delivery: ClaimedDelivery) -> Attempt {
        match self.claim(vec![delivery]).await.remove(0) {
            Claim::Attempt(attempt) => *attempt,
            Claim::Refused { refused, .. } => panic!("the claim was refused: {refused}"),
        }
    }

    /// Takes the next delivery and claims it.
    pub async fn next_attempt(&mut self) -> Attempt {
        let delivery = self.delivery().await;
        self.claim_one(delivery).await
    }

    pub async fn report_all(&self, reports: Vec<Report>) -> Vec<Outcome> {
        let worker = WorkerInfo {
            id: self.worker,
            name: "test".to_owned(),
            version: "1.0".to_owned(),
            kinds: TaskKind::ALL.map(KindName::from).to_vec(),
            slots: 2,
            draining: false,
        };
        let body = serde_json::to_value(ReportRequest { worker, reports }).unwrap();
        self.internal::<ReportResponse>("/internal/v1/reports", body).await.outcomes
    }

    pub async fn report(&self, attempt: &Attempt, event: Event) -> Outcome {
        let report = Report { task_id: attempt.task_id, attempt: attempt.attempt, event };
        self.report_all(vec![report]).await.remove(0)
    }

    /// Writes a result as the attempt's worker.
    pub async fn write_result(&self, attempt: &Attempt, content: &'static str) {
        let key = ObjectKey::Output {
            task_id: attempt.task_id,
            attempt: attempt.attempt,
            part: OutputPart::Result,
        };
        let mut writer = self.storage.create(key);
        writer.write(content.into()).await.unwrap();
        writer.finish().await.unwrap();
    }

    /// Writes a result and reports it.
    pub async fn complete(&self, attempt: &Attempt, content: &'static str) -> Outcome {
        self.write_result(attempt, content).await;
        self.report(attempt, completed(content.len() as u64)).await
    }

    /// A task that a worker has claimed.
    pub async fn processing_task(&mut self) -> Attempt {
        let id = self.upload(SONGS).await.task.task_id;
        let attempt = self.next_attempt().await;
        assert_eq!(attempt.task_id, id);
        attempt
    }

    /// A task in any state that lasts.
    pub async fn task_in(&mut self, state: TaskState) -> TaskId {
        let attempt = self.processing_task().await;
        let id = attempt.task_id;
        match state {
            TaskState::Queued => {
                self.report(&attempt, Event::Released { checkpoint: None }).await;
                self.delivery().await;
            }
            TaskState::Processing => {}
            TaskState::Processed => {
                self.complete(&attempt, "Song,Date,Number of Plays\n").await;
            }
            TaskState::Failed => {
                self.report(&attempt, failed()).await;
            }
            TaskState::Stopped => {
                self.interrupt(id, "stop").await;
                self.wait_for_state(id, TaskState::Stopped).await;
            }
            TaskState::Killed => {
                self.interrupt(id, "kill").await;
            }
            TaskState::Initializing | TaskState::Stopping => panic!("{state} does not last"),
        }
        assert_eq!(self.state(id).await, state);
        id
    }

    /// Changes the database directly: to let time pass, or to break a row.
    pub fn sql(&self, statement: &str) -> usize {
        let url = &self.config.database_url;
        match url.expose_secret().strip_prefix("sqlite://") {
            Some(path) => {
                let mut conn = SqliteConnection::establish(path).unwrap();
                sql_query("PRAGMA busy_timeout = 5000").execute(&mut conn).unwrap();
                sql_query(statement).execute(&mut conn).unwrap()
            }
            None => {
                let mut conn = MysqlConnection::establish(url.expose_secret()).unwrap();
                sql_query(statement).execute(&mut conn).unwrap()
            }
        }
    }

    /// A direct connection to the fleet's database.
    pub fn database_connection(&self) -> MysqlConnection {
        MysqlConnection::establish(self.config.database_url.expose_secret()).unwrap()
    }

    /// Begins a transaction on MySQL with `statement`, which holds its locks until it is committed.
    pub fn open_transaction(&self, statement: &str) -> MysqlConnection {
        let mut conn = self.database_connection();
        // Like the server's own: gap locks would block new tasks too.
        let isolation = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
        // As text: MySQL does not prepare BEGIN.
        for statement in [isolation, "BEGIN", statement] {
            conn.batch_execute(statement).unwrap();
        }
        conn
    }

    /// `time` from now, as a literal for [`sql`](Self::sql).
    pub fn time(&self, from_now: chrono::TimeDelta) -> String {
        (common::clock::now() + from_now).format("'%Y-%m-%d %H:%M:%S%.6f'").to_string()
    }

    /// The names of the files in the bucket.
    pub fn files(&self) -> Vec<String> {
        let mut found = Vec::new();
        let root = self.folder.path().join("local_storage");
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let inside = path.strip_prefix(&root).unwrap();
                    found.push(inside.display().to_string());
                }
            }
        }
        found.sort();
        found
    }

    pub async fn wait_for_files(&self, expected: &[String]) {
        eventually(&format!("the files are {expected:?}"), || async {
            (self.files() == expected).then_some(())
        })
        .await;
    }
}

/// Signs the tokens of every server under test.
pub const JWT_KEY: &str = "signs-the-tokens-of-servers-under-test";
/// The password of every user.
pub const PASSWORD: &str = "Pa55word!";

fn client(token: Option<&str>) -> reqwest::Client {
    let mut headers = reqwest::header::HeaderMap::new();
    if let Some(token) = token {
        headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    common::client::plain_http().unwrap().default_headers(headers).build().unwrap()
}

async fn log_in(address: std::net::SocketAddr, name: &str) -> String {
    let credentials = json!({"username": name, "password": PASSWORD});
    let request = client(None).post(format!("http://{address}/v1/sessions")).json(&credentials);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED, "{:?}", response.text().await);
    response.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
}

async fn administrator(config: &Config, address: std::net::SocketAddr) -> String {
    task_manager::create_administrator(config, "tester", PASSWORD.into()).await.unwrap();
    log_in(address, "tester").await
}

async fn serve(
    backend: Backend,
    config: &Config,
    queue: &Queue,
    storage: &Storage,
) -> (Server, Consumer) {
    let consumer = queue.consumer(&TaskKind::ALL, 1_000);
    let server = match backend {
        Backend::Standalone => {
            Server::start_standalone(config, queue, storage.clone()).await.unwrap()
        }
        Backend::Fleet => Server::start(config, queue, storage.clone()).await.unwrap(),
    };
    (server, consumer)
}

pub const SONGS: &str = "Song,Date,Number of Plays\nUmbrella,2020-01-02,200\n";

pub fn completed(size: u64) -> Event {
    Event::Completed {
        result: json!({"rows_read": 1, "rows_rejected": 0, "groups": 1, "output_size": size}),
        output: Some(Output {
            file_name: "songs-aggregated.csv".to_owned(),
            media_type: "text/csv; charset=utf-8".to_owned(),
            size,
            has_rejected: false,
        }),
    }
}

pub fn failed() -> Event {
    Event::Failed {
        error: common::problem::Problem::new(422, "bad_rows", "Invalid rows", "One of them."),
    }
}

pub fn heartbeat() -> Event {
    Event::Heartbeat { progress: None }
}

/// The body of a problem document, after checks that apply to all of them.
pub async fn problem(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(content_type, "application/problem+json");
    assert!(response.headers().contains_key("x-request-id"));
    let path = response.url().path().to_owned();
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["instance"], path);
    assert_eq!(body["type"], format!("/problems/{}", body["code"].as_str().unwrap()));
    for field in ["title", "detail", "timestamp"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {body}");
    }
    assert!(body["errors"].is_array() && body["error_count"].is_u64(), "{body}");
    (status, body)
}
