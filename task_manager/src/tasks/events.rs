//! Server-sent events: a task, or all tasks of a user, as they change.
//!
//! # Invariants
//! - An event is the task as it is now, never a delta: missing one loses nothing.
//! - Its id is the database's time of the change; after a reconnect everything that has changed
//!   since then is sent.
//!
//! One poller per process reads the changed tasks of those who listen every half a second. What a worker's
//! report or a user's interrupt to this process changed is shown at once.

mod audience;
pub mod routes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskView, UserId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use self::audience::{Audience, Seen};
use super::unreadable::ReadTask;
use super::{store, view_any, views};
use crate::db::{self, Database, DbConnection, DbResult};
use crate::http::cursor::Cursor;
use crate::http::query::Period;

/// How often the database is asked for changes.
const POLL: Duration = Duration::from_millis(500);
/// Transactions commit later than they read the clock: changes are looked for this far back, and
/// those seen before are left out.
const OVERLAP: Duration = Duration::from_secs(5);
/// How many changes of a user one look takes; the rest follows in the next one.
const BATCH: i64 = 1_000;

/// A task that changed.
#[derive(Debug, Clone)]
struct Change {
    changed_at: NaiveDateTime,
    task: TaskView,
}

/// A task, by its owner and its id.
pub type OwnedTask = (UserId, TaskId);

/// Tasks as a transaction leaves them, to be shown after its commit.
#[derive(Debug, Default)]
pub struct News(Vec<(UserId, Vec<Change>)>);

/// Shows those who listen what changed. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    audience: Arc<Mutex<Audience>>,
    closed: CancellationToken,
}

impl Changes {
    /// Changes that end when `closed` is cancelled, so that open streams do not hold up a
    /// shutdown.
    pub fn until(closed: CancellationToken) -> Self {
        Self { closed, ..Self::default() }
    }

    /// Reads what is to be shown of tasks that the caller's transaction changed.
    pub fn read(&self, conn: &mut DbConnection, changed: &[OwnedTask]) -> DbResult<News> {
        let wanted = self.audience().wanted(changed).into_iter();
        let read = wanted.map(|(user, ids)| Ok((user, find(conn, user, &ids)?)));
        Ok(News(read.collect::<DbResult<_>>()?))
    }

    /// Shows what was read, after the commit.
    pub fn show(&self, News(news): News) {
        if news.is_empty() {
            return;
        }
        let mut audience = self.audience();
        news.into_iter().for_each(|(user, changes)| audience.show(user, changes));
    }

    /// Shows a task as it is now, after the commit that changed it.
    pub async fn tell(&self, db: &Database, changed: OwnedTask) {
        let changes = self.clone();
        match db.read(move |conn| changes.read(conn, &[changed])).await {
            Ok(news) => self.show(news),
            Err(error) => error!(%error, "a changed task could not be read"),
        }
    }

    fn listen(&self, user: UserId) -> broadcast::Receiver<Arc<Change>> {
        self.audience().listen(user)
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls until closed.
    pub async fn run(self, db: Database) {
        let mut polls = tokio::time::interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = polls.tick() => {}
                () = self.closed.cancelled() => return,
            }
            let listened = self.audience().begin_poll();
            for (user, seen) in listened {
                match db.read(move |conn| poll(conn, user, &seen)).await {
                    Ok((changes, polled)) => {
                        let mut audience = self.audience();
                        audience.show(user, changes);
                        audience.note(user, polled);
                    }
                    Err(error) => error!(%error, "changed tasks could not be read"),
                }
            }
        }
    }
}

/// What a poll found beside changes.
#[derive(Debug)]
struct Polled {
    now: NaiveDateTime,
    /// Where the next poll begins.
    next: Cursor,
}

