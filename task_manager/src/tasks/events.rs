//! Server-sent events: a task, or all tasks of a user, as they change.
//!
//! # Invariants
//! - An event is the task as it is now, never a delta: missing one loses nothing.
//! - Its id is the database's time of the change; after a reconnect everything that has changed
//!   since then is sent.
//!
//! One poller per process reads the changed tasks of those who listen: at once where a worker's report or
//! a user's interrupt to this process changed them ([`Changes::tell`]), within half a second otherwise.

pub mod routes;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskView, UserId};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::error;
use uuid::Uuid;

use super::{store, view, views};
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
/// How many changes a slow listener may lag behind before it is sent the present state instead.
const BUFFER: usize = 2_048;

/// How many tasks are looked at at once between two polls. Where more change, the next poll takes them
/// together, each as it is by then.
const AT_ONCE: usize = 200;

/// A task that changed.
#[derive(Debug, Clone)]
struct Change {
    changed_at: NaiveDateTime,
    task: TaskView,
}

/// A task, by its owner and its id.
pub type OwnedTask = (UserId, TaskId);

/// Tells those who listen what changed. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    audience: Arc<Mutex<Audience>>,
    told: Arc<Notify>,
    closed: CancellationToken,
}

#[derive(Debug, Default)]
struct Audience {
    listeners: HashMap<UserId, broadcast::Sender<Arc<Change>>>,
    /// Tasks of theirs that are to be looked at at once.
    told: HashMap<UserId, Vec<TaskId>>,
    /// How many were told since the last poll.
    told_since_poll: usize,
}

impl Changes {
    /// Changes that end when `closed` is cancelled, so that open streams do not hold up a
    /// shutdown.
    pub fn until(closed: CancellationToken) -> Self {
        Self { closed, ..Self::default() }
    }

    /// Has tasks shown to those who listen as they are now, after the commit that changed them.
    pub fn tell(&self, changed: impl IntoIterator<Item = OwnedTask>) {
        let mut audience = self.audience();
        for (owner, id) in changed {
            let is_heard = audience.listeners.contains_key(&owner);
            if is_heard && audience.told_since_poll < AT_ONCE {
                audience.told_since_poll += 1;
                audience.told.entry(owner).or_default().push(id);
                self.told.notify_one();
            }
        }
    }

    fn listen(&self, user: UserId) -> broadcast::Receiver<Arc<Change>> {
        let mut audience = self.audience();
        audience.listeners.entry(user).or_insert_with(|| broadcast::channel(BUFFER).0).subscribe()
    }

    fn audience(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Polls until closed.
    pub async fn run(self, db: Database) {
        let mut known: HashMap<UserId, Arc<Seen>> = HashMap::new();
        let mut polls = tokio::time::interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looks = tokio::select! {
                _ = polls.tick() => {
                    let users = self.listened();
                    known.retain(|user, _| users.contains(user));
                    users.into_iter().map(|user| (user, Look::Poll)).collect()
                }
                () = self.told.notified() => self.told(),
                () = self.closed.cancelled() => return,
            };
            for (user, look) in looks {
                let seen = known.entry(user).or_default();
                match look_at(&db, user, look, Arc::clone(seen)).await {
                    Ok(news) => {
                        Arc::make_mut(seen).note(&news);
                        self.send(user, news.changes);
                    }
                    Err(error) => error!(%error, "changed tasks could not be read"),
                }
            }
        }
    }

    /// Who listens, before a poll.
    fn listened(&self) -> HashSet<UserId> {
        let mut audience = self.audience();
        audience.listeners.retain(|_, sender| sender.receiver_count() > 0);
        audience.told_since_poll = 0;
        audience.listeners.keys().copied().collect()
    }

    fn told(&self) -> Vec<(UserId, Look)> {
        let told = std::mem::take(&mut self.audience().told);
        told.into_iter().map(|(user, ids)| (user, Look::Told(ids))).collect()
    }

