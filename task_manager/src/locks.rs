//! Locks for work that one task manager does for the whole fleet.
//!
//! # Invariants
//! - A lock is held by one process at a time, until it expires on the database's clock.
//! - The locks of a dead process expire.

mod store;

use std::time::Duration;

use uuid::Uuid;

use crate::db::{self, Database, DbResult};

/// A lock of this process. Clones are the same holder.
#[derive(Debug, Clone)]
pub struct Lock {
    db: Database,
    name: &'static str,
    holder: Uuid,
}

impl Lock {
    /// A lock that this process does not hold yet.
    pub fn new(db: Database, name: &'static str) -> Self {
        Self { db, name, holder: Uuid::new_v4() }
    }

    /// Takes or renews the lock for a time; false while another process holds it.
    pub async fn take(&self, time: Duration) -> DbResult<bool> {
        let (name, holder) = (self.name, self.holder);
        self.db
            .write(move |conn| {
                let now = db::now(conn)?;
                store::take(conn, name, holder, now, now + time)
            })
            .await
    }
}

/// Frees all locks: at the start of the only process, none is in use.
pub async fn free_all(db: &Database) -> DbResult<()> {
    db.write(store::free_all).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, backend_tests};
    use crate::db::own::OwnDatabase;

    backend_tests![one_task_manager_holds_a_lock, a_lock_expires];

    const LONG: Duration = Duration::from_secs(3600);

    async fn one_task_manager_holds_a_lock(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let locks: Vec<_> = (0..16).map(|_| Lock::new(own.db.clone(), "a")).collect();
        let taken = futures_util::future::join_all(locks.iter().map(|lock| lock.take(LONG))).await;
        let taken: Vec<bool> = taken.into_iter().map(Result::unwrap).collect();
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1);
        for (lock, is_holder) in locks.iter().zip(taken) {
            assert_eq!(lock.take(LONG).await.unwrap(), is_holder, "the holder renews it");
        }
        assert!(Lock::new(own.db.clone(), "b").take(LONG).await.unwrap(), "it is another lock");
        free_all(&own.db).await.unwrap();
        assert!(Lock::new(own.db.clone(), "a").take(LONG).await.unwrap());
    }

    async fn a_lock_expires(backend: Backend) {
        let own = OwnDatabase::migrated(backend).await;
        let (first, second) = (Lock::new(own.db.clone(), "a"), Lock::new(own.db.clone(), "a"));
        assert!(first.take(Duration::ZERO).await.unwrap());
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while !second.take(LONG).await.unwrap() {
            assert!(tokio::time::Instant::now() < deadline, "the lock never expires");
        }
        assert!(!first.take(LONG).await.unwrap());
    }
}
