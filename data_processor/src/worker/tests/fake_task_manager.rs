//! A task manager that follows the script of a test.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use super::fake_load::{self, Load};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use common::client::FailoverClient;
use common::problem::Problem;
use common::report::{
    Attempt, Claim, ClaimRequest, ClaimResponse, Event, Outcome, Report, ReportRequest,
    ReportResponse, StepAnswer, WorkerInfo,
};
use common::task::TaskId;
use common::tls::Trust;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Its answers, and the calls that it received.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// The attempts that can be claimed; other claims are refused.
    pub(super) attempts: HashMap<TaskId, Attempt>,
    /// The answers to heartbeats, instead of `continue`.
    pub(super) heartbeats: HashMap<TaskId, Outcome>,
    /// The answers to the next final reports, instead of `accepted`.
    pub(super) final_outcomes: HashMap<TaskId, Outcome>,
    /// The loads of `data_upload` tasks.
    pub(super) loads: HashMap<TaskId, Load>,
    /// The answers to the next steps of bulk actions; without one, the answer is 503.
    pub(super) steps: VecDeque<StepAnswer>,
    /// Whether it is of a version without bulk actions.
    pub(super) knows_no_steps: bool,
    /// Whether it answers every call with 503.
    pub(super) is_down: bool,
    /// The number of calls that it did not answer.
    pub(super) unanswered: usize,
    pub(super) claims: Vec<ClaimRequest>,
    pub(super) reports: Vec<Report>,
    pub(super) workers: Vec<WorkerInfo>,
}

impl Script {
    /// The events of a task's final reports.
    pub(super) fn final_events(&self, task_id: TaskId) -> Vec<Event> {
        let of_task = self.reports.iter().filter(|report| report.task_id == task_id);
        of_task.map(|report| &report.event).filter(|event| event.is_final()).cloned().collect()
    }

    /// How often a task was claimed.
    pub(super) fn claims_of(&self, task_id: TaskId) -> usize {
        let deliveries = self.claims.iter().flat_map(|request| &request.deliveries);
        deliveries.filter(|delivery| delivery.task_id == task_id).count()
    }
}

pub(super) type Shared = Arc<Mutex<Script>>;

#[derive(Debug)]
pub(super) struct FakeTaskManager {
    script: Shared,
    url: String,
    _server: AbortOnDropHandle<()>,
}

impl FakeTaskManager {
    pub(super) async fn start() -> Self {
        let script = Shared::default();
        let router = Router::new()
            .route("/internal/v1/claims", post(claims))
            .route("/internal/v1/reports", post(reports))
            .route("/internal/v1/tasks/{id}/rows", post(fake_load::rows))
            .route("/internal/v1/tasks/{id}/steps", post(steps))
            .with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, url, _server: AbortOnDropHandle::new(server) }
    }

    pub(super) fn client(&self) -> FailoverClient {
        FailoverClient::new(std::slice::from_ref(&self.url), None, &Trust::default()).unwrap()
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

async fn claims(
    State(script): State<Shared>,
    Json(request): Json<ClaimRequest>,
) -> Result<Json<ClaimResponse>, StatusCode> {
    let mut script = script.lock().unwrap();
    if script.is_down {
        script.unanswered += 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let claim = |task_id: TaskId| match script.attempts.get(&task_id) {
        Some(attempt) => Claim::Attempt(Box::new(attempt.clone())),
        None => Claim::Refused { task_id, refused: "unknown task".to_owned() },
    };
    let claims = request.deliveries.iter().map(|delivery| claim(delivery.task_id)).collect();
    script.claims.push(request);
    Ok(Json(ClaimResponse { claims }))
}

async fn reports(
    State(script): State<Shared>,
    Json(request): Json<ReportRequest>,
) -> Result<Json<ReportResponse>, StatusCode> {
    let mut script = script.lock().unwrap();
    if script.is_down {
        script.unanswered += 1;
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let mut outcomes = Vec::new();
    for report in &request.reports {
        outcomes.push(if report.event.is_final() {
            script.final_outcomes.remove(&report.task_id).unwrap_or(Outcome::Accepted)
        } else {
            script.heartbeats.get(&report.task_id).cloned().unwrap_or(Outcome::Continue)
        });
    }
    script.workers.push(request.worker);
    script.reports.extend(request.reports);
    Ok(Json(ReportResponse { outcomes }))
}

async fn steps(State(script): State<Shared>) -> Response {
    let mut script = script.lock().unwrap();
    if script.knows_no_steps {
        script.unanswered += 1;
        let problem = Problem::new(404, "not_found", "Not found", "There is no such path.");
        return (StatusCode::NOT_FOUND, Json(problem)).into_response();
    }
    match script.steps.pop_front() {
        Some(answer) => Json(answer).into_response(),
        None => {
            script.unanswered += 1;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
