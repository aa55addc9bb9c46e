//! The database: the truth about every task.
//!
//! # Invariants
//! - Closures given to [`Database::write`] contain only SQL: they may run more than once.
//! - On SQLite one connection writes, first come, first served.
//! - At most one thread per connection waits for the database. All other requests wait without a
//!   thread, and for a bounded time.
//! - Times that processes compare are read from the database's clock ([`now`]).
//!
//! # Not here
//! SQL (each feature's `store.rs`), and which database it is (`dialect`).

mod batch;
mod client_library;
mod clock;
mod condition;
mod dialect;
mod id;
pub mod json_time;
mod known_kind;
mod moment;
#[cfg(test)]
pub mod own;
pub mod schema;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::r2d2::{ManageConnection, Pool, PooledConnection, R2D2Connection};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use rand::RngExt;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

pub(crate) use batch::known_by_text;
pub use batch::{FromJson, cached, count_of, one_of};
pub use clock::{clock, now};
pub use condition::{Condition, Parameter};
pub use dialect::{
    MessageQuery, TaskExpressions, find_messages, is_in_process, lock_tasks, ping,
    task_expressions, update_all,
};
pub(crate) use dialect::{
    execute_cached, insert_all, insert_records, locked, locked_and_skipped, on_either,
};
pub use id::Id;
pub use known_kind::known_kind;
pub use moment::{Moment, moment, moment_or_null};

/// A connection to either database.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// SQLite, built in.
    Sqlite(diesel::SqliteConnection),
    /// MySQL or MariaDB.
    Mysql(diesel::MysqlConnection),
}

/// The number of connections that read, and on MySQL also of those that write.
const CONNECTIONS: u32 = 8;
/// How long a request waits for a connection to open.
const CONNECTION_WAIT: Duration = Duration::from_secs(10);
/// How long a request waits for a permit to read or write, without a thread.
const READ_WAIT: Duration = Duration::from_secs(2);
const WRITE_WAIT: Duration = Duration::from_secs(30);
/// The limit of attempts of a transaction that loses against another one.
const MAX_TRIES: u32 = 10;

/// MySQL's error texts for a deadlock (1213) and a lock wait (1205); SQLite's for a lock.
const LOST_RACES: [&str; 4] =
    ["Deadlock found", "Lock wait timeout", "database is locked", "database table is locked"];
/// The client library's error texts for a lost connection (2002 to 2013), and those of a server
/// that closes one: during its shutdown (1053), by KILL (MariaDB, 1927), and when it was idle
/// (MySQL, 4031).
const LOST_CONNECTIONS: [&str; 7] = [
    "gone away",
    "Lost connection",
    "Can't connect",
    "server has been shut down",
    "Server shutdown in progress",
    "Connection was killed",
    "disconnected by the server",
];

/// SQLite's error text for a full disk.
const SQLITE_FULL: &str = "database or disk is full";
/// The error texts for a full disk or table: SQLite's, MySQL's (1021 and 1114), and the system's
/// (ENOSPC) inside others.
const OUT_OF_SPACE: [&str; 4] = [SQLITE_FULL, "Disk full", "' is full", "No space left on device"];

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It is not reachable now.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// All connections were in use for too long; nothing was executed.
    #[error("the database is overloaded")]
    Overloaded,
    /// The connection broke during a commit, which may have succeeded.
    #[error("the commit is in doubt: {0}")]
    CommitInDoubt(String),
    /// The tables could not be brought up to date.
    #[error("the database could not be migrated: {0}")]
    Migration(String),
    /// A row contains a value that this version does not understand.
    #[error("the database contains a value that this version does not understand: {0}")]
    Corrupt(String),
    /// The row of the requested task contains a value that this version does not understand.
    #[error("{0}")]
    UnreadableTask(String),
    /// The library that talks to MySQL misreads rows.
    #[error(
        "the MySQL client library of this system misreads rows, as some releases of MariaDB's \
         connector do (10.11.18 is one): update it (Debian, Ubuntu: apt-get install libmariadb3 \
         with the security updates on), or build with --features bundled-mysql-client"
    )]
    ClientLibrary,
    /// Another request took over the lock that this one needs to commit.
    #[error("another request with the same Idempotency-Key has taken over")]
    LockLost,
    /// Any other error.
    #[error("the database failed: {0}")]
    Query(#[from] DieselError),
}

