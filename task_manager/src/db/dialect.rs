//! The only module that distinguishes the databases.

use std::collections::BTreeSet;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Binary, HasSqlType, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use serde::Serialize;

use super::{
    DbConnection, DbError, DbResult, FromJson, Id, Moment, cached, client_library, one_of, tls,
};

const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const MYSQL_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/mysql");

/// Several task managers may start at the same time on one MySQL: one of them migrates, the others
/// wait for at most this many seconds.
const MIGRATION_WAIT: u32 = 600;

/// The lock of migrations. Locks are global to a server, which may have databases of several
/// fleets. Its name is limited to 64 characters, like that of a database, which is therefore
/// hashed.
const MIGRATION_LOCK: &str = "CONCAT('task_manager_migrations_', LEFT(SHA2(DATABASE(), 256), 32))";

/// The settings of a SQLite connection: readers beside one writer, every commit durable.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
                               PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";

/// More settings of SQLite's only writer. It caches 16 MiB of pages: with the default of 2 MiB it
/// rereads most pages from the file. It checkpoints after 16 MiB of log, so that a page that is
/// written often is copied once.
const SQLITE_WRITER_SETTINGS: &str = "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4096";

/// The settings of a MySQL session: times in UTC, no silent truncation or conversion, errors in
/// English, since some are recognized by their text (diesel hides the number). MariaDB ends a
/// transaction whose client is silent for five seconds: a task manager that freezes inside one
/// would keep its rows locked, and other task managers could not renew the leases of these tasks.
/// MySQL has no such setting, and skips comments for MariaDB.
const MYSQL_SETTINGS: &str = "SET SESSION time_zone = '+00:00', \
                              sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE', \
                              lc_messages = 'en_US' \
                              /*M!100301 , idle_transaction_timeout = 5 */";
/// With a million tasks, the optimizer would intersect two indexes for a page of a list and then
/// sort, which takes seconds; one of the indexes has the requested order already.
const MYSQL_OPTIMIZER: &str = "SET SESSION optimizer_switch = 'index_merge_intersection=off'";
/// Avoids gap locks, which would make independent tasks wait for each other.
const MYSQL_ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Opens a connection; the URL starts with `sqlite://` or `mysql://`.
pub(super) fn connect(url: &str) -> ConnectionResult<DbConnection> {
    match url.strip_prefix("sqlite://") {
        Some(path) => SqliteConnection::establish(path).map(DbConnection::Sqlite),
        None => tls::connect(url).map(DbConnection::Mysql),
    }
}

/// Whether the database is in this process, so that one connection writes at a time.
pub fn is_in_process(url: &str) -> bool {
    url.starts_with("sqlite://")
}

/// Sets up a new connection, for writing or for reading.
pub(super) fn prepare(conn: &mut DbConnection, writes: bool) -> QueryResult<()> {
    match conn {
        DbConnection::Sqlite(conn) => {
            conn.batch_execute(SQLITE_SETTINGS)?;
            if writes {
                conn.batch_execute(SQLITE_WRITER_SETTINGS)?;
            }
            Ok(())
        }
        DbConnection::Mysql(conn) => {
            conn.batch_execute(MYSQL_SETTINGS)?;
            conn.batch_execute(MYSQL_ISOLATION)?;
            conn.batch_execute(MYSQL_OPTIMIZER)?;
            if writes {
                // The first statement begins a transaction, which saves a round trip.
                conn.batch_execute("SET SESSION autocommit = 0")?;
            }
            Ok(())
        }
    }
}

/// Brings the tables up to date if the client library reads rows correctly; returns the names of
/// the migrations that ran.
pub(super) fn migrate(conn: &mut DbConnection) -> Result<Vec<String>, DbError> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| DbError::Migration(error.to_string());
    match conn {
        DbConnection::Sqlite(conn) => {
            let ran = conn.run_pending_migrations(SQLITE_MIGRATIONS).map_err(failed)?;
            Ok(ran.iter().map(ToString::to_string).collect())
        }
        DbConnection::Mysql(conn) => {
            client_library::check(conn)?;
            lock_migrations(conn, MIGRATION_WAIT)?;
            let ran = conn
                .run_pending_migrations(MYSQL_MIGRATIONS)
                .map(|ran| ran.iter().map(ToString::to_string).collect())
                .map_err(failed);
            diesel::sql_query(format!("SELECT RELEASE_LOCK({MIGRATION_LOCK})")).execute(conn)?;
            ran
        }
    }
}

