//! Claims the tasks of deliveries.

use common::queue::Delivery;
use common::report::{Claim, ClaimRequest, ClaimedDelivery, WorkerId};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::task_manager::TaskManager;

/// A delivery with the answer to its claim.
#[derive(Debug)]
pub(super) struct AnsweredClaim {
    pub(super) delivery: Delivery,
    pub(super) claim: Claim,
    /// When the request was sent. The lease starts no earlier.
    pub(super) sent: Instant,
}

/// Claims the tasks of `deliveries`, and retries until the task manager answers. After `shutdown`
/// it does not retry: the deliveries are dropped, and the queue delivers them to other workers. A
/// call that is in progress is always awaited, since the leases of its claims would otherwise be
/// lost.
pub(super) async fn claim(
    task_manager: TaskManager,
    worker: WorkerId,
    deliveries: Vec<Delivery>,
    shutdown: CancellationToken,
) -> Vec<AnsweredClaim> {
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
                    .map(|(delivery, claim)| AnsweredClaim { delivery, claim, sent })
                    .collect();
            }
            Err(error) => {
                tracing::warn!(%error, tasks = request.deliveries.len(), "cannot claim tasks");
            }
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = shutdown.cancelled() => return Vec::new(),
        }
    }
}
