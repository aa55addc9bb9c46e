//! Subscriptions to changes of a task, or of all tasks of a user, for server-sent events.
//!
//! # Invariants
//! - An event is the task as it is now, never a delta: missing one loses nothing.
//! - Its id is the database's time of the change. After a reconnect, all tasks that have changed
//!   since then are sent, page by page: no stream has more than a page of them in memory, or a
//!   transaction open between two pages.
//! - The stream of a single task ends with the event that shows the task's end.
//!
//! One poller per process reads the changed tasks of subscribed users every half a second. Changes
//! made by a report or an interrupt that this process received are published immediately.
//!
//! # Not here
//! HTTP (`api::routes::events`).

mod subscribers;

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

use self::subscribers::{Received, Subscribers};
use crate::db::{self, Database, DbConnection, DbResult};
use crate::error::Error;
use crate::paging::Cursor;
use crate::paging::Period;
use crate::tasks::store;
use crate::tasks::unreadable::ReadTask;
use crate::views::{view_any, views};

/// How often the database is polled for changes.
const POLL: Duration = Duration::from_millis(500);
/// Transactions commit later than they read the clock: each poll reads changes this far back, and
/// leaves out those already sent.
const OVERLAP: Duration = Duration::from_secs(5);
/// How many changes of a user one poll reads; the next one reads the rest.
const BATCH: i64 = 1_000;
/// How many missed changes each stream has in memory at a time.
const PAGE: i64 = 200;

/// A task that changed.
#[derive(Debug, Clone)]
pub struct Change {
    pub changed_at: NaiveDateTime,
    pub task: TaskView,
}

/// A task, by its owner and its id.
pub type OwnedTask = (UserId, TaskId);

/// Tasks as a transaction leaves them, to be published after its commit.
#[derive(Debug, Default)]
pub struct Unpublished(Vec<(UserId, Vec<Change>)>);

/// Publishes changes to subscribers. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    subscribers: Arc<Mutex<Subscribers>>,
    closed: CancellationToken,
}

impl Changes {
    /// Changes that end when `closed` is cancelled, so that open streams do not hold up a
    /// shutdown.
    pub fn until(closed: CancellationToken) -> Self {
        Self { closed, ..Self::default() }
    }

    /// Reads the tasks that the caller's transaction changed, to publish them after its commit.
    pub fn read(&self, conn: &mut DbConnection, changed: &[OwnedTask]) -> DbResult<Unpublished> {
        let wanted = self.subscribers().admit(changed).into_iter();
        let read = wanted.map(|(user, ids)| Ok((user, find(conn, user, &ids)?)));
        Ok(Unpublished(read.collect::<DbResult<_>>()?))
    }

    /// Publishes them, after the commit.
    pub fn publish(&self, Unpublished(changes): Unpublished) {
        if changes.is_empty() {
            return;
        }
        let mut subscribers = self.subscribers();
        changes.into_iter().for_each(|(user, changes)| subscribers.publish(user, changes));
    }

    /// Publishes the current state of a task, after the commit that changed it.
    pub async fn notify(&self, db: &Database, changed: OwnedTask) {
        let changes = self.clone();
        match db.read(move |conn| changes.read(conn, &[changed])).await {
            Ok(changes) => self.publish(changes),
            Err(error) => error!(%error, "a changed task could not be read"),
        }
    }

    /// Watches a task of `user`: sends its current state first, then every change. None if the task
    /// has ended and the client has seen that event, whose time is `last_seen`.
    ///
    /// # Errors
    /// The task does not exist, or the database is not available.
    pub async fn watch(
        &self,
        db: Database,
        user: UserId,
        id: TaskId,
        last_seen: Option<NaiveDateTime>,
    ) -> Result<Option<Subscription>, Error> {
        // Subscribed before the first read, so that no change in between is missed.
        let receiver = self.subscribe(user);
        let first = current(&db, user, id).await?.ok_or(Error::TaskNotFound)?;
        let is_ended = first.task.state.is_ended();
        if is_ended && last_seen.is_some_and(|seen| first.changed_at <= seen) {
            return Ok(None);
        }
        let mut subscription = Subscription::new(db, user, receiver, self.closed.clone());
        subscription.only = Some(id);
        subscription.note_sent(first.changed_at, is_ended);
        subscription.first = vec![first];
        Ok(Some(subscription))
    }

