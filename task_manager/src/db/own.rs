//! A database of a test's own.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use tempfile::TempDir;

use super::{Database, DbConnection};
use crate::backend::{Backend, TestDatabase};

/// Waits until another connection waits for a lock: until a statement takes a second, since MySQL does not
/// show one whose values are binary. On SQLite it cannot: a transaction begins with the lock.
pub fn until_another_locks(conn: &mut DbConnection, test: &TestDatabase) {
    let Some(name) = &test.name else { return };
    let locking = format!(
        "(SELECT COUNT(*) FROM information_schema.processlist \
          WHERE id <> CONNECTION_ID() AND db = '{name}' AND command IN ('Query', 'Execute') \
          AND time >= 1)"
    );
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let locking = diesel::select(diesel::dsl::sql::<BigInt>(&locking)).get_result::<i64>(conn);
        if locking.unwrap() > 0 {
            return;
        }
        assert!(Instant::now() < deadline, "nobody asks for the lock");
    }
}

/// Goes with the test.
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
