//! The behaviour of the linked client libraries and both databases that all other code relies on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use chrono::{NaiveDate, NaiveDateTime};
use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::prelude::*;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::BigInt;
use tokio::sync::Notify;
use uuid::Uuid;

use super::own::{OwnDatabase, await_lock_wait};
use super::schema::{task_attempts, tasks, workers};
use super::{
    CONNECTIONS, Database, DbConnection, DbError, DbResult, Id, READ_WAIT, clock, dialect,
    execute_cached, locked, moment, moment_or_null, on_either,
};
use crate::backend::{Backend, TestDatabase, backend_tests};

backend_tests![
    values_read_back_as_they_were_written,
    nulls_read_back_as_nulls,
    times_of_every_year_are_kept_and_compared,
    text_is_compared_byte_by_byte,
    a_failed_transaction_changes_nothing,
    the_database_clock_is_utc_and_advances,
    the_clock_is_read_after_a_lock_wait,
    a_batch_statement_is_prepared_once,
    conflicting_writers_all_succeed,
    a_lost_connection_is_replaced,
    readers_of_a_slow_database_are_refused_in_time,
];

struct Fixture {
    db: Database,
    test: TestDatabase,
    _folder: tempfile::TempDir,
}

async fn fixture(backend: Backend) -> Fixture {
    let OwnDatabase { db, test, folder } = OwnDatabase::empty(backend).await;
    assert!(!db.migrate().await.unwrap().is_empty(), "the tables are created");
    assert!(db.migrate().await.unwrap().is_empty(), "nothing is left to migrate");
    Fixture { db, test, _folder: folder }
}

fn time() -> NaiveDateTime {
    NaiveDate::from_ymd_opt(2026, 2, 28).unwrap().and_hms_micro_opt(23, 59, 59, 123_456).unwrap()
}

fn insert_task(conn: &mut DbConnection, id: Uuid, file_name: &str, size: i64) -> DbResult<()> {
    diesel::insert_into(tasks::table)
        .values((
            tasks::id.eq(Id(id)),
            tasks::owner.eq(Id(Uuid::max())),
            tasks::kind.eq("csv_aggregation"),
            tasks::state.eq("queued"),
            tasks::spec.eq("{}"),
            tasks::file_name.eq(file_name),
            tasks::size.eq(size),
            tasks::exclusive.eq(true),
            tasks::created_at.eq(time()),
            tasks::changed_at.eq(time()),
        ))
        .execute(conn)?;
    Ok(())
}

async fn values_read_back_as_they_were_written(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let id = Uuid::from_bytes([0, 255, 1, 0, 39, 92, 0, 10, 13, 26, 34, 0, 0, 127, 128, 0]);
    // Longer than the initial buffers of client libraries, with characters of every width in UTF-8.
    let long = "aé€𝄞".repeat(200_000);
    for size in [i64::MAX, i64::MIN, -1, 0] {
        let text = long.clone();
        db.write(move |conn| {
            insert_task(conn, id, "größe 𝄞.csv", size)?;
            diesel::update(tasks::table.find(Id(id))).set(tasks::result.eq(&text)).execute(conn)?;
            Ok(())
        })
        .await
        .unwrap();
        type Row =
            (Id, Id, String, Option<String>, Option<i64>, Option<String>, bool, i32, NaiveDateTime);
        let row: Row = db
            .read(move |conn| {
                Ok(tasks::table
                    .select((
                        tasks::id,
                        tasks::owner,
                        tasks::kind,
                        tasks::file_name,
                        tasks::size,
                        tasks::result,
                        tasks::exclusive,
                        tasks::attempt,
                        tasks::created_at,
                    ))
                    .first(conn)?)
            })
            .await
            .unwrap();
        assert_eq!((row.0, row.1), (Id(id), Id(Uuid::max())));
        assert_eq!((row.2.as_str(), row.3.as_deref()), ("csv_aggregation", Some("größe 𝄞.csv")));
        assert_eq!(row.4, Some(size));
        assert!(row.5.as_deref() == Some(&long), "the long text differs");
        assert_eq!((row.6, row.7, row.8), (true, 0, time()));
        db.write(move |conn| Ok(diesel::delete(tasks::table).execute(conn)?)).await.unwrap();
    }
}

