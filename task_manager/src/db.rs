//! The database: the truth about every task.
//!
//! # Invariants
//! - Closures given to [`Database::write`] hold only SQL: they may run more than once.
//! - On SQLite one connection writes, fed first come, first served.
//! - Times that decide between processes are the database's ([`now`]).
//!
//! # Not here
//! SQL (each feature's `store.rs`), and which database it is (`dialect`).

mod client_library;
mod dialect;
mod id;
pub mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use diesel::r2d2::{CustomizeConnection, ManageConnection, Pool, PooledConnection, R2D2Connection};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use rand::RngExt;
use tokio::sync::Semaphore;
use tracing::debug;

pub use dialect::{FoundBy, find_messages, is_in_process, lock_due_outbox, lock_tasks, now, ping};
pub(crate) use dialect::{insert_all, insert_records};
pub use id::Id;

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// SQLite, built in.
    Sqlite(diesel::SqliteConnection),
    /// MySQL or MariaDB.
    Mysql(diesel::MysqlConnection),
}

/// How many connections read at once, and on MySQL write at once too.
const CONNECTIONS: u32 = 8;
/// How long a request waits for a connection.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// How often a transaction that lost against another one is tried.
const MAX_TRIES: u32 = 10;

/// MySQL's error texts for a deadlock (1213) and a lock wait (1205); SQLite's for a lock.
const LOST_RACES: [&str; 4] =
    ["Deadlock found", "Lock wait timeout", "database is locked", "database table is locked"];
/// The client library's error texts for a connection that is gone (2002 to 2013).
const LOST_CONNECTIONS: [&str; 4] =
    ["gone away", "Lost connection", "Can't connect", "server has been shut down"];

/// Why the database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It cannot be reached now.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The tables could not be brought up to date.
    #[error("the database could not be migrated: {0}")]
    Migration(String),
    /// A row holds what this version does not understand.
    #[error("the database holds what this version does not understand: {0}")]
    Corrupt(String),
    /// The library that talks to MySQL misreads rows.
    #[error(
        "the MySQL client library of this system misreads rows, as some releases of MariaDB's \
         connector do (10.11.18 is one): update it (Debian, Ubuntu: apt-get install libmariadb3 \
         with the security updates on), or build with --features bundled-mysql-client"
    )]
    ClientLibrary,
    /// Another request has taken over the lock that this one needs to commit.
    #[error("another request with the same Idempotency-Key has taken over")]
    LockLost,
    /// Anything else that it said.
    #[error("the database failed: {0}")]
    Query(#[from] DieselError),
}

impl DbError {
    /// A value of a row that does not read back.
    pub fn corrupt(error: impl std::fmt::Display) -> Self {
        Self::Corrupt(error.to_string())
    }

    /// What a failed commit means. When the connection broke nobody knows whether it took place,
    /// so it must not be tried again here; a lost race is known to have changed nothing.
    fn from_commit(error: DieselError) -> Self {
        match Self::Query(error) {
            error if error.is_lost_race() => error,
            error => Self::Unavailable(format!("the commit is in doubt: {error}")),
        }
    }

    /// Whether nothing was changed and the same work may succeed on another try.
    fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::Query(_)) && self.is_unavailable()
    }

    fn is_lost_race(&self) -> bool {
        match self {
            Self::Query(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => {
                true
            }
            Self::Query(DieselError::DatabaseError(_, info)) => {
                LOST_RACES.iter().any(|text| info.message().contains(text))
            }
            _ => false,
        }
    }

    /// Whether the moment is at fault and not what was asked.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.is_lost_race() || self.is_lost_connection()
    }

    fn is_lost_connection(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Query(DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) => true,
            Self::Query(DieselError::DatabaseError(_, info)) => {
                LOST_CONNECTIONS.iter().any(|text| info.message().contains(text))
            }
            Self::Query(DieselError::BrokenTransactionManager) => true,
            _ => false,
        }
    }
}

/// What the stores answer.
pub type DbResult<T> = Result<T, DbError>;

/// A handle on the database. Clones share it.
#[derive(Clone)]
pub struct Database {
    readers: Pool<Manager>,
    writers: Pool<Manager>,
    /// Fair, unlike the pool: who asks first writes first.
    write_permits: Arc<Semaphore>,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

struct Manager {
    url: String,
}

impl ManageConnection for Manager {
    type Connection = DbConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<DbConnection, Self::Error> {
        dialect::connect(&self.url).map_err(diesel::r2d2::Error::ConnectionError)
    }