    /// Watches all tasks of `user`: sends those that changed since the event of the time
    /// `last_seen` first, then every change.
    ///
    /// # Errors
    /// The database is not available.
    pub async fn watch_all(
        &self,
        db: Database,
        user: UserId,
        last_seen: Option<NaiveDateTime>,
    ) -> Result<Subscription, Error> {
        let receiver = self.subscribe(user);
        let mut subscription = Subscription::new(db, user, receiver, self.closed.clone());
        if let Some(seen) = last_seen {
            // The first page is read here, so that a failing database results in an error status.
            let (first, next) = missed(&subscription.db, user, missed_since(seen)).await?;
            subscription.sent = first.iter().map(|change| change.changed_at).max().max(Some(seen));
            subscription.missing = next;
            subscription.first = first;
        }
        Ok(subscription)
    }

    fn subscribe(&self, user: UserId) -> broadcast::Receiver<Arc<Change>> {
        self.subscribers().subscribe(user)
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
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
            let subscribed = self.subscribers().begin_poll();
            for (user, received) in subscribed {
                match db.read(move |conn| poll(conn, user, &received)).await {
                    Ok((changes, polled)) => {
                        let mut subscribers = self.subscribers();
                        subscribers.publish(user, changes);
                        subscribers.note(user, polled);
                    }
                    Err(error) => error!(%error, "changed tasks could not be read"),
                }
            }
        }
    }
}

/// The results of a poll beside changes.
#[derive(Debug)]
struct Polled {
    now: NaiveDateTime,
    /// Where the next poll begins.
    next: Cursor,
}

fn poll(
    conn: &mut DbConnection,
    user: UserId,
    received: &Received,
) -> DbResult<(Vec<Change>, Polled)> {
    let now = db::now(conn)?;
    let overlap = from(now - OVERLAP);
    let since = received.since.unwrap_or(overlap);
    let changed = store::changed_since(conn, user, since, BATCH)?;
    let is_full = i64::try_from(changed.len()) == Ok(BATCH);
    let last = changed.last().filter(|_| is_full);
    let next = last.map_or(overlap, |(id, changed_at)| Cursor { time: *changed_at, id: id.0 });
    let unseen = changed.into_iter().filter(|(id, changed_at)| !received.has(*id, *changed_at));
    let unseen: Vec<TaskId> = unseen.map(|(id, _)| id).collect();
    let changes = if unseen.is_empty() { Vec::new() } else { find(conn, user, &unseen)? };
    Ok((changes, Polled { now, next }))
}

fn find(conn: &mut DbConnection, user: UserId, ids: &[TaskId]) -> DbResult<Vec<Change>> {
    let mut tasks = store::find_several(conn, user, ids)?;
    // A task in a state that this version does not know has no view.
    tasks.retain(|task| task.as_ref().map_or_else(|task| task.state.is_some(), |_| true));
    let changed_at =
        |task: &ReadTask| task.as_ref().map_or_else(|task| task.changed_at, |task| task.changed_at);
    let times: Vec<_> = tasks.iter().map(changed_at).collect();
    let changes = times.into_iter().zip(views(conn, tasks)?);
    Ok(changes.map(|(changed_at, task)| Change { changed_at, task }).collect())
}

/// The position of the first change at `time` or later: no id is smaller than nil.
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

/// The position of the first change that a client may have missed after an event of `time`: changes
/// that are published immediately overtake those found by a poll.
fn missed_since(time: NaiveDateTime) -> Cursor {
    let (earliest, _) = Period::bounds();
    from((time.max(earliest) - OVERLAP).max(earliest))
}

