//! A separate database for each test.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Database;
use crate::backend::{Backend, TestDatabase};

/// Waits until a statement waits for a lock. Not for SQLite, where a transaction begins with the
/// lock.
pub fn await_lock_wait(test: &TestDatabase) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while test.name.is_some() && !test.has_waiting_statement() {
        assert!(Instant::now() < deadline, "no statement waits for the lock");
    }
}

/// Dropped with the test.
pub struct OwnDatabase {
    pub db: Database,
    pub test: TestDatabase,
    pub folder: TempDir,
}

impl OwnDatabase {
    /// One without tables.
    pub async fn empty(backend: Backend) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let test = TestDatabase::create(backend, &folder);
        let db = Database::connect(&test.url).await.unwrap();
        Self { db, test, folder }
    }

    /// One with all tables.
    pub async fn migrated(backend: Backend) -> Self {
        let own = Self::empty(backend).await;
        own.db.migrate().await.unwrap();
        own
    }
}