    fn is_valid(&self, conn: &mut DbConnection) -> Result<(), Self::Error> {
        conn.ping().map_err(diesel::r2d2::Error::QueryError)
    }

    fn has_broken(&self, conn: &mut DbConnection) -> bool {
        conn.is_broken()
    }
}

#[derive(Debug)]
struct Preparation;

impl CustomizeConnection<DbConnection, diesel::r2d2::Error> for Preparation {
    fn on_acquire(&self, conn: &mut DbConnection) -> Result<(), diesel::r2d2::Error> {
        dialect::prepare(conn).map_err(diesel::r2d2::Error::QueryError)
    }
}

impl Database {
    /// Connects to `sqlite://PATH` or `mysql://USER:PASSWORD@HOST/DATABASE`.
    ///
    /// # Errors
    /// The database is not reachable.
    pub async fn connect(url: &str) -> DbResult<Self> {
        let url = url.to_owned();
        let opened = tokio::task::spawn_blocking(move || {
            let pool = |size| {
                Pool::builder()
                    .max_size(size)
                    .min_idle(Some(1))
                    .connection_timeout(CONNECTION_WAIT)
                    .connection_customizer(Box::new(Preparation))
                    .build(Manager { url: url.clone() })
                    .map_err(|error| DbError::Unavailable(error.to_string()))
            };
            let single = dialect::is_in_process(&url);
            // The writer first: it makes the file and sets its mode.
            let writers = pool(if single { 1 } else { CONNECTIONS })?;
            let readers = if single { pool(CONNECTIONS)? } else { writers.clone() };
            let write_permits = Arc::new(Semaphore::new(writers.max_size() as usize));
            Ok(Self { readers, writers, write_permits })
        });
        opened.await.map_err(|error| DbError::Unavailable(error.to_string()))?
    }

    /// Brings the tables up to date; answers the names of the migrations that ran.
    ///
    /// # Errors
    /// A migration failed.
    pub async fn migrate(&self) -> DbResult<Vec<String>> {
        let pool = self.writers.clone();
        self.blocking(move || dialect::migrate(&mut *get(&pool)?)).await
    }

    /// Runs `work`, which only reads; again where its connection broke.
    ///
    /// # Errors
    /// What `work` answers, or the database is not available.
    pub async fn read<T, F>(&self, work: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> DbResult<T> + Send + 'static,
    {
        let pool = self.readers.clone();
        self.blocking(move || retrying(&pool, &work)).await
    }

    /// Runs `work` in a transaction, again where it lost against another transaction or its
    /// connection broke before the commit. What it answers holds when this returns: the commit is on the disk.
    ///
    /// # Errors
    /// What `work` answers, or the database is not available.
    pub async fn write<T, F>(&self, work: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> DbResult<T> + Send + 'static,
    {
        let permit = Arc::clone(&self.write_permits).acquire_owned().await;
        let permit = permit.map_err(|error| DbError::Unavailable(error.to_string()))?;
        let pool = self.writers.clone();
        self.blocking(move || {
            let _permit = permit;
            retrying(&pool, |conn| dialect::transaction(conn, &work))
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> DbResult<T> + Send + 'static,
    ) -> DbResult<T> {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(DbError::Unavailable(error.to_string())),
            },
        }
    }
}

fn retrying<T>(
    pool: &Pool<Manager>,
    work: impl Fn(&mut DbConnection) -> DbResult<T>,
) -> DbResult<T> {
    let mut tries = 1;
    loop {
        let mut conn = get(pool)?;
        match work(&mut conn) {
            Err(error) if error.is_worth_a_retry() && tries < MAX_TRIES => {
                debug!(%error, tries, "trying again");
                drop(conn);
                back_off(tries);
                tries += 1;
            }
            result => return result,
        }
    }
}

fn get(pool: &Pool<Manager>) -> DbResult<PooledConnection<Manager>> {
    pool.get().map_err(|error| DbError::Unavailable(error.to_string()))
}

#[expect(clippy::disallowed_methods, reason = "a blocking thread waits before it tries again")]
fn back_off(tries: u32) {
    let average = Duration::from_millis(5) * (1 << tries.min(6));
    std::thread::sleep(average.mul_f64(rand::rng().random_range(0.0..2.0)));
}