/// Takes the lock of the database's migrations, which is released with the connection at the
/// latest.
///
/// # Errors
/// Another task manager has held it for `wait` seconds.
pub(super) fn lock_migrations(conn: &mut MysqlConnection, wait: u32) -> DbResult<()> {
    let taken: Option<i64> =
        diesel::select(sql::<Nullable<BigInt>>(&format!("GET_LOCK({MIGRATION_LOCK}, {wait})")))
            .get_result(conn)?;
    if taken == Some(1) {
        return Ok(());
    }
    Err(DbError::Unavailable(format!(
        "another task manager has been migrating it for {wait} s; if it hangs, end it (SHOW PROCESSLIST \
         shows its connection)"
    )))
}

/// Whether the database answers.
pub fn ping(conn: &mut DbConnection) -> QueryResult<()> {
    conn.batch_execute("SELECT 1")
}

/// Begins a transaction that may write.
pub(super) fn begin(conn: &mut DbConnection) -> QueryResult<()> {
    match conn {
        // Takes SQLite's write lock immediately: otherwise a transaction that reads first and
        // writes later could fail without a safe retry.
        DbConnection::Sqlite(conn) => conn.batch_execute("BEGIN IMMEDIATE"),
        // Started by the first statement.
        DbConnection::Mysql(_) => Ok(()),
    }
}

/// Commits it.
pub(super) fn commit(conn: &mut DbConnection) -> QueryResult<()> {
    match conn {
        DbConnection::Sqlite(conn) => conn.batch_execute("COMMIT"),
        // Prepared once. `batch_execute` would enable multiple statements before it and disable
        // them after it: three round trips instead of one.
        DbConnection::Mysql(conn) => {
            let commit = diesel::sql_query("COMMIT");
            cached(commit).execute_on(conn, diesel::mysql::Mysql).map(drop)
        }
    }
}

/// Rolls it back.
pub(super) fn roll_back(conn: &mut DbConnection) -> QueryResult<()> {
    conn.batch_execute("ROLLBACK")
}

/// Locks the tasks in the order of their ids until the transaction ends, so that two batches cannot
/// deadlock.
pub fn lock_tasks(conn: &mut DbConnection, ids: &[Id]) -> QueryResult<()> {
    use super::schema::tasks;
    match conn {
        // The transaction holds the only write lock.
        DbConnection::Sqlite(_) => Ok(()),
        DbConnection::Mysql(conn) => tasks::table
            .filter(one_of(tasks::id, ids))
            .order(tasks::id)
            .select(tasks::id)
            .for_update()
            .load::<Id>(conn)
            .map(drop),
    }
}

/// Locks the rows of a query until the transaction ends, and loads them as `$row`. SQLite's
/// transaction holds the only write lock already.
macro_rules! locked {
    ($conn:expr, $query:expr, $row:ty) => {
        match $conn {
            $crate::db::DbConnection::Sqlite(conn) => $query.load::<$row>(conn),
            $crate::db::DbConnection::Mysql(conn) => $query.for_update().load::<$row>(conn),
        }
    };
}
pub(crate) use locked;

/// Like [`locked`], but skips rows that others have locked.
macro_rules! locked_and_skipped {
    ($conn:expr, $query:expr, $row:ty) => {
        match $conn {
            $crate::db::DbConnection::Sqlite(conn) => $query.load::<$row>(conn),
            $crate::db::DbConnection::Mysql(conn) => {
                $query.for_update().skip_locked().load::<$row>(conn)
            }
        }
    };
}
pub(crate) use locked_and_skipped;

/// Runs the same code on a connection to either database, for what a [`DbConnection`] does not
/// support.
macro_rules! on_either {
    ($db:expr, |$conn:ident| $work:expr) => {
        match $db {
            $crate::db::DbConnection::Sqlite($conn) => $work,
            $crate::db::DbConnection::Mysql($conn) => $work,
        }
    };
}
pub(crate) use on_either;

/// Executes a statement that is cached; see [`cached`].
macro_rules! execute_cached {
    ($db:expr, $statement:expr) => {
        match $db {
            $crate::db::DbConnection::Sqlite(conn) => {
                $crate::db::cached($statement).execute_on(conn, diesel::sqlite::Sqlite)
            }
            $crate::db::DbConnection::Mysql(conn) => {
                $crate::db::cached($statement).execute_on(conn, diesel::mysql::Mysql)
            }
        }
    };
}
pub(crate) use execute_cached;

