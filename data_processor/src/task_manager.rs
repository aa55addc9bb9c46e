//! The calls of the worker protocol, each of which may be made twice: a claim gives the same worker the
//! same attempt, a last report is accepted again, and rows are loaded by their checkpoint.

use std::time::Duration;

use common::client::{ClientError, FailoverClient};
use common::report::{
    Claim, ClaimRequest, ClaimResponse, ReportRequest, ReportResponse, RowBatch, RowsAnswer,
};
use common::task::TaskId;

/// How long a call may take: two of them fit in a lease.
const TIMEOUT: Duration = Duration::from_secs(10);

/// When a call is made at the next task manager as well: a claim and a report after two seconds, of
/// which many fit in a lease; rows a little later, since they cost more, and one of their answers may
/// take a second of itself.
const PATIENCE: Duration = Duration::from_secs(2);
const PATIENCE_FOR_ROWS: Duration = Duration::from_secs(4);

/// The task managers, as a worker knows them.
#[derive(Debug, Clone)]
pub(crate) struct TaskManager {
    api: FailoverClient,
}

impl TaskManager {
    pub(crate) fn new(api: FailoverClient) -> Self {
        Self { api }
    }

    /// Asks for the tasks of deliveries; the answers are one for each, in order.
    pub(crate) async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, ClientError> {
        let response: ClaimResponse =
            self.api.post("/internal/v1/claims", request, TIMEOUT, PATIENCE).await?;
        let asked = request.deliveries.iter().map(|delivery| delivery.task_id);
        if response.claims.iter().map(task_of).eq(asked) {
            Ok(response.claims)
        } else {
            Err(self.unexpected("the claims are not for the tasks that were asked for"))
        }
    }

    /// Reports; the outcomes are one for each report, in order.
    pub(crate) async fn report(
        &self,
        request: &ReportRequest,
    ) -> Result<ReportResponse, ClientError> {
        let response: ReportResponse =
            self.api.post("/internal/v1/reports", request, TIMEOUT, PATIENCE).await?;
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
        let path = format!("/internal/v1/tasks/{task_id}/rows");
        self.api.post(&path, batch, TIMEOUT, PATIENCE_FOR_ROWS).await
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
