//! Tells the task manager how the attempts are doing, and hears what is to become of them.
//!
//! One call at a time: while it is under way, what happens next waits for the following one, so
//! that many small tasks share a call and a single one waits for nothing.

use std::sync::Arc;
use std::time::Duration;

use common::report::{ReportRequest, WorkerInfo};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::attempts::Attempts;
use crate::backoff::Backoff;
use crate::processors::Size;
use crate::task_manager::TaskManager;

/// How often an idle worker says that it is there.
const ANNOUNCE: Duration = Duration::from_secs(10);

/// How long the worker waits for answers to its last reports when it ends. After that the leases
/// run out and others take over.
const GOODBYE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) task_manager: TaskManager,
    pub(super) attempts: Arc<Attempts>,
    pub(super) info: WorkerInfo,
    /// The worker takes no more tasks.
    pub(super) draining: CancellationToken,
    /// Every attempt has ended, and no other will be added.
    pub(super) closing: CancellationToken,
}

impl Reporter {
    /// Reports until the worker ends and everything is answered, or nobody answers.
    pub(super) async fn run(self) {
        let (attempts, closing) = (Arc::clone(&self.attempts), self.closing.clone());
        let too_long = async {
            closing.cancelled().await;
            sleep(GOODBYE).await;
        };
        tokio::select! {
            () = self.report() => {}
            () = too_long => {
                let reports: usize = Size::ALL.map(|size| attempts.unanswered(size)).iter().sum();
                tracing::warn!(reports, "the worker ends without an answer to its last reports");
            }
        }
    }

    async fn report(mut self) {
        let mut backoff = Backoff::new();
        let mut answered = true;
        let mut announce_at = Instant::now();
        while !(self.closing.is_cancelled() && self.attempts.is_empty()) {
            if self.draining.is_cancelled() && !self.info.draining {
                self.info.draining = true;
                announce_at = Instant::now();
            }
            let sent = Instant::now();
            let reports = self.attempts.due(sent);
            if reports.is_empty() && sent < announce_at {
                self.wait(announce_at).await;
                continue;
            }
            let request = ReportRequest { worker: self.info.clone(), reports };
            let settled = match self.task_manager.report(&request).await {
                Ok(response) => {
                    if !answered {
                        tracing::info!("the task manager answers again");
                    }
                    answered = true;
                    announce_at = sent + ANNOUNCE;
                    self.attempts.settle(&request.reports, response.outcomes, sent)
                }
                Err(error) => {
                    // One line for each outage, not for each call.
                    if answered {
                        tracing::warn!(%error, "reports go unanswered; they are sent again");
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

    /// Waits until there is something to say.
    async fn wait(&self, announce_at: Instant) {
        let due = self.attempts.heartbeat_due().map_or(announce_at, |due| due.min(announce_at));
        tokio::select! {
            () = self.attempts.news() => {}
            () = sleep_until(due) => {}
            () = self.draining.cancelled(), if !self.info.draining => {}
            () = self.closing.cancelled() => {}
        }
    }
}