/// On MySQL, changes rows by `statement`, which takes the changes from a JSON text; returns how
/// many. None on SQLite, for which one statement per row is cheaper.
///
/// # Errors
/// A row cannot be written as JSON, or the statement fails.
pub fn update_all<T: Serialize>(
    conn: &mut DbConnection,
    statement: &'static str,
    rows: &[T],
) -> DbResult<Option<usize>> {
    match conn {
        DbConnection::Sqlite(_) => Ok(None),
        DbConnection::Mysql(conn) => Ok(Some(FromJson::of(statement, rows)?.execute(conn)?)),
    }
}

/// Inserts the records of a table: all with one statement on SQLite; on MySQL by `$on_mysql`, for
/// example from a JSON text, since a statement with a parameter for each value would be prepared
/// each time, which takes several times as long.
macro_rules! insert_all {
    ($conn:expr, $table:expr, $records:expr, $on_mysql:expr) => {
        match $conn {
            $crate::db::DbConnection::Sqlite(conn) => {
                diesel::insert_into($table).values($records()).execute(conn)
            }
            $crate::db::DbConnection::Mysql(conn) => $on_mysql()?.execute(conn),
        }
    };
}
pub(crate) use insert_all;

/// Inserts a slice of records into a table by cached statements: a single one by an insert, which
/// diesel caches; several on SQLite by one insert each, and on MySQL by `$statement`, which reads
/// them from a JSON text.
macro_rules! insert_records {
    ($conn:expr, $table:expr, $records:expr, $statement:expr) => {
        match $conn {
            $crate::db::DbConnection::Sqlite(conn) => {
                let mut inserted = 0;
                for record in $records {
                    inserted += diesel::insert_into($table).values(record).execute(conn)?;
                }
                Ok(inserted)
            }
            $crate::db::DbConnection::Mysql(conn) => match &$records[..] {
                [record] => diesel::insert_into($table).values(record).execute(conn),
                records => $crate::db::FromJson::of($statement, records)?.execute(conn),
            },
        }
    };
}
pub(crate) use insert_records;

/// Expressions on `tasks` that the databases spell differently. JSON that does not parse is null
/// in each of them, so that a broken row affects no other.
#[derive(Debug)]
pub struct TaskExpressions {
    /// The code of the error.
    pub error_code: &'static str,
    /// Milliseconds from the first claim to the end. SQLite rounds, so the number is to be compared
    /// with itself only.
    pub duration: &'static str,
    /// Whether the parameter `NAME` is a value, or a list that contains it; with one or two `?` for
    /// the value.
    pub has_parameter: &'static str,
}

/// The expressions of the database of `conn`.
pub fn task_expressions(conn: &DbConnection) -> &'static TaskExpressions {
    match conn {
        DbConnection::Sqlite(_) => &TaskExpressions {
            error_code: "CASE WHEN JSON_VALID(tasks.error) \
                         THEN JSON_EXTRACT(tasks.error, '$.code') END",
            duration: "CAST(ROUND((JULIANDAY(tasks.finished_at) - JULIANDAY(tasks.started_at)) \
                       * 86400000) AS INTEGER)",
            has_parameter: "CASE WHEN JSON_VALID(tasks.spec) THEN EXISTS (\
                            SELECT 1 FROM JSON_EACH(tasks.spec, '$.NAME') AS given \
                            WHERE CAST(given.value AS TEXT) = ?) END",
        },
        DbConnection::Mysql(_) => &TaskExpressions {
            error_code: "CASE WHEN JSON_VALID(tasks.error) \
                         THEN JSON_UNQUOTE(JSON_EXTRACT(tasks.error, '$.code')) END",
            duration: "TIMESTAMPDIFF(MICROSECOND, tasks.started_at, tasks.finished_at) DIV 1000",
            has_parameter: "CASE WHEN JSON_VALID(tasks.spec) THEN \
                            JSON_CONTAINS(tasks.spec, JSON_QUOTE(?), '$.NAME') \
                            OR JSON_UNQUOTE(JSON_EXTRACT(tasks.spec, '$.NAME')) = ? END",
        },
    }
}

/// A search among the messages of a user. Every bound applies; unbounded searches pass bounds that
/// exclude nothing.
#[derive(Debug, Clone)]
pub struct MessageQuery {
    /// Terms that must all occur, a prefix with a trailing `*` (`message_validation::search`).
    pub terms: Vec<String>,
    /// Sequences of two or more terms that must occur adjacent and in order.
    pub phrases: Vec<Vec<String>>,
    pub user: Id,
    /// Any category where empty.
    pub category: &'static str,
    pub from: Moment,
    pub to: Moment,
    /// Older than this message.
    pub before: (Moment, Id),
    /// Sorts by the engine's own rank; otherwise the newest first.
    pub best_first: bool,
    pub offset: u64,
    pub limit: i64,
}

