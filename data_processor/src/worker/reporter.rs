//! Reports the attempts to the task manager, and applies its answers.
//!
//! There is one call at a time. Events that happen during a call go into the next one, so that many
//! small tasks share a call and a single one does not wait.

use std::sync::Arc;
use std::time::Duration;

use common::report::{ReportRequest, WorkerInfo};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use crate::backoff::Backoff;
use crate::processors::Size;
use crate::task_manager::TaskManager;

/// How often an idle worker sends a report without attempts.
const IDLE_REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// How long the worker waits for answers to its final reports when it shuts down. After that the
/// leases expire, and other workers take over.
const FINAL_REPORTS_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) task_manager: TaskManager,
    pub(super) attempts: Arc<Attempts>,
    pub(super) info: WorkerInfo,
    /// Cancelled when the worker takes no more tasks.
    pub(super) draining: CancellationToken,
    /// Cancelled when every attempt has ended and no other will be added.
    pub(super) closing: CancellationToken,
}

impl Reporter {
    /// Reports until the worker has shut down and everything is answered, or
    /// [`FINAL_REPORTS_TIMEOUT`] has passed.
    pub(super) async fn run(self) {
        let (attempts, closing) = (Arc::clone(&self.attempts), self.closing.clone());
        let too_long = async {
            closing.cancelled().await;
            sleep(FINAL_REPORTS_TIMEOUT).await;
        };
        tokio::select! {
            () = self.report() => {}
            () = too_long => {
                let reports: usize = Size::ALL.map(|size| attempts.unanswered(size)).iter().sum();
                tracing::warn!(reports, "shutting down without an answer to the final reports");
            }
        }
    }

    async fn report(mut self) {
        let mut backoff = Backoff::new();
        let mut answered = true;
        let mut idle_report_at = Instant::now();
        while !(self.closing.is_cancelled() && self.attempts.is_empty()) {
            if self.draining.is_cancelled() && !self.info.draining {
                self.info.draining = true;
                idle_report_at = Instant::now();
            }
            let sent = Instant::now();
            let reports = self.attempts.due(sent);
            if reports.is_empty() && sent < idle_report_at {
                self.wait(idle_report_at).await;
                continue;
            }
            let request = ReportRequest { worker: self.info.clone(), reports };
            let settled = match self.task_manager.report(&request).await {
                Ok(response) => {
                    if !answered {
                        tracing::info!("the task manager has recovered");
                    }
                    answered = true;
                    idle_report_at = sent + IDLE_REPORT_INTERVAL;
                    self.attempts.settle(&request.reports, response.outcomes, sent)
                }
                Err(error) => {
                    // One line per outage, not per call.
                    if answered {
                        tracing::warn!(%error, "cannot send reports, will retry");
                    }
                    answered = false;
                    self.attempts.give_up_expired(Instant::now());
                    false
                }
            };
            if settled {
                backoff = Backoff::new();
            } else {
                sleep(backoff.next()).await;
            }
        }
    }

    /// Waits until something must be reported.
    async fn wait(&self, idle_report_at: Instant) {
        let due =
            self.attempts.heartbeat_due().map_or(idle_report_at, |due| due.min(idle_report_at));
        tokio::select! {
            () = self.attempts.changed() => {}
            () = sleep_until(due) => {}
            () = self.draining.cancelled(), if !self.info.draining => {}
            () = self.closing.cancelled() => {}
        }
    }
}
