//! Turning deliveries into attempts.

use common::queue::Delivery;
use common::report::{Claim, ClaimRequest, ClaimedDelivery, WorkerId};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::task_manager::TaskManager;

/// A delivery with what the task manager said to it.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) delivery: Delivery,
    pub(super) claim: Claim,
    /// When the request was sent: the lease began later than that.
    pub(super) sent: Instant,
}

/// Claims the tasks of `deliveries`, for as long as it takes. When the worker is asked to end, it
/// is not tried again: the deliveries are dropped and come again elsewhere. A call under way is
/// waited for even then, since its claims would otherwise be lost leases.
pub(super) async fn claim(
    task_manager: TaskManager,
    worker: WorkerId,
    deliveries: Vec<Delivery>,
    shutdown: CancellationToken,
) -> Vec<Answered> {
    let asked = deliveries
        .iter()
        .map(Delivery::message)
        .map(|message| ClaimedDelivery { task_id: message.task_id, dispatch: message.dispatch });
    let request = ClaimRequest { worker, deliveries: asked.collect() };
    let mut backoff = Backoff::new();
    loop {
        let sent = Instant::now();
        match task_manager.claim(&request).await {
            Ok(claims) => {
                return deliveries
                    .into_iter()
                    .zip(claims)
                    .map(|(delivery, claim)| Answered { delivery, claim, sent })
                    .collect();
            }
            Err(error) => {
                tracing::warn!(%error, tasks = request.deliveries.len(), "claims went unanswered");
            }
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = shutdown.cancelled() => return Vec::new(),
        }
    }
}