impl DbError {
    /// An unreadable value of a row.
    pub fn corrupt(error: impl std::fmt::Display) -> Self {
        Self::Corrupt(error.to_string())
    }

    /// The error of a failed commit. If the connection broke, the outcome is unknown, so the
    /// transaction must not be retried here; a lost race and a full disk of SQLite are known to have
    /// changed nothing.
    fn from_commit(error: DieselError) -> Self {
        match Self::Query(error) {
            error if error.is_lost_race() || error.has_text(&[SQLITE_FULL]) => error,
            error => Self::CommitInDoubt(error.to_string()),
        }
    }

    /// Whether the transaction may have been committed nevertheless.
    pub fn is_in_doubt(&self) -> bool {
        matches!(self, Self::CommitInDoubt(_))
    }

    /// A copy for each of many items whose common transaction failed because the database is
    /// unavailable.
    pub fn for_one_of_many(&self) -> Self {
        match self {
            Self::CommitInDoubt(reason) => Self::CommitInDoubt(reason.clone()),
            Self::Overloaded => Self::Overloaded,
            error => Self::Unavailable(error.to_string()),
        }
    }

    /// Whether nothing was changed and a retry may succeed.
    fn is_worth_a_retry(&self) -> bool {
        matches!(self, Self::Query(_)) && self.is_unavailable()
    }

    fn is_lost_race(&self) -> bool {
        match self {
            Self::Query(DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _)) => {
                true
            }
            error => error.has_text(&LOST_RACES),
        }
    }

    /// Whether it is an error of the database with one of these texts.
    fn has_text(&self, texts: &[&str]) -> bool {
        match self {
            Self::Query(DieselError::DatabaseError(_, info)) => {
                texts.iter().any(|text| info.message().contains(text))
            }
            _ => false,
        }
    }

    /// Whether the disk of the database has no space left.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.has_text(&OUT_OF_SPACE)
    }

    /// Whether the failure is temporary, rather than caused by the statement.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Overloaded) || self.is_lost_race() || self.is_lost_connection()
    }

    /// Whether the database is not reachable now.
    #[must_use]
    pub fn is_lost_connection(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::CommitInDoubt(_) => true,
            Self::Query(DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) => true,
            Self::Query(DieselError::BrokenTransactionManager) => true,
            error => error.has_text(&LOST_CONNECTIONS),
        }
    }
}

/// The result of a store.
pub type DbResult<T> = Result<T, DbError>;

/// A handle on the database. Clones share it.
#[derive(Clone)]
pub struct Database(Arc<Pools>);

/// The use of a pool of connections.
#[derive(Debug, Clone, Copy)]
pub struct PoolUsage {
    pub name: &'static str,
    pub in_use: usize,
    pub limit: usize,
}

struct Pools {
    readers: Pool<Manager>,
    writers: Pool<Manager>,
    losses: Arc<AtomicU64>,
    /// As many as connections, so that no thread waits for a connection. Unlike the pools, they are
    /// fair: first come, first served.
    read_permits: Arc<Semaphore>,
    write_permits: Arc<Semaphore>,
    /// Whether another process executes the statements.
    is_remote: bool,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").finish_non_exhaustive()
    }
}

/// Opens the connections of a pool.
struct Manager {
    url: String,
    use_for: Use,
    /// How many connections were found broken so far. A ping before each use would cost as much as
    /// a statement, so the connections are pinged only after one broke.
    losses: Arc<AtomicU64>,
}

/// What the connections of a pool are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Reading,
    /// Every statement is in a transaction.
    Writing,
}

/// A connection of a pool.
struct PooledConn {
    conn: DbConnection,
    /// The number of losses when it was last known to work.
    losses: u64,
    /// Whether it may have an open transaction.
    is_tainted: bool,
}

