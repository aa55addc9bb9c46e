//! The one place that asks which database it is.

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

/// Several task managers may start at once on one MySQL: one of them migrates, the others wait
/// for at most this many seconds.
const MIGRATION_WAIT: u32 = 600;

/// The lock of migrations. Locks are a server's, and it may have databases of several fleets; a name has up to
/// 64 characters, as that of a database may have.
const MIGRATION_LOCK: &str = "CONCAT('task_manager_migrations_', LEFT(SHA2(DATABASE(), 256), 32))";

/// What a SQLite connection is set to: readers beside one writer, every commit durable.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
                               PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";

/// What SQLite's one writer is set to besides: it keeps up to 16 MiB of pages, since with the 2 MiB that
/// are usual it reads most pages from the file again and again; and it copies the log into the file after
/// as much, so that a page that is written often is copied once.
const SQLITE_WRITER_SETTINGS: &str = "PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4096";

/// What a MySQL session is set to: times in UTC, nothing cut or guessed silently, errors in English:
/// some are recognised by their text, for which diesel hides the number. MariaDB ends a transaction
/// whose client has said nothing for five seconds: a task manager that freezes in the middle of one
/// would keep its rows locked, and other task managers could not renew the leases of these tasks.
/// MySQL has no such setting, and reads no comment of MariaDB's.
const MYSQL_SETTINGS: &str = "SET SESSION time_zone = '+00:00', \
                              sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE', \
                              lc_messages = 'en_US' \
                              /*M!100301 , idle_transaction_timeout = 5 */";
/// Among a million tasks, the page of a list would be read by two indexes at once and then sorted,
/// which takes seconds; one index has the order that is asked for.
const MYSQL_OPTIMIZER: &str = "SET SESSION optimizer_switch = 'index_merge_intersection=off'";
/// No gap locks, which would make independent tasks wait for each other.
const MYSQL_ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Opens a connection; the URL starts with `sqlite://` or `mysql://`.
pub(super) fn connect(url: &str) -> ConnectionResult<DbConnection> {
    match url.strip_prefix("sqlite://") {
        Some(path) => SqliteConnection::establish(path).map(DbConnection::Sqlite),
        None => tls::connect(url).map(DbConnection::Mysql),
    }
}

/// Whether the database lives in this process, so that one connection writes at a time.
pub fn is_in_process(url: &str) -> bool {
    url.starts_with("sqlite://")
}

/// Sets up a connection just opened, for writing or for reading.
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
                // The first statement begins a transaction: one round trip less for each.
                conn.batch_execute("SET SESSION autocommit = 0")?;
            }
            Ok(())
        }
    }
}

/// Brings the tables up to date, where the client library can be trusted; answers the names of the
/// migrations that ran.
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