#[derive(QueryableByName)]
struct Sequence {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
}

/// The sequence numbers of the matching messages, in order.
///
/// # Errors
/// The database failed.
pub fn find_messages(conn: &mut DbConnection, by: &MessageQuery) -> QueryResult<Vec<i64>> {
    let found: Vec<Sequence> = match conn {
        DbConnection::Sqlite(conn) => {
            let phrases = by.phrases.iter().map(|phrase| format!("\"{}\"", phrase.join(" ")));
            let expression: Vec<_> = by.terms.iter().cloned().chain(phrases).collect();
            // `CROSS` has SQLite read the index once instead of once for each message: the rank of
            // a message depends on all matches.
            let query = diesel::sql_query(
                "SELECT messages.sequence AS sequence FROM message_terms \
                 CROSS JOIN messages ON messages.sequence = message_terms.rowid \
                 WHERE message_terms MATCH ?",
            );
            let query = query.into_boxed().bind::<Text, _>(expression.join(" "));
            in_bounds(query, by).sql(page(by, "message_terms.rank")).load(conn)?
        }
        DbConnection::Mysql(conn) => {
            // The index is used for words only: after concurrent loads, MySQL 9.7 misses phrases
            // until the table is optimized. Phrases are searched for in the text.
            let of_phrases = by.phrases.iter().flat_map(|phrase| phrase.iter().take(MOST_INDEXED));
            let words: BTreeSet<_> = by.terms.iter().chain(of_phrases).collect();
            let expression = words.into_iter().fold(String::new(), |mut all, word| {
                all.push_str(" +");
                all.push_str(word);
                all
            });
            let query = diesel::sql_query(
                "SELECT messages.sequence AS sequence FROM messages \
                 WHERE MATCH (messages.terms) AGAINST (? IN BOOLEAN MODE)",
            );
            let mut query = in_bounds(query.into_boxed().bind::<Text, _>(expression.clone()), by);
            for phrase in &by.phrases {
                // One blank separates the terms of a message.
                query = query
                    .sql(" AND LOCATE(?, CONCAT(' ', messages.terms, ' ')) > 0")
                    .bind::<Text, _>(format!(" {} ", phrase.join(" ")));
            }
            query = query.sql(page(by, "MATCH (messages.terms) AGAINST (? IN BOOLEAN MODE) DESC"));
            if by.best_first {
                query = query.bind::<Text, _>(expression);
            }
            query.load(conn)?
        }
    };
    Ok(found.into_iter().map(|found| found.sequence).collect())
}

/// How many words of a phrase are searched for in MySQL's index; the text decides on the others.
const MOST_INDEXED: usize = 32;

/// `query` with the conditions on everything but the terms.
fn in_bounds<'a, DB>(
    query: BoxedSqlQuery<'a, DB, SqlQuery>,
    by: &'a MessageQuery,
) -> BoxedSqlQuery<'a, DB, SqlQuery>
where
    DB: Backend + HasSqlType<Binary> + HasSqlType<Text>,
    Id: ToSql<Binary, DB>,
    str: ToSql<Text, DB>,
{
    query
        .sql(
            " AND messages.user_id = ? AND (? = '' OR messages.category = ?) \
             AND messages.created_at >= ? AND messages.created_at < ? \
             AND (messages.created_at < ? OR (messages.created_at = ? AND messages.id < ?))",
        )
        .bind::<Binary, _>(by.user)
        .bind::<Text, _>(by.category)
        .bind::<Text, _>(by.category)
        .bind::<Text, _>(by.from.as_str())
        .bind::<Text, _>(by.to.as_str())
        .bind::<Text, _>(by.before.0.as_str())
        .bind::<Text, _>(by.before.0.as_str())
        .bind::<Binary, _>(by.before.1)
}

/// The order of the matches, and the page of them.
fn page(by: &MessageQuery, rank: &str) -> String {
    let best = if by.best_first { format!("{rank}, ") } else { String::new() };
    let MessageQuery { limit, offset, .. } = by;
    format!(
        " ORDER BY {best}messages.created_at DESC, messages.id DESC LIMIT {limit} OFFSET {offset}"
    )
}