/// A page of the changes since `since`, and the start of the next page, if any.
async fn missed(
    db: &Database,
    user: UserId,
    since: Cursor,
) -> DbResult<(Vec<Change>, Option<Cursor>)> {
    db.read(move |conn| {
        let changed = store::changed_since(conn, user, since, PAGE)?;
        let is_full = i64::try_from(changed.len()) == Ok(PAGE);
        let last = changed.last().filter(|_| is_full);
        let next = last.map(|(id, changed_at)| Cursor { time: *changed_at, id: id.0 });
        let ids: Vec<_> = changed.into_iter().map(|(id, _)| id).collect();
        let changes = if ids.is_empty() { Vec::new() } else { find(conn, user, &ids)? };
        Ok((changes, next))
    })
    .await
}

/// The changes that one stream sends.
pub struct Subscription {
    db: Database,
    user: UserId,
    /// The watched task; none if all tasks of the user are watched.
    only: Option<TaskId>,
    receiver: broadcast::Receiver<Arc<Change>>,
    closed: CancellationToken,
    /// Sent before any received change.
    first: Vec<Change>,
    /// The start of the next page of missed changes; none if nothing is missing.
    missing: Option<Cursor>,
    /// The time of the latest change that was sent.
    sent: Option<NaiveDateTime>,
    /// Whether the last event has been sent.
    is_over: bool,
}

impl Subscription {
    fn new(
        db: Database,
        user: UserId,
        receiver: broadcast::Receiver<Arc<Change>>,
        closed: CancellationToken,
    ) -> Self {
        Self {
            db,
            user,
            only: None,
            receiver,
            closed,
            first: Vec::new(),
            missing: None,
            sent: None,
            is_over: false,
        }
    }

    /// The next changes to send; none if the server shuts down or the watched task has ended.
    pub async fn next(&mut self) -> Option<Vec<Change>> {
        if !self.first.is_empty() {
            return Some(std::mem::take(&mut self.first));
        }
        while !self.is_over {
            let changes = self.find_next().await?;
            let changes: Vec<_> =
                changes.into_iter().filter(|change| self.is_new(change)).collect();
            if let Some(latest) = changes.iter().map(|change| change.changed_at).max() {
                self.note_sent(latest, changes.iter().any(|change| change.task.state.is_ended()));
                return Some(changes);
            }
        }
        None
    }

    fn note_sent(&mut self, latest: NaiveDateTime, any_ended: bool) {
        self.sent = self.sent.max(Some(latest));
        self.is_over = self.only.is_some() && any_ended;
    }

    /// Whether a change is newer than the last one sent. If all tasks are watched, every change is;
    /// a clock that was set back hides none.
    fn is_new(&self, change: &Change) -> bool {
        let is_old = |sent| (sent - OVERLAP..=sent).contains(&change.changed_at);
        match self.only {
            Some(id) => id == change.task.task_id && !self.sent.is_some_and(is_old),
            None => true,
        }
    }

    async fn find_next(&mut self) -> Option<Vec<Change>> {
        if let Some(since) = self.missing.filter(|_| !self.closed.is_cancelled()) {
            // On an error the client reconnects with the id of its last event.
            let (changes, next) = missed(&self.db, self.user, since).await.ok()?;
            self.missing = next;
            return Some(changes);
        }
        let received = tokio::select! {
            received = self.receiver.recv() => received,
            () = self.closed.cancelled() => return None,
        };
        match (received, self.only) {
            (Ok(change), _) => Some(vec![Change::clone(&change)]),
            (Err(RecvError::Closed), _) => None,
            // Too slow for the buffer: the current state of the task suffices.
            (Err(RecvError::Lagged(_)), Some(id)) => {
                let current = current(&self.db, self.user, id).await;
                current.ok().flatten().map(|change| vec![change])
            }
            (Err(RecvError::Lagged(_)), None) => {
                self.missing = Some(missed_since(self.sent?));
                Some(Vec::new())
            }
        }
    }
}