/// Takes the lock of the database's migrations, which ends with the connection at the latest.
///
/// # Errors
/// Another task manager has had it for `wait` seconds.
pub(super) fn lock_migrations(conn: &mut MysqlConnection, wait: u32) -> DbResult<()> {
    let taken: Option<i64> =
        diesel::select(sql::<Nullable<BigInt>>(&format!("GET_LOCK({MIGRATION_LOCK}, {wait})")))
            .get_result(conn)?;
    if taken == Some(1) {
        return Ok(());
    }
    Err(DbError::Unavailable(format!(
        "another task manager has been migrating it for {wait} s; where it hangs, end it (SHOW PROCESSLIST \
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
        // Takes SQLite's write lock at once: a transaction that reads first and writes later could
        // otherwise not be repeated.
        DbConnection::Sqlite(conn) => conn.batch_execute("BEGIN IMMEDIATE"),
        // Started by the first statement.
        DbConnection::Mysql(_) => Ok(()),
    }
}

/// Commits it.
pub(super) fn commit(conn: &mut DbConnection) -> QueryResult<()> {
    match conn {
        DbConnection::Sqlite(conn) => conn.batch_execute("COMMIT"),
        // Prepared once. As a batch, MySQL would be asked to take several statements before it and none
        // behind it: three round trips instead of one.
        DbConnection::Mysql(conn) => {
            let commit = diesel::sql_query("COMMIT");
            cached(commit).execute_on(conn, diesel::mysql::Mysql).map(drop)
        }
    }
}

/// Takes back what it did.
pub(super) fn roll_back(conn: &mut DbConnection) -> QueryResult<()> {
    conn.batch_execute("ROLLBACK")
}

/// Locks the tasks in the order of their ids until the transaction ends, so that two batches
/// cannot wait for each other in a ring.
pub fn lock_tasks(conn: &mut DbConnection, ids: &[Id]) -> QueryResult<()> {
    use super::schema::tasks;
    match conn {
        // The transaction holds the one write lock there is.
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

/// Locks the rows of a query until the transaction ends; SQLite's transaction holds the one write
/// lock there is. Loads them as `$row`.
macro_rules! locked {
    ($conn:expr, $query:expr, $row:ty) => {
        match $conn {
            $crate::db::DbConnection::Sqlite(conn) => $query.load::<$row>(conn),
            $crate::db::DbConnection::Mysql(conn) => $query.for_update().load::<$row>(conn),
        }
    };
}
pub(crate) use locked;

/// As [`locked`], without the rows that others have locked.
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

/// Does the same on a connection to either database: what diesel does not know of a [`DbConnection`].
macro_rules! on_either {
    ($db:expr, |$conn:ident| $work:expr) => {
        match $db {
            $crate::db::DbConnection::Sqlite($conn) => $work,
            $crate::db::DbConnection::Mysql($conn) => $work,
        }
    };
}
pub(crate) use on_either;

/// Executes a statement that is prepared once; see [`cached`].
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

/// Changes the rows of a table by `statement`, which takes what changes from a JSON text, on MySQL;
/// answers how many. None on SQLite, to which a statement for each row costs less.
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

/// Inserts the records of a table: all with one statement on SQLite; on MySQL by what `$on_mysql` answers,
/// for example from a JSON text, since a statement with a parameter for each value would be prepared anew each
/// time, which takes it several times as long.
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

/// Inserts a slice of records into a table by statements that are prepared once for any number of
/// them: one by an insert, which diesel prepares once; several on SQLite so one after another, on MySQL
/// all by `$statement`, which reads them from a JSON text.
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

/// What is looked for among the messages of a user. Each bound holds: there is one that excludes
/// nothing.
#[derive(Debug, Clone)]
pub struct FoundBy {
    /// Terms that must all be there, a prefix with a `*` behind it (`messages::search`).
    pub terms: Vec<String>,
    /// Terms that must be there one behind the other, two or more of each.
    pub phrases: Vec<Vec<String>>,
    pub user: Id,
    /// Any category where empty.
    pub category: &'static str,
    pub from: Moment,
    pub to: Moment,
    /// Older than this message.
    pub before: (Moment, Id),
    /// The best by the engine's own measure first; else the newest.
    pub best_first: bool,
    pub offset: u64,
    pub limit: i64,
}

#[derive(QueryableByName)]
struct Sequence {
    #[diesel(sql_type = BigInt)]
    sequence: i64,
}

/// The sequence numbers of the messages that hold what is looked for, in order.
///
/// # Errors
/// The database's.
pub fn find_messages(conn: &mut DbConnection, by: &FoundBy) -> QueryResult<Vec<i64>> {
    let found: Vec<Sequence> = match conn {
        DbConnection::Sqlite(conn) => {
            let phrases = by.phrases.iter().map(|phrase| format!("\"{}\"", phrase.join(" ")));
            let expression: Vec<_> = by.terms.iter().cloned().chain(phrases).collect();
            // `CROSS` has SQLite read the index once, and not again for each message: the rank of a
            // message is worked out from all that are found.
            let query = diesel::sql_query(
                "SELECT messages.sequence AS sequence FROM message_terms \
                 CROSS JOIN messages ON messages.sequence = message_terms.rowid \
                 WHERE message_terms MATCH ?",
            );
            let query = query.into_boxed().bind::<Text, _>(expression.join(" "));
            in_bounds(query, by).sql(page(by, "message_terms.rank")).load(conn)?
        }
        DbConnection::Mysql(conn) => {
            // The index finds the words alone: after loads by several clients at once, MySQL 9.7
            // misses phrases until the table is optimized. The phrases are looked for in the text.
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
                // One blank parts the terms of a message.
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

/// So many words of a phrase are looked for in MySQL's index; the text decides on the others.
const MOST_INDEXED: usize = 32;

/// `query` with the conditions on everything but the terms.
fn in_bounds<'a, DB>(
    query: BoxedSqlQuery<'a, DB, SqlQuery>,
    by: &'a FoundBy,
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

/// The order of what is found, and the part of it that is answered.
fn page(by: &FoundBy, rank: &str) -> String {
    let best = if by.best_first { format!("{rank}, ") } else { String::new() };
    let FoundBy { limit, offset, .. } = by;
    format!(
        " ORDER BY {best}messages.created_at DESC, messages.id DESC LIMIT {limit} OFFSET {offset}"
    )
}
