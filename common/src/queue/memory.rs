//! The in-process queue. Its contents need not survive: at start it is filled from the task
//! manager's table.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Message, QueueError};
use crate::task::TaskKind;

/// A queue per kind, in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<HashMap<TaskKind, VecDeque<Message>>>,
    /// Notified when a message arrives or returns, or a consumer may take one more.
    changed: Notify,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<TaskKind, VecDeque<Message>>> {
        // A panic while it was locked leaves a valid queue: every change is a single push or pop.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryQueue {
    pub(super) fn publish(&self, messages: &[(TaskKind, Message)]) -> Vec<Result<(), QueueError>> {
        let mut waiting = self.shared.waiting();
        for (kind, message) in messages {
            waiting.entry(*kind).or_default().push_back(*message);
        }
        drop(waiting);
        self.shared.changed.notify_waiters();
        vec![Ok(()); messages.len()]
    }

    pub(super) fn depth(&self, kind: TaskKind) -> u64 {
        self.shared.waiting().get(&kind).map_or(0, |queue| queue.len() as u64)
    }

    pub(super) fn consumer(&self, kinds: &[TaskKind], prefetch: usize) -> MemoryConsumer {
        MemoryConsumer {
            shared: Arc::clone(&self.shared),
            kinds: kinds.to_vec(),
            prefetch,
            unacked: Arc::new(()),
            paused: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct MemoryConsumer {
    shared: Arc<Shared>,
    kinds: Vec<TaskKind>,
    prefetch: usize,
    /// Every delivery holds a clone: the count is that of the unacked deliveries plus one.
    unacked: Arc<()>,
    paused: bool,
}

impl MemoryConsumer {
    pub(super) async fn next(&mut self) -> MemoryDelivery {
        loop {
            let shared = Arc::clone(&self.shared);
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // Enabled before polling, so that no change in between is missed.
            changed.as_mut().enable();
            if let Some(delivery) = self.try_next() {
                return delivery;
            }
            changed.await;
        }
    }

    pub(super) fn try_next(&mut self) -> Option<MemoryDelivery> {
        if self.paused || Arc::strong_count(&self.unacked) > self.prefetch {
            return None;
        }
        let mut waiting = self.shared.waiting();
        for position in 0..self.kinds.len() {
            let kind = self.kinds[position];
            if let Some(message) = waiting.get_mut(&kind).and_then(VecDeque::pop_front) {
                // The next poll starts after this kind, so that no kind starves another.
                self.kinds[position..].rotate_left(1);
                drop(waiting);
                return Some(MemoryDelivery {
                    shared: Arc::clone(&self.shared),
                    kind,
                    message,
                    unacked: Some(Arc::clone(&self.unacked)),
                    acked: false,
                });
            }
        }
        None
    }

    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    pub(super) fn resume(&mut self) {
        self.paused = false;
        self.shared.changed.notify_waiters();
    }
}

#[derive(Debug)]
pub(super) struct MemoryDelivery {
    shared: Arc<Shared>,
    kind: TaskKind,
    message: Message,
    unacked: Option<Arc<()>>,
    acked: bool,
}

impl MemoryDelivery {
    pub(super) fn message(&self) -> Message {
        self.message
    }

    pub(super) fn ack(mut self) {
        self.acked = true;
    }
}

impl Drop for MemoryDelivery {
    fn drop(&mut self) {
        if !self.acked {
            self.shared.waiting().entry(self.kind).or_default().push_front(self.message);
        }
        self.unacked = None;
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Queue, conformance};
    use super::MemoryQueue;

    #[tokio::test]
    async fn conforms() {
        conformance::run(|| async { Queue::Memory(MemoryQueue::default()) }).await;
    }
}
