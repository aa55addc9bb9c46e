//! A database of a test's own.

use tempfile::TempDir;

use super::Database;
use crate::backend::{Backend, TestDatabase};

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
