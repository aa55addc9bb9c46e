//! Server-sent events: a task, or all tasks of a user, as they change.
//!
//! # Invariants
//! - An event is the task as it is now, never a delta: missing one loses nothing.
//! - Its id is the database's time of the change; after a reconnect everything that has changed
//!   since then is sent.
//!
//! One poller per process reads the changed tasks of those who listen.

pub mod routes;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::NaiveDateTime;
use common::task::{TaskId, TaskView, UserId};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{store, view, views};
use crate::db::{self, Database, DbResult};

/// How often the database is asked for changes.
const POLL: Duration = Duration::from_millis(500);
/// Transactions commit later than they read the clock: changes are looked for this far back, and
/// those seen before are left out.
const OVERLAP: Duration = Duration::from_secs(5);
/// How many changes of a user one look takes; the rest follows in the next one.
const BATCH: i64 = 1_000;
/// How many changes a slow listener may lag behind before it is sent the present state instead.
const BUFFER: usize = 1_024;

/// A task that changed.
#[derive(Debug, Clone)]
struct Change {
    changed_at: NaiveDateTime,
    task: TaskView,
}

/// Tells those who listen what changed. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    listeners: Arc<Mutex<HashMap<UserId, broadcast::Sender<Arc<Change>>>>>,
    closed: CancellationToken,
}

impl Changes {
    /// Changes that end when `closed` is cancelled, so that open streams do not hold up a
    /// shutdown.
    pub fn until(closed: CancellationToken) -> Self {
        Self { closed, ..Self::default() }
    }

    fn listen(&self, user: UserId) -> broadcast::Receiver<Arc<Change>> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.entry(user).or_insert_with(|| broadcast::channel(BUFFER).0).subscribe()
    }

    fn listened(&self) -> HashMap<UserId, broadcast::Sender<Arc<Change>>> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, sender| sender.receiver_count() > 0);
        listeners.clone()
    }

    /// Polls until closed.
    pub async fn run(self, db: Database) {
        let mut known: HashMap<UserId, Seen> = HashMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = self.closed.cancelled() => return,
            }
            let listened = self.listened();
            known.retain(|user, _| listened.contains_key(user));
            for (user, sender) in listened {
                let seen = known.remove(&user).unwrap_or_default();
                match poll(&db, user, seen).await {
                    Ok((changes, seen)) => {
                        known.insert(user, seen);
                        for change in changes {
                            // Nobody may be listening any more; then nobody misses it.
                            let _ = sender.send(Arc::new(change));
                        }
                    }
                    Err(error) => error!(%error, "changed tasks could not be read"),
                }
            }
        }
    }
}

/// What a user's listeners have been told.
#[derive(Debug, Clone, Default)]
struct Seen {
    since: Option<NaiveDateTime>,
    recent: HashMap<TaskId, NaiveDateTime>,
}

async fn poll(db: &Database, user: UserId, seen: Seen) -> DbResult<(Vec<Change>, Seen)> {
    db.read(move |conn| {
        let mut seen = seen.clone();
        let since = match seen.since {
            Some(since) => since,
            None => db::now(conn)? - OVERLAP,
        };
        let mut changes = Vec::new();
        let changed = store::changed_since(conn, user, since, BATCH)?;
        let latest = changed.last().map(|task| task.changed_at);
        let is_full = i64::try_from(changed.len()) == Ok(BATCH);
        for task in changed {
            let changed_at = task.changed_at;
            if seen.recent.insert(task.id, changed_at) != Some(changed_at) {
                changes.push(Change { changed_at, task: view(conn, task)? });
            }
        }
        let next = match latest {
            Some(latest) if is_full => latest,
            _ => since.max(db::now(conn)? - OVERLAP),
        };
        seen.recent.retain(|_, changed_at| *changed_at >= next);
        seen.since = Some(next);
        Ok((changes, seen))
    })
    .await
}

async fn current(db: &Database, user: UserId, id: TaskId) -> DbResult<Option<Change>> {
    db.read(move |conn| {
        let Some(task) = store::find_owned(conn, user, id)? else { return Ok(None) };
        let changed_at = task.changed_at;
        Ok(Some(Change { changed_at, task: view(conn, task)? }))
    })
    .await
}

async fn changed_since(db: &Database, user: UserId, since: NaiveDateTime) -> DbResult<Vec<Change>> {
    db.read(move |conn| {
        let tasks = store::changed_since(conn, user, since, i64::MAX)?;
        let times: Vec<_> = tasks.iter().map(|task| task.changed_at).collect();
        let views = views(conn, tasks)?;
        Ok(times
            .into_iter()
            .zip(views)
            .map(|(changed_at, task)| Change { changed_at, task })
            .collect())
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
