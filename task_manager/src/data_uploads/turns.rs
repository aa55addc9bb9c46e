//! Whose turn it is: in this process one batch of a task is written at a time, so that those which
//! wait for each other hold no connection to the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use common::task::TaskId;
use tokio::sync::Notify;

/// The turns of all tasks that are being loaded. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<HashMap<TaskId, Weak<Turn>>>>);

/// The turn of one task.
#[derive(Debug, Default)]
pub struct Turn {
    /// Held while a batch is written; fair.
    pub writing: tokio::sync::Mutex<()>,
    /// Notified when one was.
    pub advanced: Notify,
}

impl Turns {
    /// The turn that all batches of the task share.
    pub fn of(&self, id: TaskId) -> Arc<Turn> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::<Turn>::default();
        turns.insert(id, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_has_one_turn_and_none_is_kept_for_ever() {
        let turns = Turns::default();
        let id = TaskId::new();
        let first = turns.of(id);
        assert!(Arc::ptr_eq(&first, &turns.of(id)));
        drop(first);
        turns.of(TaskId::new());
        assert_eq!(turns.0.lock().unwrap().len(), 1);
    }
}
