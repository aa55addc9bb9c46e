//! What was just committed goes to the queue at once, without another look at the outbox.
//!
//! # Invariants
//! - Everything here is in the outbox too, held for this process: what is lost here, with the process
//!   or because there is too much, is published by a relay when it is held no more.
//! - Nothing waits for company: a single one goes at once, and what comes while others are published
//!   goes with the next ones.
//! - What the queue confirmed is deleted from the outbox later, with much else: nobody waits for that.
//!
//! # Not here
//! Reading the outbox, and noting in it what became of messages (`relay`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::queue::Publisher;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Dispatch;
use super::relay::{Published, publish};

/// How many messages are published at once.
const BATCH: usize = 500;
/// How many wait at the most; a queue that takes so long is as good as away.
const MOST: usize = 100_000;
/// When so many are to be noted, the relay is not waited for.
const NOTED: usize = 500;

/// Between who commits, who publishes, and the relay.
#[derive(Debug, Default)]
pub(super) struct Handover {
    waiting: Mutex<Vec<Dispatch>>,
    arrived: Notify,
    published: Mutex<Published>,
}

impl Handover {
    /// Takes what was committed.
    pub(super) fn add(&self, dispatches: impl IntoIterator<Item = Dispatch>) {
        let mut waiting = lock(&self.waiting);
        let free = MOST.saturating_sub(waiting.len());
        waiting.extend(dispatches.into_iter().take(free));
        drop(waiting);
        self.arrived.notify_one();
    }

    /// What was published and is still to be noted.
    pub(super) fn published(&self) -> Published {
        std::mem::take(&mut *lock(&self.published))
    }

    /// Publishes until `shutdown`; calls `wake` when the relay is to note what was published.
    pub(super) async fn run(
        &self,
        publisher: &Publisher,
        wake: impl Fn(),
        shutdown: &CancellationToken,
    ) {
        loop {
            let next = {
                let mut waiting = lock(&self.waiting);
                let count = waiting.len().min(BATCH);
                waiting.drain(..count).collect::<Vec<_>>()
            };
            if next.is_empty() {
                tokio::select! {
                    () = self.arrived.notified() => continue,
                    () = shutdown.cancelled() => return,
                }
            }
            let latest = publish(publisher, next).await;
            let mut published = lock(&self.published);
            published.append(latest);
            let is_much = published.len() >= NOTED;
            drop(published);
            if is_much {
                wake();
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was locked leaves valid lists.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
