//! When workers were noted as seen: a busy one reports hundreds of times a second, and a row that is written
//! as often would cost as much as a task.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::report::{WorkerId, WorkerInfo};

/// How often a worker is noted at the most, unless it says something new of itself.
const INTERVAL: Duration = Duration::from_secs(1);

/// What this task manager noted lately. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<HashMap<WorkerId, Sign>>>);

/// A sign of life.
#[derive(Debug, Clone, Copy)]
pub struct Sign {
    worker: WorkerId,
    draining: bool,
    at: Instant,
}

impl Seen {
    fn signs(&self) -> MutexGuard<'_, HashMap<WorkerId, Sign>> {
        // A panic while it was locked leaves a valid map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to be noted of a worker that reports now, where something is.
    pub fn due(&self, worker: &WorkerInfo) -> Option<Sign> {
        let sign = Sign { worker: worker.id, draining: worker.draining, at: Instant::now() };
        let signs = self.signs();
        let known = signs.get(&worker.id).filter(|last| last.draining == sign.draining);
        known.is_none_or(|last| last.at + INTERVAL <= sign.at).then_some(sign)
    }

    /// It was noted: the transaction is committed.
    pub fn note(&self, sign: Sign) {
        let mut signs = self.signs();
        signs.retain(|_, last| last.at + INTERVAL > sign.at);
        signs.insert(sign.worker, sign);
    }
}

#[cfg(test)]
mod tests {
    use common::task::{KindName, TaskKind};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_worker_is_noted_once_a_second_and_when_it_begins_to_drain() {
        let seen = Seen::default();
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
        seen.note(Sign { at: Instant::now().checked_sub(INTERVAL).unwrap(), ..first });
        assert!(seen.due(&worker).is_some(), "a second has passed");
        seen.note(first);
        worker.draining = true;
        assert!(seen.due(&worker).is_some());
    }
}
