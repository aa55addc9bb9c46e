//! When sessions were last used. A write per request would cost more than most requests, so uses
//! are noted in memory, and a background pass records them.
//!
//! # Invariants
//! - A session is recorded at most every five minutes by each process.
//! - Uses that were not recorded before the process ended are lost.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::store;
use crate::db::{self, Database, DbResult, Id};

/// The shortest interval between two records of a session.
const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// How many sessions one statement records.
const BATCH: usize = 1_000;

/// Notes uses of sessions. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LastUsed(Arc<Mutex<Uses>>);

#[derive(Debug, Default)]
struct Uses {
    /// When each session was last noted for a record.
    noted: HashMap<Uuid, Instant>,
    /// Those to record.
    due: HashSet<Uuid>,
}

impl LastUsed {
    fn uses(&self) -> MutexGuard<'_, Uses> {
        // A panic while it was locked leaves valid sets.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session is used now.
    pub fn note(&self, session: Uuid) {
        self.note_at(session, Instant::now());
    }

    fn note_at(&self, session: Uuid, now: Instant) {
        let mut uses = self.uses();
        if uses.noted.get(&session).is_none_or(|noted| *noted + INTERVAL <= now) {
            uses.noted.insert(session, now);
            uses.due.insert(session);
        }
    }

    /// The sessions to record; forgets those that were not used for long.
    fn take_due(&self, now: Instant) -> Vec<Id> {
        let mut uses = self.uses();
        uses.noted.retain(|_, noted| *noted + INTERVAL > now);
        uses.due.drain().map(Id).collect()
    }

    /// Records the noted uses.
    ///
    /// # Errors
    /// The database is not available; these uses are lost.
    pub async fn record(&self, db: &Database) -> DbResult<()> {
        let due = self.take_due(Instant::now());
        for ids in due.chunks(BATCH) {
            let ids = ids.to_vec();
            db.write(move |conn| {
                let now = db::now(conn)?;
                store::set_last_used(conn, &ids, now)
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
    fn a_session_is_due_at_most_every_five_minutes() {
        let (uses, session, start) = (LastUsed::default(), Uuid::now_v7(), Instant::now());
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
