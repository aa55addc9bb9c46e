//! The calls of the worker protocol.
//!
//! All of them are idempotent, so they can be retried: a repeated claim returns the same attempt to
//! the same worker, a repeated final report is accepted again, a repeated batch of rows is
//! recognised by its checkpoint, and a repeated step of a bulk action counts each task once.

use std::time::Duration;

use common::client::{ClientError, FailoverClient};
use common::report::{
    Claim, ClaimRequest, ClaimResponse, ReportRequest, ReportResponse, RowBatch, RowsAnswer,
    StepAnswer, StepRequest,
};
use common::task::TaskId;

/// The timeout of a call: two of them fit in a lease.
const TIMEOUT: Duration = Duration::from_secs(10);

/// After how long a call is also sent to the next task manager. For claims and reports, many such
/// delays fit in a lease. Rows cost more, and their answer may take a second by itself.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_FOR_ROWS: Duration = Duration::from_secs(4);
/// A step takes up to two seconds and the time of a search.
const PATIENCE_FOR_STEPS: Duration = Duration::from_secs(6);

/// A client of the task managers.
#[derive(Debug, Clone)]
pub(crate) struct TaskManager {
    api: FailoverClient,
}

impl TaskManager {
    pub(crate) fn new(api: FailoverClient) -> Self {
        Self { api }
    }

    /// Claims the tasks of deliveries. Returns one answer for each, in order.
    pub(crate) async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, ClientError> {
        let response: ClaimResponse =
            self.api.post("/internal/v1/claims", request, TIMEOUT, PATIENCE).await?;
        let asked = request.deliveries.iter().map(|delivery| delivery.task_id);
        if response.claims.iter().map(task_of).eq(asked) {
            Ok(response.claims)
        } else {
            Err(self.unexpected("the answers are not for the requested tasks"))
        }
    }

    /// Sends reports. The response has one outcome for each, in order.
    pub(crate) async fn report(
        &self,
        request: &ReportRequest,
    ) -> Result<ReportResponse, ClientError> {
        let response: ReportResponse =
            self.api.post("/internal/v1/reports", request, TIMEOUT, PATIENCE).await?;
        if response.outcomes.len() == request.reports.len() {
            Ok(response)
        } else {
            Err(self.unexpected("the number of outcomes is not the number of reports"))
        }
    }

    /// Sends a batch of a task's rows.
    pub(crate) async fn load(
        &self,
        task_id: TaskId,
        batch: &RowBatch,
    ) -> Result<RowsAnswer, ClientError> {
        let path = format!("/internal/v1/tasks/{task_id}/rows");
        self.api.post(&path, batch, TIMEOUT, PATIENCE_FOR_ROWS).await
    }

    /// Asks for a step of a bulk action.
    pub(crate) async fn step(
        &self,
        task_id: TaskId,
        attempt: u32,
    ) -> Result<StepAnswer, ClientError> {
        let path = format!("/internal/v1/tasks/{task_id}/steps");
        self.api.post(&path, &StepRequest { attempt }, TIMEOUT, PATIENCE_FOR_STEPS).await
    }

    fn unexpected(&self, reason: &str) -> ClientError {
        let server = self.api.to_string();
        ClientError::Unexpected { server, reason: reason.to_owned() }
    }
}

fn task_of(claim: &Claim) -> TaskId {
    match claim {
        Claim::Attempt(attempt) => attempt.task_id,
        Claim::Refused { task_id, .. } => *task_id,
    }
}