    fn send(&self, user: UserId, changes: Vec<Change>) {
        if let Some(sender) = self.audience().listeners.get(&user) {
            for change in changes {
                // Nobody may be listening any more; then nobody misses it.
                let _ = sender.send(Arc::new(change));
            }
        }
    }
}

/// What to look at.
#[derive(Debug, Clone)]
enum Look {
    /// All that changed.
    Poll,
    /// Tasks that changed just now.
    Told(Vec<TaskId>),
}

/// What a user's listeners have been told.
#[derive(Debug, Clone, Default)]
struct Seen {
    /// Where the next poll begins.
    since: Option<Cursor>,
    /// When what was told had changed.
    recent: HashMap<TaskId, NaiveDateTime>,
}

/// What a look found.
#[derive(Debug)]
struct News {
    changes: Vec<Change>,
    /// After a poll.
    polled: Option<Polled>,
}

#[derive(Debug)]
struct Polled {
    /// Where the next poll begins.
    next: Cursor,
    /// No later poll finds what changed before.
    found_from: NaiveDateTime,
}

impl Seen {
    fn note(&mut self, news: &News) {
        self.recent
            .extend(news.changes.iter().map(|change| (change.task.task_id, change.changed_at)));
        if let Some(Polled { next, found_from }) = &news.polled {
            self.recent.retain(|_, changed_at| *changed_at >= *found_from);
            self.since = Some(*next);
        }
    }

    fn has(&self, id: TaskId, changed_at: NaiveDateTime) -> bool {
        self.recent.get(&id) == Some(&changed_at)
    }
}

async fn look_at(db: &Database, user: UserId, look: Look, seen: Arc<Seen>) -> DbResult<News> {
    db.read(move |conn| match &look {
        Look::Poll => poll(conn, user, &seen),
        Look::Told(ids) => {
            let mut changes = find(conn, user, ids)?;
            changes.retain(|change| !seen.has(change.task.task_id, change.changed_at));
            Ok(News { changes, polled: None })
        }
    })
    .await
}

fn poll(conn: &mut DbConnection, user: UserId, seen: &Seen) -> DbResult<News> {
    let overlap = from(db::now(conn)? - OVERLAP);
    let since = seen.since.unwrap_or(overlap);
    let changed = store::changed_since(conn, user, since, BATCH)?;
    let is_full = i64::try_from(changed.len()) == Ok(BATCH);
    let last = changed.last().filter(|_| is_full);
    let next = last.map_or(overlap, |(id, changed_at)| Cursor { time: *changed_at, id: id.0 });
    let found_from = next.time.min(overlap.time);
    let news = changed.into_iter().filter(|(id, changed_at)| !seen.has(*id, *changed_at));
    let news: Vec<TaskId> = news.map(|(id, _)| id).collect();
    let changes = if news.is_empty() { Vec::new() } else { find(conn, user, &news)? };
    Ok(News { changes, polled: Some(Polled { next, found_from }) })
}

fn find(conn: &mut DbConnection, user: UserId, ids: &[TaskId]) -> DbResult<Vec<Change>> {
    let tasks = store::find_several(conn, user, ids)?;
    let times: Vec<_> = tasks.iter().map(|task| task.changed_at).collect();
    let changes = times.into_iter().zip(views(conn, tasks)?);
    Ok(changes.map(|(changed_at, task)| Change { changed_at, task }).collect())
}

/// All that changed at `time` or later: no task's id is smaller than this one.
fn from(time: NaiveDateTime) -> Cursor {
    Cursor { time, id: Uuid::nil() }
}

async fn current(db: &Database, user: UserId, id: TaskId) -> DbResult<Option<Change>> {
    db.read(move |conn| {
        let Some(task) = store::find_owned(conn, user, id)? else { return Ok(None) };
        let changed_at = task.changed_at;
        Ok(Some(Change { changed_at, task: view(conn, task)? }))
    })
    .await
}

/// What changed since `time`, and some changes from before: what is told at once overtakes what is found
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
