//! Group commit: concurrent requests share a transaction or a query, since a commit or a round trip
//! costs more than the work in it.
//!
//! # Invariants
//! - Nothing waits to fill a group: a single item runs immediately, and items that arrive while a
//!   transaction is in progress share the next one.
//! - The result of an item is returned after the commit that contains it.
//! - A failing item affects no other: a group that fails is run again item by item.
//! - A group that has started runs to its end, even if its callers are gone.
//! - A caller waits only a bounded time for a group that reads.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::db::{Database, DbConnection, DbError, DbResult};

/// The largest group.
const GROUP: usize = 200;
/// How long a caller waits for a group that reads.
const READ_LIMIT: Duration = Duration::from_secs(4);

/// What a group does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Runs items of type `T` in groups, each with a result of type `R`. Clones share the queue.
pub struct GroupCommit<T, R>(Arc<Shared<T, R>>);

impl<T, R> Clone for GroupCommit<T, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, R> std::fmt::Debug for GroupCommit<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCommit").finish_non_exhaustive()
    }
}

type Apply<T, R> = Box<dyn Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync>;
type Done<R> = Box<dyn Fn(&[R]) + Send + Sync>;

struct Shared<T, R> {
    db: Database,
    access: Access,
    apply: Apply<T, R>,
    done: Done<R>,
    queue: Mutex<Queue<T, R>>,
}

/// The items of the next groups.
struct Queue<T, R> {
    waiting: Vec<Waiting<T, R>>,
    /// Whether a thread takes groups from it.
    is_served: bool,
}

struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<DbResult<R>>,
}

impl<T, R> GroupCommit<T, R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    /// `apply` runs a group in one transaction and returns a result for each item, in order; it may
    /// be run more than once. `committed` gets the results after the commit, before the callers do.
    pub fn writing(
        db: Database,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
        committed: impl Fn(&[R]) + Send + Sync + 'static,
    ) -> Self {
        Self::new(db, Access::Write, Box::new(apply), Box::new(committed))
    }

    /// The same with an `apply` that only reads.
    pub fn reading(
        db: Database,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(db, Access::Read, Box::new(apply), Box::new(|_| {}))
    }

    fn new(db: Database, access: Access, apply: Apply<T, R>, done: Done<R>) -> Self {
        let queue = Mutex::new(Queue { waiting: Vec::new(), is_served: false });
        Self(Arc::new(Shared { db, access, apply, done, queue }))
    }

    /// Runs `item` with the next group.
    ///
    /// # Errors
    /// Those of `apply` for the item, or the database is not available.
    pub async fn submit(&self, item: T) -> DbResult<R> {
        let (answer, answered) = oneshot::channel();
        if self.0.enqueue(Waiting { item, answer }) {
            Shared::serve(&self.0);
        }
        let ended = || "the group ended unexpectedly".to_owned();
        match self.0.access {
            Access::Write => {
                answered.await.unwrap_or_else(|_| Err(DbError::CommitInDoubt(ended())))
            }
            // A read has no effect, so the caller may leave a database that hangs.
            Access::Read => match timeout(READ_LIMIT, answered).await {
                Ok(answer) => answer.unwrap_or_else(|_| Err(DbError::Unavailable(ended()))),
                Err(_) => Err(DbError::Overloaded),
            },
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Shared<T, R> {
    fn queue(&self) -> MutexGuard<'_, Queue<T, R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item; true if the caller has to serve the queue.
    fn enqueue(&self, one: Waiting<T, R>) -> bool {
        let mut queue = self.queue();
        queue.waiting.push(one);
        !std::mem::replace(&mut queue.is_served, true)
    }

    /// Serves the queue until it is empty. If the database is waited for in place, the first caller
    /// runs the first group on its own thread, which saves a thread switch; another thread runs the
    /// groups after it, so that they delay no result.
    fn serve(shared: &Arc<Self>) {
        if !shared.db.is_waited_for_in_place()
            || tokio::task::block_in_place(|| Self::serve_next(shared))
        {
            Self::serve_elsewhere(Arc::clone(shared));
        }
    }

    fn serve_elsewhere(shared: Arc<Self>) {
        tokio::task::spawn_blocking(move || while Self::serve_next(&shared) {});
    }

    /// Runs the next group; true if the caller has to run another one.
    fn serve_next(shared: &Arc<Self>) -> bool {
        let group: Vec<_> = {
            let mut queue = shared.queue();
            let length = queue.waiting.len().min(GROUP);
            queue.waiting.drain(..length).collect()
        };
        let _serving = Serving(shared);
        shared.run(group);
        shared.is_awaited()
    }

    /// Whether items wait for another group; if not, the queue is no longer served.
    fn is_awaited(&self) -> bool {
        let mut queue = self.queue();
        queue.is_served = !queue.waiting.is_empty();
        queue.is_served
    }

    fn run(&self, group: Vec<Waiting<T, R>>) {
        let (items, answers): (Vec<T>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
        // A caller may be gone; then its result is dropped.
        match self.run_group(&items) {
            Ok(results) => {
                (self.done)(&results);
                for (answer, result) in answers.into_iter().zip(results) {
                    let _ = answer.send(Ok(result));
                }
            }
            Err(error) if error.is_unavailable() => {
                for answer in answers {
                    let _ = answer.send(Err(error.for_one_of_many()));
                }
            }
            Err(error) => {
                warn!(%error, "a group failed and is run again item by item");
                for (answer, item) in answers.into_iter().zip(items.chunks(1)) {
                    let single = self.run_group(item);
                    if let Ok(results) = &single {
                        (self.done)(results);
                    }
                    let _ = answer.send(single.and_then(first));
                }
            }
        }
    }

    fn run_group(&self, items: &[T]) -> DbResult<Vec<R>> {
        let work = |conn: &mut DbConnection| (self.apply)(conn, items);
        match self.access {
            Access::Read => self.db.read_blocking(work),
            Access::Write => self.db.write_blocking(work),
        }
    }
}

/// Keeps the queue served if a group panics.
struct Serving<'a, T: Send + 'static, R: Send + 'static>(&'a Arc<Shared<T, R>>);

impl<T: Send + 'static, R: Send + 'static> Drop for Serving<'_, T, R> {
    fn drop(&mut self) {
        if std::thread::panicking() && self.0.is_awaited() {
            Shared::serve_elsewhere(Arc::clone(self.0));
        }
    }
}

fn first<R>(results: Vec<R>) -> DbResult<R> {
    results.into_iter().next().ok_or_else(|| DbError::corrupt("a group returned too few results"))
}
