//! When sessions and API keys were last used. A write per request would cost more than most requests,
//! so uses are noted in memory, and a background pass records them.
//!
//! # Invariants
//! - A session or key is recorded at most once in its interval by each process.
//! - Uses that were not recorded before the process ended are lost.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use uuid::Uuid;

use crate::db::{self, Database, DbConnection, DbResult, Id};

/// How many uses one statement records.
const BATCH: usize = 1_000;

/// Notes uses of sessions or keys. Clones share them.
#[derive(Debug, Clone)]
pub struct LastUsed {
    uses: Arc<Mutex<Uses>>,
    /// The shortest interval between two records of the same one.
    interval: Duration,
}

#[derive(Debug, Default)]
struct Uses {
    /// When each was last noted for a record.
    noted: HashMap<Uuid, Instant>,
    /// Those to record.
    due: HashSet<Uuid>,
}

impl LastUsed {
    /// Without uses; each session or key is recorded at most once in `interval`.
    pub fn new(interval: Duration) -> Self {
        Self { uses: Arc::default(), interval }
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        // A panic while it was locked leaves valid sets.
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session or key is used now.
    pub fn note(&self, id: Uuid) {
        self.note_at(id, Instant::now());
    }

    fn note_at(&self, id: Uuid, now: Instant) {
        let mut uses = self.uses();
        if uses.noted.get(&id).is_none_or(|noted| *noted + self.interval <= now) {
            uses.noted.insert(id, now);
            uses.due.insert(id);
        }
    }

    /// Those to record; forgets those that were not used for long.
    fn take_due(&self, now: Instant) -> Vec<Id> {
        let mut uses = self.uses();
        uses.noted.retain(|_, noted| *noted + self.interval > now);
        uses.due.drain().map(Id).collect()
    }

    /// Records the noted uses by `set`, which gets their ids and the time.
    ///
    /// # Errors
    /// The database is not available; these uses are lost.
    pub(super) async fn record(
        &self,
        db: &Database,
        set: fn(&mut DbConnection, &[Id], NaiveDateTime) -> DbResult<()>,
    ) -> DbResult<()> {
        let due = self.take_due(Instant::now());
        for ids in due.chunks(BATCH) {
            let ids = ids.to_vec();
            db.write(move |conn| {
                let now = db::now(conn)?;
                set(conn, &ids, now)
            })
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_due_at_most_once_in_the_interval() {
        let uses = LastUsed::new(Duration::from_secs(300));
        let (session, start) = (Uuid::now_v7(), Instant::now());
        let due = |seconds, is_used| {
            let now = start + Duration::from_secs(seconds);
            if is_used {
                uses.note_at(session, now);
            }
            uses.take_due(now).len()
        };
        assert_eq!(due(0, true), 1);
        assert_eq!(due(1, false), 0, "it is recorded");
        assert_eq!(due(299, true), 0);
        assert_eq!(due(300, true), 1);
        assert_eq!(due(3_000, false), 0, "it is not used");
        assert!(uses.uses().noted.is_empty(), "unused sessions take no memory");
    }
}