impl ManageConnection for Manager {
    type Connection = PooledConn;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<PooledConn, Self::Error> {
        let losses = self.losses.load(Ordering::Relaxed);
        let mut conn = dialect::connect(&self.url).map_err(diesel::r2d2::Error::ConnectionError)?;
        dialect::prepare(&mut conn, self.use_for == Use::Writing)
            .map_err(diesel::r2d2::Error::QueryError)?;
        Ok(PooledConn { conn, losses, is_tainted: false })
    }

    fn is_valid(&self, pooled: &mut PooledConn) -> Result<(), Self::Error> {
        let losses = self.losses.load(Ordering::Relaxed);
        if pooled.losses != losses {
            pooled.conn.ping().map_err(diesel::r2d2::Error::QueryError)?;
            pooled.losses = losses;
        }
        Ok(())
    }

    fn has_broken(&self, pooled: &mut PooledConn) -> bool {
        // A closure that panicked left its transaction open.
        pooled.is_tainted || std::thread::panicking()
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
            let losses = Arc::<AtomicU64>::default();
            let pool = |size, use_for| {
                Pool::builder()
                    .max_size(size)
                    .min_idle(Some(1))
                    .connection_timeout(CONNECTION_WAIT)
                    .build(Manager { url: url.clone(), use_for, losses: Arc::clone(&losses) })
                    .map_err(|error| DbError::Unavailable(error.to_string()))
            };
            // The writer first: it creates SQLite's file and sets its mode.
            let is_remote = !dialect::is_in_process(&url);
            let writers = pool(if is_remote { CONNECTIONS } else { 1 }, Use::Writing)?;
            let readers = pool(CONNECTIONS, Use::Reading)?;
            let permits = |pool: &Pool<Manager>| Arc::new(Semaphore::new(pool.max_size() as usize));
            let (read_permits, write_permits) = (permits(&readers), permits(&writers));
            let pools = Pools { readers, writers, losses, read_permits, write_permits, is_remote };
            Ok(Self(Arc::new(pools)))
        });
        opened.await.map_err(|error| DbError::Unavailable(error.to_string()))?
    }

    /// Brings the tables up to date; returns the names of the migrations that ran.
    ///
    /// # Errors
    /// A migration failed.
    pub async fn migrate(&self) -> DbResult<Vec<String>> {
        // Migrations have transactions of their own.
        let pool = self.0.readers.clone();
        self.blocking(move || dialect::migrate(&mut get(&pool)?.conn)).await
    }

    /// Runs `work`, which only reads; retries it if its connection broke.
    ///
    /// # Errors
    /// Those of `work`, or the database is not available or overloaded.
    pub async fn read<T, F>(&self, work: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> DbResult<T> + Send + 'static,
    {
        let permit = permit(&self.0.read_permits, READ_WAIT).await?;
        let db = self.clone();
        self.blocking(move || db.read_with(permit, work)).await
    }

    /// The same, on a thread that may block.
    ///
    /// # Errors
    /// Those of `work`, or the database is not available or overloaded.
    pub fn read_blocking<T>(&self, work: impl Fn(&mut DbConnection) -> DbResult<T>) -> DbResult<T> {
        let permit = permit_blocking(&self.0.read_permits, READ_WAIT)?;
        self.read_with(permit, work)
    }

    fn read_with<T>(
        &self,
        _permit: OwnedSemaphorePermit,
        work: impl Fn(&mut DbConnection) -> DbResult<T>,
    ) -> DbResult<T> {
        self.retrying(&self.0.readers, |pooled| work(&mut pooled.conn))
    }

    /// Runs `work` in a transaction; retries it if it lost against another transaction or its
    /// connection broke before the commit. When this returns, the commit is durable.
    ///
    /// # Errors
    /// Those of `work`, or the database is not available or overloaded.
    pub async fn write<T, F>(&self, work: F) -> DbResult<T>
    where
        T: Send + 'static,
        F: Fn(&mut DbConnection) -> DbResult<T> + Send + 'static,
    {
        let permit = permit(&self.0.write_permits, WRITE_WAIT).await?;
        let db = self.clone();
        self.blocking(move || db.write_with(permit, work)).await
    }

    /// The same, on a thread that may block.
    ///
    /// # Errors
    /// Those of `work`, or the database is not available.
    pub fn write_blocking<T>(
        &self,
        work: impl Fn(&mut DbConnection) -> DbResult<T>,
    ) -> DbResult<T> {
        let permit = permit_blocking(&self.0.write_permits, WRITE_WAIT)?;
        self.write_with(permit, work)
    }

    fn write_with<T>(
        &self,
        _permit: OwnedSemaphorePermit,
        work: impl Fn(&mut DbConnection) -> DbResult<T>,
    ) -> DbResult<T> {
        self.retrying(&self.0.writers, |pooled| transaction(pooled, &work))
    }

    fn retrying<T>(
        &self,
        pool: &Pool<Manager>,
        work: impl Fn(&mut PooledConn) -> DbResult<T>,
    ) -> DbResult<T> {
        let mut tries = 1;
        loop {
            let mut conn = get(pool)?;
            let result = work(&mut conn);
            drop(conn);
            let Err(error) = &result else { return result };
            if error.is_lost_connection() {
                self.0.losses.fetch_add(1, Ordering::Relaxed);
            }
            if !error.is_worth_a_retry() || tries == MAX_TRIES {
                return result;
            }
            debug!(%error, tries, "trying again");
            back_off(tries);
            tries += 1;
        }
    }

    /// Whether the calling thread should wait for the database itself. A remote database answers
    /// most statements sooner than another thread wakes up, and another worker thread runs
    /// everything else meanwhile. Without another worker thread, or if the work is in this process
    /// (SQLite), it goes to a blocking thread.
    pub fn is_waited_for_in_place(&self) -> bool {
        self.0.is_remote && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread
    }

    /// How many connections are in use, and how many there may be; by pool.
    pub fn usage(&self) -> [PoolUsage; 2] {
        let usage = |name, pool: &Pool<Manager>, permits: &Semaphore| {
            let limit = pool.max_size() as usize;
            PoolUsage { name, in_use: limit.saturating_sub(permits.available_permits()), limit }
        };
        let Pools { readers, writers, read_permits, write_permits, .. } = &*self.0;
        [usage("read", readers, read_permits), usage("write", writers, write_permits)]
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> DbResult<T> + Send + 'static,
    ) -> DbResult<T> {
        if self.is_waited_for_in_place() {
            return tokio::task::block_in_place(work);
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => Err(DbError::Unavailable(error.to_string())),
            },
        }
    }
}

