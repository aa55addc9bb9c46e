//! The two pairs of database and queue, on both of which every test runs, and the bucket of some.

use std::path::Path;

use common::config::Settings;
use common::queue::{AmqpQueue, MemoryQueue, Queue};
use common::storage::StorageConfig;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{MysqlConnection, sql_query};
use tempfile::TempDir;
use uuid::Uuid;

/// Which pair a test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// SQLite and the queue in the process.
    Standalone,
    /// MySQL or MariaDB, and RabbitMQ.
    Fleet,
}

/// Defines a test of each function for each pair; `Backend` must be in scope.
macro_rules! backend_tests {
    ($($name:ident),* $(,)?) => {
        mod standalone {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Backend::Standalone).await;
            })*
        }
        mod fleet {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::Backend::Fleet).await;
            })*
        }
    };
}
pub(crate) use backend_tests;

/// The separate database of a test, which is dropped with it.
pub struct TestDatabase {
    pub url: String,
    /// The database's name, if it is on a server.
    pub name: Option<String>,
}

impl TestDatabase {
    /// Whether a statement in this database has been running for a second, such as one that waits
    /// for a lock. InnoDB's own list is a cache that is not refreshed while other sessions read it.
    pub fn has_waiting_statement(&self) -> bool {
        let Some(name) = &self.name else { return false };
        let mut conn = MysqlConnection::establish(&self.url).unwrap();
        let version = diesel::select(sql::<Text>("VERSION()")).get_result::<String>(&mut conn);
        // MySQL cannot show a statement with binary values in its information_schema, and MariaDB's
        // performance_schema is switched off.
        let schema = match version.unwrap().contains("MariaDB") {
            true => "information_schema",
            false => "performance_schema",
        };
        let waiting = format!(
            "(SELECT COUNT(*) FROM {schema}.processlist WHERE db = '{name}' \
             AND command IN ('Query', 'Execute') AND time >= 1)"
        );
        let waiting = diesel::select(sql::<BigInt>(&waiting)).get_result::<i64>(&mut conn);
        waiting.unwrap() > 0
    }

    pub fn create(backend: Backend, folder: &TempDir) -> Self {
        match backend {
            Backend::Standalone => {
                let file = folder.path().join("tasks.sqlite");
                Self { url: format!("sqlite://{}", file.display()), name: None }
            }
            Backend::Fleet => {
                let server = service("TEST_DATABASE_URL");
                let name = format!("test_{}", Uuid::new_v4().simple());
                let mut conn = MysqlConnection::establish(&server).unwrap();
                sql_query(format!("CREATE DATABASE {name}")).execute(&mut conn).unwrap();
                Self { url: format!("{server}/{name}"), name: Some(name) }
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let mut conn = MysqlConnection::establish(&self.url).unwrap();
            sql_query(format!("DROP DATABASE {name}")).execute(&mut conn).unwrap();
        }
    }
}

/// The separate queue of a test.
pub fn queue(backend: Backend) -> Queue {
    match backend {
        Backend::Standalone => Queue::Memory(MemoryQueue::default()),
        Backend::Fleet => {
            let prefix = format!("test-{}", Uuid::new_v4().simple());
            Queue::Amqp(AmqpQueue::new(service("TEST_AMQP_URL").into(), &prefix).unwrap())
        }
    }
}

/// The settings of an empty bucket.
pub fn bucket() -> StorageConfig {
    let url = service("TEST_S3_URL");
    let (key, place) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let (id, secret) = key.split_once(':').unwrap();
    let (address, bucket) = place.split_once('/').unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let settings = format!(
        "storage = \"s3://{bucket}/test-{}\"\nstorage_endpoint = \"http://{address}\"\n\
         storage_access_key_id = \"{id}\"\nstorage_secret_access_key = \"{secret}\"\n",
        Uuid::new_v4()
    );
    std::fs::write(&file, settings).unwrap();
    let mut settings = Settings::load(Some(file.path()), "TEST_BUCKET");
    let config = StorageConfig::from_settings(&mut settings, Path::new("."));
    settings.finish().unwrap();
    config
}

#[expect(clippy::disallowed_methods, reason = "the test runner names the services this way")]
pub fn service(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!(
            "{variable} is not set: start the services first, with `make test` or `make services`"
        )
    })
}
