//! Grouped work: what is asked for at the same time shares a transaction or a look at the database,
//! since a commit or a round trip costs more than what is in it.
//!
//! # Invariants
//! - Nothing waits for company: a single item goes at once, and what comes while a transaction is
//!   under way shares the next one.
//! - An item is answered after the commit that it is part of.
//! - One that does not hold spoils no other: a group that fails is run again one by one.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::db::{Database, DbConnection, DbError, DbResult};

/// How many items share a transaction at the most.
const GROUP: usize = 200;

/// How the database is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Reading,
    Writing,
}

/// Carries out items of type `T`, each of which is answered with an `R`. Clones share the groups.
#[derive(Debug)]
pub struct Grouped<T, R> {
    waiting: mpsc::Sender<Waiting<T, R>>,
}

impl<T, R> Clone for Grouped<T, R> {
    fn clone(&self) -> Self {
        Self { waiting: self.waiting.clone() }
    }
}

#[derive(Debug)]
struct Waiting<T, R> {
    item: T,
    answer: oneshot::Sender<DbResult<R>>,
}

impl<T, R> Grouped<T, R>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
{
    /// Starts it, until the last clone is dropped. `apply` carries out a group in one transaction
    /// and answers one result for each item, in order; it may be run more than once. `committed` is
    /// told of them after the commit, before who asked is.
    pub fn writing(
        db: Database,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
        committed: impl Fn(&[R]) + Send + Sync + 'static,
    ) -> Self {
        Self::start(db, Access::Writing, apply, committed)
    }

    /// The same with an `apply` that only reads.
    pub fn reading(
        db: Database,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
    ) -> Self {
        Self::start(db, Access::Reading, apply, |_| {})
    }

    fn start(
        db: Database,
        access: Access,
        apply: impl Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
        done: impl Fn(&[R]) + Send + Sync + 'static,
    ) -> Self {
        let (waiting, mut arriving) = mpsc::channel(GROUP);
        let apply = Arc::new(apply);
        tokio::spawn(async move {
            let mut group = Vec::with_capacity(GROUP);
            while arriving.recv_many(&mut group, GROUP).await > 0 {
                run(&db, access, &apply, &done, std::mem::take(&mut group)).await;
            }
        });
        Self { waiting }
    }

    /// Carries out `item`.
    ///
    /// # Errors
    /// What `apply` answers for it, or the database is not available.
    pub async fn submit(&self, item: T) -> DbResult<R> {
        let (answer, answered) = oneshot::channel();
        let ended = |_| DbError::Unavailable("the server ends".to_owned());
        self.waiting.send(Waiting { item, answer }).await.map_err(|_| ended(()))?;
        answered.await.map_err(|_| ended(()))?
    }
}

async fn run<T, R, F>(
    db: &Database,
    access: Access,
    apply: &Arc<F>,
    done: impl Fn(&[R]),
    group: Vec<Waiting<T, R>>,
) where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
{
    let (items, answers): (Vec<T>, Vec<_>) =
        group.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
    let items = Arc::new(items);
    // Who asked may have gone: nobody misses an answer that cannot be given.
    match carry_out(db, access, apply, &items, 0..items.len()).await {
        Ok(results) => {
            done(&results);
            for (answer, result) in answers.into_iter().zip(results) {
                let _ = answer.send(Ok(result));
            }
        }
        Err(error) if error.is_unavailable() => {
            for answer in answers {
                let _ = answer.send(Err(DbError::Unavailable(error.to_string())));
            }
        }
        Err(error) => {
            warn!(%error, "a group does not hold; it is carried out one by one");
            for (at, answer) in answers.into_iter().enumerate() {
                let single = carry_out(db, access, apply, &items, at..at + 1).await;
                if let Ok(results) = &single {
                    done(results);
                }
                let _ = answer.send(single.and_then(first));
            }
        }
    }
}

async fn carry_out<T, R, F>(
    db: &Database,
    access: Access,
    apply: &Arc<F>,
    items: &Arc<Vec<T>>,
    range: std::ops::Range<usize>,
) -> DbResult<Vec<R>>
where
    T: Send + Sync + 'static,
    R: Send + 'static,
    F: Fn(&mut DbConnection, &[T]) -> DbResult<Vec<R>> + Send + Sync + 'static,
{
    let (apply, items) = (Arc::clone(apply), Arc::clone(items));
    let work =
        move |conn: &mut DbConnection| apply(conn, items.get(range.clone()).unwrap_or_default());
    match access {
        Access::Reading => db.read(work).await,
        Access::Writing => db.write(work).await,
    }
}

fn first<R>(results: Vec<R>) -> DbResult<R> {
    results.into_iter().next().ok_or_else(|| DbError::corrupt("a group answered too little"))
}