fn poll(conn: &mut DbConnection, user: UserId, seen: &Seen) -> DbResult<(Vec<Change>, Polled)> {
    let now = db::now(conn)?;
    let overlap = from(now - OVERLAP);
    let since = seen.since.unwrap_or(overlap);
    let changed = store::changed_since(conn, user, since, BATCH)?;
    let is_full = i64::try_from(changed.len()) == Ok(BATCH);
    let last = changed.last().filter(|_| is_full);
    let next = last.map_or(overlap, |(id, changed_at)| Cursor { time: *changed_at, id: id.0 });
    let news = changed.into_iter().filter(|(id, changed_at)| !seen.has(*id, *changed_at));
    let news: Vec<TaskId> = news.map(|(id, _)| id).collect();
    let changes = if news.is_empty() { Vec::new() } else { find(conn, user, &news)? };
    Ok((changes, Polled { now, next }))
}

fn find(conn: &mut DbConnection, user: UserId, ids: &[TaskId]) -> DbResult<Vec<Change>> {
    let mut tasks = store::find_several(conn, user, ids)?;
    // One in a state that this version does not know has no view.
    tasks.retain(|task| task.as_ref().map_or_else(|task| task.state.is_some(), |_| true));
    let changed_at =
        |task: &ReadTask| task.as_ref().map_or_else(|task| task.changed_at, |task| task.changed_at);
    let times: Vec<_> = tasks.iter().map(changed_at).collect();
    let changes = times.into_iter().zip(views(conn, tasks)?);
    Ok(changes.map(|(changed_at, task)| Change { changed_at, task }).collect())
}

/// All that changed at `time` or later: no task's id is smaller than this one.
fn from(time: NaiveDateTime) -> Cursor {
    Cursor { time, id: Uuid::nil() }
}

async fn current(db: &Database, user: UserId, id: TaskId) -> DbResult<Option<Change>> {
    db.read(move |conn| {
        let Some(task) = store::find_any_owned(conn, user, id)? else { return Ok(None) };
        let changed_at = task.as_ref().map_or_else(|task| task.changed_at, |task| task.changed_at);
        Ok(Some(Change { changed_at, task: view_any(conn, task)? }))
    })
    .await
}

/// What changed since `time`, and some changes from before: what is shown at once overtakes what is found
/// by a poll, so that somebody who has seen an event may have missed earlier ones.
async fn changed_since(db: &Database, user: UserId, time: NaiveDateTime) -> DbResult<Vec<Change>> {
    db.read(move |conn| {
        let mut changes = Vec::new();
        let (earliest, _) = Period::bounds();
        let mut since = from((time.max(earliest) - OVERLAP).max(earliest));
        loop {
            let changed = store::changed_since(conn, user, since, BATCH)?;
            let Some((id, changed_at)) = changed.last() else { return Ok(changes) };
            since = Cursor { time: *changed_at, id: id.0 };
            let ids: Vec<_> = changed.into_iter().map(|(id, _)| id).collect();
            changes.extend(find(conn, user, &ids)?);
        }
    })
    .await
}

struct Listener {
    db: Database,
    user: UserId,
    only: Option<TaskId>,
    receiver: broadcast::Receiver<Arc<Change>>,
    closed: CancellationToken,
}

impl Listener {
    /// The next changes to tell; none when the server ends.
    async fn next(&mut self) -> Option<Vec<Change>> {
        loop {
            let received = tokio::select! {
                received = self.receiver.recv() => received,
                () = self.closed.cancelled() => return None,
            };
            match received {
                Ok(change) if self.only.is_none_or(|id| id == change.task.task_id) => {
                    return Some(vec![Change::clone(&change)]);
                }
                Ok(_) => {}
                Err(RecvError::Closed) => return None,
                // Too slow for the buffer: the task as it is now says it all; who follows all
                // tasks reconnects and is sent what it missed.
                Err(RecvError::Lagged(_)) => {
                    let id = self.only?;
                    let current = current(&self.db, self.user, id).await;
                    return current.ok().flatten().map(|change| vec![change]);
                }
            }
        }
    }
}
