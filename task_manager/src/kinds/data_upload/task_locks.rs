//! Locks of tasks within this process: one batch of a task is written at a time, so that waiting
//! batches hold no database connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use common::task::TaskId;
use tokio::sync::Notify;

/// The locks of all tasks with batches in progress. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct TaskLocks(Arc<Mutex<HashMap<TaskId, Weak<TaskLock>>>>);

/// The lock of one task.
#[derive(Debug, Default)]
pub struct TaskLock {
    /// Held while a batch is written; fair.
    pub writing: tokio::sync::Mutex<()>,
    /// Notified after a batch was written.
    pub advanced: Notify,
}

impl TaskLocks {
    /// The lock that all batches of the task share.
    pub fn of(&self, id: TaskId) -> Arc<TaskLock> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(&id).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::<TaskLock>::default();
        locks.insert(id, Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unused_task_locks_are_dropped() {
        let locks = TaskLocks::default();
        let id = TaskId::new();
        let first = locks.of(id);
        assert!(Arc::ptr_eq(&first, &locks.of(id)));
        drop(first);
        locks.of(TaskId::new());
        assert_eq!(locks.0.lock().unwrap().len(), 1);
    }
}
