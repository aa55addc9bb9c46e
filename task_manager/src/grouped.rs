//! Grouped work: what is asked for at the same time shares a transaction or a look at the database,
//! since a commit or a round trip costs more than what is in it.
//!
//! # Invariants
//! - Nothing waits for company: a single item goes at once, and what comes while a transaction is
//!   under way shares the next one.
//! - An item is answered after the commit that it is part of.
//! - One that does not hold spoils no other: a group that fails is run again one by one.
//! - A group that is begun is carried out to its end, whoever of those who asked has gone.
//! - Nobody waits long for a group that only reads.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use crate::db::{Database, DbConnection, DbError, DbResult};

/// How many items share a transaction at the most.
const GROUP: usize = 200;
/// How long an answer of a group that reads is waited for.
const READ_LIMIT: Duration = Duration::from_secs(4);

/// How the database is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Reading,
    Writing,
}

/// Carries out items of type `T`, each of which is answered with an `R`. Clones share the groups.
pub struct Grouped<T, R>(Arc<Groups<T, R>>);

impl<T, R> Clone for Grouped<T, R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T, R> std::fmt::Debug for Grouped<T, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Grouped").finish_non_exhaustive()
    }
}

type Apply<T, R> = Box<dyn Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync>;
type Done<R> = Box<dyn Fn(&[R]) + Send + Sync>;

struct Groups<T, R> {
    db: Database,
    access: Access,
    apply: Apply<T, R>,
    done: Done<R>,
    line: Mutex<Line<T, R>>,
}

/// Who waits for the next group.
struct Line<T, R> {
    waiting: Vec<Waiting<T, R>>,
    /// Whether somebody takes groups from it.
    is_served: bool,
}

struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<DbResult<R>>,
}

impl<T, R> Grouped<T, R>
where
    T: Send + 'static,
    R: Send + 'static,
{
    /// `apply` carries out a group in one transaction and answers one result for each item, in order;
    /// it may be run more than once. `committed` is told of them after the commit, before who asked is.
    pub fn writing(
        db: Database,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
        committed: impl Fn(&[R]) + Send + Sync + 'static,
    ) -> Self {
        Self::new(db, Access::Writing, Box::new(apply), Box::new(committed))
    }

    /// The same with an `apply` that only reads.
    pub fn reading(
        db: Database,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
    ) -> Self {
        Self::new(db, Access::Reading, Box::new(apply), Box::new(|_| {}))
    }

    fn new(db: Database, access: Access, apply: Apply<T, R>, done: Done<R>) -> Self {
        let line = Mutex::new(Line { waiting: Vec::new(), is_served: false });
        Self(Arc::new(Groups { db, access, apply, done, line }))
    }

    /// Carries out `item`.
    ///
    /// # Errors
    /// What `apply` answers for it, or the database is not available.
    pub async fn submit(&self, item: T) -> DbResult<R> {
        let (answer, answered) = oneshot::channel();
        if self.0.line_up(Waiting { item, answer }) {
            Groups::serve(&self.0);
        }
        let ended = || "the group ended unexpectedly".to_owned();
        match self.0.access {
            Access::Writing => {
                answered.await.unwrap_or_else(|_| Err(DbError::CommitInDoubt(ended())))
            }
            // Nothing comes of what is read for nobody, so a database that hangs holds up no request.
            Access::Reading => match timeout(READ_LIMIT, answered).await {
                Ok(answer) => answer.unwrap_or_else(|_| Err(DbError::Unavailable(ended()))),
                Err(_) => Err(DbError::Overloaded),
            },
        }
    }
}

impl<T: Send + 'static, R: Send + 'static> Groups<T, R> {
    fn line(&self) -> MutexGuard<'_, Line<T, R>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the caller has to serve the line.
    fn line_up(&self, one: Waiting<T, R>) -> bool {
        let mut line = self.line();
        line.waiting.push(one);
        !std::mem::replace(&mut line.is_served, true)
    }

    /// Serves the line until nobody waits. Who asks first carries out the first group on the spot, without
    /// another thread in between, where the database is waited for in place; those who have come meanwhile
    /// are served by another one, so that they hold up no answer.
    fn serve(groups: &Arc<Self>) {
        if !groups.db.is_waited_for_in_place()
            || tokio::task::block_in_place(|| Self::serve_next(groups))
        {
            Self::serve_elsewhere(Arc::clone(groups));
        }
    }

    fn serve_elsewhere(groups: Arc<Self>) {
        tokio::task::spawn_blocking(move || while Self::serve_next(&groups) {});
    }

    /// Carries out the next group. Whether there is another one to be carried out by the caller.
    fn serve_next(groups: &Arc<Self>) -> bool {
        let group: Vec<_> = {
            let mut line = groups.line();
            let length = line.waiting.len().min(GROUP);
            line.waiting.drain(..length).collect()
        };
        let _serving = Serving(groups);
        groups.run(group);
        groups.is_awaited()
    }

    /// Whether somebody waits for another group; if not, the line is no longer served.
    fn is_awaited(&self) -> bool {
        let mut line = self.line();
        line.is_served = !line.waiting.is_empty();
        line.is_served
    }

    fn run(&self, group: Vec<Waiting<T, R>>) {
        let (items, answers): (Vec<T>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
        // Who asked may have gone: nobody misses an answer that cannot be given.
        match self.carry_out(&items) {
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
                warn!(%error, "a group does not hold; it is carried out one by one");
                for (answer, item) in answers.into_iter().zip(items.chunks(1)) {
                    let single = self.carry_out(item);
                    if let Ok(results) = &single {
                        (self.done)(results);
                    }
                    let _ = answer.send(single.and_then(first));
                }
            }
        }
    }

    fn carry_out(&self, items: &[T]) -> DbResult<Vec<R>> {
        let work = |conn: &mut DbConnection| (self.apply)(conn, items);
        match self.access {
            Access::Reading => self.db.read_blocking(work),
            Access::Writing => self.db.write_blocking(work),
        }
    }
}

/// Has the line served on where a group panics.
struct Serving<'a, T: Send + 'static, R: Send + 'static>(&'a Arc<Groups<T, R>>);

impl<T: Send + 'static, R: Send + 'static> Drop for Serving<'_, T, R> {
    fn drop(&mut self) {
        if std::thread::panicking() && self.0.is_awaited() {
            Groups::serve_elsewhere(Arc::clone(self.0));
        }
    }
}

fn first<R>(results: Vec<R>) -> DbResult<R> {
    results.into_iter().next().ok_or_else(|| DbError::corrupt("a group answered too little"))
}