async fn times_of_every_year_are_kept_and_compared(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let time = |text: &str| NaiveDateTime::parse_from_str(text, "%F %T%.f").unwrap();
    let times = [
        "1000-01-01 00:00:00",
        "1969-12-31 23:59:59.999999",
        "1970-01-01 00:00:00",
        "2038-01-19 03:14:07.999999",
        "2038-01-19 03:14:08",
        "2040-02-29 12:00:00.000001",
        "2106-02-07 06:28:16",
        "9999-12-31 23:59:59.999999",
    ];
    let times = times.map(time);
    db.write(move |conn| {
        for (number, time) in (1..).zip(times) {
            diesel::insert_into(tasks::table)
                .values((
                    tasks::id.eq(Id(Uuid::from_u128(number))),
                    tasks::owner.eq(Id(Uuid::max())),
                    tasks::kind.eq("csv_aggregation"),
                    tasks::state.eq("queued"),
                    tasks::spec.eq("{}"),
                    tasks::created_at.eq(moment(time)),
                    tasks::changed_at.eq(moment(time)),
                    tasks::queued_at.eq(moment_or_null(Some(time))),
                    tasks::started_at.eq(moment_or_null(None)),
                ))
                .execute(conn)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    for (place, bound) in times.into_iter().enumerate() {
        type Row = (NaiveDateTime, Option<NaiveDateTime>);
        let compared = db.read(move |conn| {
            let rows = tasks::table.order(tasks::created_at);
            let columns = (tasks::created_at, tasks::queued_at);
            let before = rows.filter(tasks::created_at.lt(moment(bound))).select(columns);
            let not_before =
                rows.filter(tasks::queued_at.ge(moment_or_null(Some(bound)))).select(columns);
            let at = rows.filter(tasks::created_at.eq(moment(bound))).select(columns);
            let found: [Vec<Row>; 3] = [before.load(conn)?, not_before.load(conn)?, at.load(conn)?];
            Ok(found)
        });
        let expected: Vec<Row> = times.map(|time| (time, Some(time))).to_vec();
        let (before, not_before) = expected.split_at(place);
        let at = vec![expected[place]];
        assert_eq!(compared.await.unwrap(), [before.to_vec(), not_before.to_vec(), at], "{bound}");
    }
}

async fn nulls_read_back_as_nulls(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    // NULLs before, between and after values reveal a client library that shifts columns.
    let rows = [(1, None, Some("first")), (2, Some(time()), None), (3, None, None)];
    db.write(move |conn| {
        for (attempt, started_at, reason) in rows {
            diesel::insert_into(task_attempts::table)
                .values((
                    task_attempts::task_id.eq(Id(Uuid::nil())),
                    task_attempts::attempt.eq(attempt),
                    task_attempts::worker.eq(started_at.map(|_| Id(Uuid::max()))),
                    task_attempts::started_at.eq(started_at),
                    task_attempts::ended_at.eq(time()),
                    task_attempts::outcome.eq("retry"),
                    task_attempts::reason.eq(reason),
                ))
                .execute(conn)?;
        }
        Ok(())
    })
    .await
    .unwrap();
    type Row = (Id, i32, Option<Id>, Option<NaiveDateTime>, NaiveDateTime, String, Option<String>);
    let columns = (
        task_attempts::task_id,
        task_attempts::attempt,
        task_attempts::worker,
        task_attempts::started_at,
        task_attempts::ended_at,
        task_attempts::outcome,
        task_attempts::reason,
    );
    let attempts = task_attempts::table.order(task_attempts::attempt).select(columns);
    let read: Vec<Row> = db.read(move |conn| Ok(attempts.load(conn)?)).await.unwrap();
    for (row, (attempt, started_at, reason)) in read.into_iter().zip(rows) {
        let worker = started_at.map(|_| Id(Uuid::max()));
        let reason = reason.map(str::to_owned);
        assert_eq!(
            row,
            (Id(Uuid::nil()), attempt, worker, started_at, time(), "retry".to_owned(), reason)
        );
    }
}

async fn text_is_compared_byte_by_byte(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    db.write(|conn| insert_task(conn, Uuid::nil(), "Song.csv", 1)).await.unwrap();
    for (name, expected) in [("Song.csv", 1), ("song.csv", 0), ("Sóng.csv", 0)] {
        let found = db.read(move |conn| {
            let same = tasks::table.filter(tasks::file_name.eq(name));
            Ok(same.count().get_result::<i64>(conn)?)
        });
        assert_eq!(found.await.unwrap(), expected, "{name}");
    }
}

async fn a_failed_transaction_changes_nothing(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let failed: DbResult<()> = db
        .write(|conn| {
            insert_task(conn, Uuid::nil(), "a", 1)?;
            Err(DbError::corrupt("no"))
        })
        .await;
    assert!(matches!(failed, Err(DbError::Corrupt(_))), "{failed:?}");
    let count = db.read(|conn| Ok(tasks::table.count().get_result::<i64>(conn)?)).await;
    assert_eq!(count.unwrap(), 0);
}

async fn the_database_clock_is_utc_and_advances(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let now = || db.read(|conn| Ok(super::now(conn)?));
    let (first, second) = (now().await.unwrap(), now().await.unwrap());
    assert!(first < second, "{first} is before {second}");
    let here = common::clock::now().naive_utc();
    assert!((here - first).num_seconds().abs() < 5, "{first} is not the time in UTC, {here}");
}

async fn the_clock_is_read_after_a_lock_wait(backend: Backend) {
    let Fixture { db, test, _folder } = fixture(backend).await;
    db.write(|conn| insert_task(conn, Uuid::nil(), "a", 1)).await.unwrap();
    let is_held = Arc::new(Notify::new());
    let holder = {
        let (db, is_held) = (db.clone(), Arc::clone(&is_held));
        tokio::spawn(async move {
            db.write(move |conn| {
                lock_and_time(conn)?;
                is_held.notify_one();
                await_lock_wait(&test);
                Ok(super::now(conn)?)
            })
            .await
        })
    };
    is_held.notified().await;
    let locked = db.write(lock_and_time).await.unwrap();
    let freed = holder.await.unwrap().unwrap();
    assert!(locked > freed, "{locked}: it was locked by another until {freed} at least");
    let here = common::clock::now().naive_utc();
    assert!((here - locked).num_seconds().abs() < 5, "{locked} is not the time in UTC, {here}");
}

/// Locks the only task; returns the time of the lock.
fn lock_and_time(conn: &mut DbConnection) -> DbResult<NaiveDateTime> {
    let row = locked!(conn, tasks::table.select((tasks::id, clock())), (Id, NaiveDateTime))?;
    Ok(row[0].1)
}

#[tokio::test]
async fn migrations_wait_for_those_of_the_same_database_only() {
    let own = OwnDatabase::empty(Backend::Fleet).await;
    let other = OwnDatabase::empty(Backend::Fleet).await;
    let connect = || diesel::MysqlConnection::establish(&own.test.url).unwrap();
    let mut holder = connect();
    dialect::lock_migrations(&mut holder, 0).unwrap();
    let migrated = tokio::time::timeout(Duration::from_secs(60), other.db.migrate()).await;
    assert!(!migrated.expect("it waits for another database").unwrap().is_empty());
    let refused = dialect::lock_migrations(&mut connect(), 1);
    assert!(matches!(refused, Err(DbError::Unavailable(_))), "{refused:?}");
    drop(holder);
    assert!(!own.db.migrate().await.unwrap().is_empty());
}

async fn a_batch_statement_is_prepared_once(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let changed = db.write(|conn| {
        let prepared = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&prepared);
        let count = move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { .. } = event {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        };
        let id = Uuid::from_u128(1);
        insert_task(conn, id, "a", 0)?;
        on_either!(conn, |conn| conn.set_instrumentation(count));
        let mut change = |attempt: i32| {
            let rows = tasks::table.find(Id(id)).filter(tasks::attempt.eq(attempt));
            execute_cached!(conn, diesel::update(rows).set(tasks::attempt.eq(attempt + 1)))
        };
        let changed = [change(0)?, change(0)?, change(1)?];
        Ok((changed, prepared.load(Ordering::Relaxed)))
    });
    assert_eq!(changed.await.unwrap(), ([1, 0, 1], 1));
}

/// Each transaction locks the same two rows in another order: on MySQL they deadlock.
async fn conflicting_writers_all_succeed(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
    db.write(move |conn| ids.into_iter().try_for_each(|id| insert_task(conn, id, "a", 0)))
        .await
        .unwrap();
    let writers = (0..40).map(|number| {
        let mut order = ids;
        order.rotate_left(number % 2);
        let db = db.clone();
        tokio::spawn(async move {
            db.write(move |conn| {
                for id in order {
                    diesel::update(tasks::table.find(Id(id)))
                        .set(tasks::attempt.eq(tasks::attempt + 1))
                        .execute(conn)?;
                }
                Ok(())
            })
            .await
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    let attempts = db.read(|conn| Ok(tasks::table.select(tasks::attempt).load::<i32>(conn)?)).await;
    assert_eq!(attempts.unwrap(), [40, 40]);
}

async fn a_lost_connection_is_replaced(backend: Backend) {
    let Fixture { db, test, _folder } = fixture(backend).await;
    for _ in 0..3 {
        cut_connections(&test);
        db.write(|conn| Ok(diesel::delete(workers::table).execute(conn)?)).await.unwrap();
        cut_connections(&test);
        db.read(|conn| Ok(workers::table.count().get_result::<i64>(conn)?)).await.unwrap();
    }
}

/// Closes all connections to this database on the server.
fn cut_connections(test: &TestDatabase) {
    let Some(name) = &test.name else { return };
    let mut conn = diesel::MysqlConnection::establish(&test.url).unwrap();
    let others = format!(
        "SELECT id FROM information_schema.processlist \
         WHERE id <> CONNECTION_ID() AND db = '{name}'"
    );
    let others = diesel::dsl::sql::<BigInt>(&others).load::<i64>(&mut conn);
    for id in others.unwrap() {
        // It may have been closed already.
        let _ = diesel::sql_query(format!("KILL {id}")).execute(&mut conn);
    }
}

async fn readers_of_a_slow_database_are_refused_in_time(backend: Backend) {
    let Fixture { db, test: _test, _folder } = fixture(backend).await;
    let slow = Arc::new(Barrier::new(CONNECTIONS as usize + 1));
    let readers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (db, slow) = (db.clone(), Arc::clone(&slow));
            tokio::spawn(async move { db.read(move |_| Ok(slow.wait().is_leader())).await })
        })
        .collect();
    let deadline = Instant::now() + Duration::from_secs(10);
    while db.0.read_permits.available_permits() > 0 {
        assert!(Instant::now() < deadline, "they never start to read");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begin = Instant::now();
    let others = (0..1_000).map(|_| db.read(|conn| Ok(super::ping(conn)?)));
    for other in futures_util::future::join_all(others).await {
        assert!(matches!(other, Err(DbError::Overloaded)), "{other:?}");
    }
    let time = begin.elapsed();
    assert!((READ_WAIT..READ_WAIT * 2).contains(&time), "{time:?}");
    let begin = Instant::now();
    tokio::task::spawn_blocking(|| {}).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "threads are free for other work");
    db.write(|conn| Ok(super::ping(conn)?)).await.unwrap();

    tokio::task::spawn_blocking(move || slow.wait()).await.unwrap();
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    db.read(|conn| Ok(super::ping(conn)?)).await.unwrap();
}

#[tokio::test]
async fn lock_waits_are_recognized_in_any_server_language() {
    let Fixture { db, test, _folder } = fixture(Backend::Fleet).await;
    db.write(|conn| insert_task(conn, Uuid::nil(), "a", 0)).await.unwrap();
    let connect = || dialect::connect(&test.url).unwrap();
    // MySQL prepares neither BEGIN nor ROLLBACK.
    let execute = |conn: &mut DbConnection, statement: &str| {
        on_either!(conn, |conn| conn.batch_execute(statement))
    };
    let mut holder = connect();
    execute(&mut holder, "BEGIN").unwrap();
    execute(&mut holder, "UPDATE tasks SET attempt = 1").unwrap();
    let mut conn = connect();
    execute(&mut conn, "SET SESSION innodb_lock_wait_timeout = 1").unwrap();
    for language in ["de_DE", "fr_FR", "ja_JP"] {
        // As in a new connection of a server with this setting.
        execute(&mut conn, &format!("SET SESSION lc_messages = '{language}'")).unwrap();
        let lost = |conn: &mut DbConnection| {
            DbError::from(execute(conn, "UPDATE tasks SET attempt = 2").unwrap_err())
        };
        let foreign = lost(&mut conn);
        assert!(!foreign.is_lost_race(), "the server speaks {language}: {foreign}");
        dialect::prepare(&mut conn, true).unwrap();
        let lost = lost(&mut conn);
        assert!(lost.is_lost_race() && lost.is_worth_a_retry(), "{lost}");
        execute(&mut conn, "ROLLBACK").unwrap();
    }
}

#[test]
fn a_connection_closed_by_the_server_is_retried() {
    for message in [
        "Server shutdown in progress",
        "Connection was killed",
        "The client was disconnected by the server because of inactivity.",
    ] {
        let message = Box::new(message.to_owned());
        let error = DieselError::DatabaseError(DatabaseErrorKind::Unknown, message);
        let error = DbError::from(error);
        assert!(error.is_lost_connection() && error.is_worth_a_retry(), "{error}");
    }
}
