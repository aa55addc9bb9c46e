//! The calls of the worker protocol.

use std::time::Duration;

use common::client::{ApiClient, ClientError};
use common::report::{
    Claim, ClaimRequest, ClaimResponse, ReportRequest, ReportResponse, RowBatch, RowsAnswer,
};
use common::task::TaskId;

/// How long a call may take: two of them fit in a lease.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The task manager, as a worker knows it.
#[derive(Debug, Clone)]
pub(crate) struct TaskManager {
    api: ApiClient,
}

impl TaskManager {
    pub(super) fn new(api: ApiClient) -> Self {
        Self { api }
    }

    /// Asks for the tasks of deliveries; the answers are one for each, in order.
    pub(super) async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, ClientError> {
        let response: ClaimResponse =
            self.api.post("/internal/v1/claims", request, TIMEOUT).await?;
        let asked = request.deliveries.iter().map(|delivery| delivery.task_id);
        if response.claims.iter().map(task_of).eq(asked) {
            Ok(response.claims)
        } else {
            Err(self.unexpected("the claims are not for the tasks that were asked for"))
        }
    }

    /// Reports; the outcomes are one for each report, in order.
    pub(super) async fn report(
        &self,
        request: &ReportRequest,
    ) -> Result<ReportResponse, ClientError> {
        let response: ReportResponse =
            self.api.post("/internal/v1/reports", request, TIMEOUT).await?;
        if response.outcomes.len() == request.reports.len() {
            Ok(response)
        } else {
            Err(self.unexpected("there is not one outcome for each report"))
        }
    }

    /// Sends a batch of a task's rows.
    pub(crate) async fn load(
        &self,
        task_id: TaskId,
        batch: &RowBatch,
    ) -> Result<RowsAnswer, ClientError> {
        self.api.post(&format!("/internal/v1/tasks/{task_id}/rows"), batch, TIMEOUT).await
    }

    fn unexpected(&self, reason: &str) -> ClientError {
        let server = self.api.server().to_owned();
        ClientError::Unexpected { server, reason: reason.to_owned() }
    }
}

fn task_of(claim: &Claim) -> TaskId {
    match claim {
        Claim::Attempt(attempt) => attempt.task_id,
        Claim::Refused { task_id, .. } => *task_id,
    }
}
