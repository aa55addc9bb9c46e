//! Limits how often the reports of a worker are recorded: a busy one reports hundreds of times a
//! second, and writing its row each time would cost as much as a task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::report::{WorkerId, WorkerInfo};

/// The shortest interval between records of a worker, unless it starts to drain.
const INTERVAL: Duration = Duration::from_secs(1);

/// The latest recorded heartbeats. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LastSeen(Arc<Mutex<HashMap<WorkerId, Heartbeat>>>);

/// A sign of life of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Heartbeat {
    worker: WorkerId,
    draining: bool,
    at: Instant,
}

impl LastSeen {
    fn heartbeats(&self) -> MutexGuard<'_, HashMap<WorkerId, Heartbeat>> {
        // A panic while it was locked leaves a valid map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The heartbeat to record for a worker that reports now, if one is due.
    pub fn due(&self, worker: &WorkerInfo) -> Option<Heartbeat> {
        let heartbeat =
            Heartbeat { worker: worker.id, draining: worker.draining, at: Instant::now() };
        let heartbeats = self.heartbeats();
        let known = heartbeats.get(&worker.id).filter(|last| last.draining == heartbeat.draining);
        known.is_none_or(|last| last.at + INTERVAL <= heartbeat.at).then_some(heartbeat)
    }

    /// Remembers a heartbeat whose transaction is committed.
    pub fn note(&self, heartbeat: Heartbeat) {
        let mut heartbeats = self.heartbeats();
        heartbeats.retain(|_, last| last.at + INTERVAL > heartbeat.at);
        heartbeats.insert(heartbeat.worker, heartbeat);
    }
}

#[cfg(test)]
mod tests {
    use common::task::{KindName, TaskKind};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_worker_is_recorded_once_a_second_and_when_it_begins_to_drain() {
        let seen = LastSeen::default();
        let mut worker = WorkerInfo {
            id: WorkerId(Uuid::now_v7()),
            name: "a".to_owned(),
            version: "1".to_owned(),
            kinds: TaskKind::ALL.map(KindName::from).to_vec(),
            slots: 1,
            draining: false,
        };
        let first = seen.due(&worker).unwrap();
        assert!(seen.due(&worker).is_some(), "nothing was committed");
        seen.note(first);
        assert!(seen.due(&worker).is_none());
        seen.note(Heartbeat { at: Instant::now().checked_sub(INTERVAL).unwrap(), ..first });
        assert!(seen.due(&worker).is_some(), "a second has passed");
        seen.note(first);
        worker.draining = true;
        assert!(seen.due(&worker).is_some());
    }
}