/// A permit, within `wait`.
async fn permit(permits: &Arc<Semaphore>, wait: Duration) -> DbResult<OwnedSemaphorePermit> {
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Ok(permit);
    }
    match tokio::time::timeout(wait, Arc::clone(permits).acquire_owned()).await {
        Ok(permit) => permit.map_err(|error| DbError::Unavailable(error.to_string())),
        Err(_) => Err(DbError::Overloaded),
    }
}

/// The same, on a thread that may block.
fn permit_blocking(permits: &Arc<Semaphore>, wait: Duration) -> DbResult<OwnedSemaphorePermit> {
    match Arc::clone(permits).try_acquire_owned() {
        Ok(permit) => Ok(permit),
        Err(_) => Handle::current().block_on(permit(permits, wait)),
    }
}

/// Runs `work` in a transaction.
fn transaction<T>(
    pooled: &mut PooledConn,
    work: impl FnOnce(&mut DbConnection) -> DbResult<T>,
) -> DbResult<T> {
    dialect::begin(&mut pooled.conn)?;
    let result = work(&mut pooled.conn).and_then(|value| {
        dialect::commit(&mut pooled.conn).map_err(DbError::from_commit).map(|()| value)
    });
    if result.is_err() {
        // The first error is the one to report.
        pooled.is_tainted = dialect::roll_back(&mut pooled.conn).is_err();
    }
    result
}

fn get(pool: &Pool<Manager>) -> DbResult<PooledConnection<Manager>> {
    pool.get().map_err(|error| DbError::Unavailable(error.to_string()))
}

#[expect(clippy::disallowed_methods, reason = "a blocking thread waits before it tries again")]
fn back_off(tries: u32) {
    let average = Duration::from_millis(5) * (1 << tries.min(6));
    std::thread::sleep(average.mul_f64(rand::rng().random_range(0.0..2.0)));
}
