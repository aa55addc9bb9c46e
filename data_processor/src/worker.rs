//! The worker: claims what the queue delivers, runs it, and reports how it went.
//!
//! # Invariants
//! - Claim, then ack: no message is forgotten whose task nobody has.
//! - What runs here is reported until the task manager has answered the last report.
//! - An exclusive attempt shares its lane with nothing (`exclusive`).
//! - Small tasks and large ones do not wait for each other (`lane`).
//! - A slot is taken as long as a thread of its attempt runs, also where the attempt has ended: memory
//!   never exceeds slots times limit.
//!
//! # Not here
//! What a task does (`processors`), when a task is given up or run again (the task manager).

mod attempts;
mod claims;
mod exclusive;
mod execution;
mod intake;
mod lane;
mod rate;
mod reporter;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use common::client::FailoverClient;
use common::queue::{Delivery, Queue};
use common::report::{Attempt, Claim, Event, WorkerId, WorkerInfo};
use common::storage::Storage;
use common::task::spec::TaskSpec;
use common::task::{KindName, TaskKind};
use futures_util::future::{FutureExt, OptionFuture};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use self::attempts::{AttemptKey, Attempts};
use self::claims::Answered;
use self::exclusive::Next;
use self::execution::Processed;
use self::intake::Readiness;
use self::lane::{Lane, News};
use self::reporter::Reporter;
use crate::budget::Budget;
use crate::config::WorkerConfig;
use crate::mail::Mailer;
use crate::processor::{Context, Interruption};
use crate::processors::{self, Processing, Size, size_of};
use crate::task_manager::TaskManager;

/// What runs the processor of a task.
type Process = Arc<dyn Fn(TaskSpec, Context) -> Processing + Send + Sync>;

/// Runs a worker until `shutdown` is cancelled and it has drained: running tasks may go on for
/// the configured time, then they are given back.
pub async fn run(
    config: WorkerConfig,
    api: FailoverClient,
    queue: &Queue,
    storage: Storage,
    mailer: Mailer,
    shutdown: CancellationToken,
) {
    let process = Arc::new(move |spec, ctx| processors::start(spec, ctx, mailer.clone()));
    run_with(config, api, queue, storage, shutdown, process).await;
}

async fn run_with(
    config: WorkerConfig,
    api: FailoverClient,
    queue: &Queue,
    storage: Storage,
    shutdown: CancellationToken,
    process: Process,
) {
    let id = WorkerId(Uuid::new_v4());
    let task_manager = TaskManager::new(api);
    let attempts = Arc::new(Attempts::default());
    let closing = CancellationToken::new();
    let slots = config.slots;
    tracing::info!(worker = %id.0, name = config.name, slots, "the worker starts");
    let reporter = Reporter {
        task_manager: task_manager.clone(),
        attempts: Arc::clone(&attempts),
        info: WorkerInfo {
            id,
            name: config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kinds: TaskKind::ALL.map(KindName::from).to_vec(),
            slots: slots.get().into(),
            draining: false,
        },
        draining: shutdown.clone(),
        closing: closing.clone(),
    };
    let worker = Worker {
        id,
        small: Lane::new(Size::Small, &config, queue),
        large: Lane::new(Size::Large, &config, queue),
        budget: Budget::of_machine(config.memory_limit),
        config,
        task_manager,
        storage,
        process,
        attempts,
        shutdown,
        phase: Phase::Working,
        running: JoinSet::new(),
        lingering: JoinSet::new(),
        started: HashMap::new(),
    };
    let work = async {
        worker.run().await;
        closing.cancel();
    };
    tokio::join!(work, reporter.run());
    tracing::info!(worker = %id.0, "the worker has ended");
}

struct Worker {
    id: WorkerId,
    config: WorkerConfig,
    budget: Arc<Budget>,
    task_manager: TaskManager,
    storage: Storage,
    process: Process,
    small: Lane,
    large: Lane,
    attempts: Arc<Attempts>,
    shutdown: CancellationToken,
    phase: Phase,
    running: JoinSet<Processed>,
    started: HashMap<Id, Started>,
    /// The slots of attempts that have ended and whose threads still run.
    lingering: JoinSet<FreedSlot>,
}

/// A claimed attempt that can be started.
struct Start {
    key: AttemptKey,
    spec: TaskSpec,
    is_exclusive: bool,
    context: Context,
}

/// An attempt that runs.
struct Started {
    key: AttemptKey,
    slot: FreedSlot,
    context: Context,
}

/// A slot that is free again.
#[derive(Debug, Clone, Copy)]
struct FreedSlot {
    size: Size,
    was_exclusive: bool,
}

/// How an attempt that ran came to its end, by the id of what ran it.
type Joined = Result<(Id, Processed), JoinError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// Running attempts may go on until then; nothing else is started.
    Draining {
        until: Instant,
    },
    /// What still runs was told to end.
    Ending,
}

impl Worker {
    async fn run(mut self) {
        loop {
            Size::ALL.into_iter().for_each(|size| self.settle_exclusive(size));
            let small = self.readiness(&self.small);
            let large = self.readiness(&self.large);
            self.small.settle(small);
            self.large.settle(large);
            if self.phase != Phase::Working && self.running.is_empty() && !self.is_claiming() {
                tokio::join!(self.small.end(), self.large.end());
                return;
            }
            let deadline = match self.phase {
                Phase::Draining { until } => Some(until),
                Phase::Working | Phase::Ending => None,
            };
            // No arm waits for the task manager or the broker: that would hold up all others.
            tokio::select! {
                news = self.small.news(small) => self.hear(Size::Small, news),
                news = self.large.news(large) => self.hear(Size::Large, news),
                Some(first) = self.running.join_next_with_id() => self.ended(first),
                Some(Ok(slot)) = self.lingering.join_next() => self.freed(slot),
                () = self.attempts.answered() => {}
                () = self.shutdown.cancelled(), if self.phase == Phase::Working => self.drain(),
                Some(()) = OptionFuture::from(deadline.map(sleep_until)) => {
                    tracing::info!(tasks = self.running.len(), "gives back what still runs");
                    self.attempts.interrupt_all(Interruption::Drain);
                    self.phase = Phase::Ending;
                }
            }
        }
    }

    fn lane(&mut self, size: Size) -> &mut Lane {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }

    fn is_claiming(&self) -> bool {
        self.small.is_claiming() || self.large.is_claiming()
    }

    fn readiness(&self, lane: &Lane) -> Readiness {
        match self.phase {
            Phase::Working => lane.readiness(&self.attempts),
            Phase::Draining { .. } | Phase::Ending => Readiness::Closed,
        }
    }

    fn hear(&mut self, size: Size, news: News) {
        match news {
            News::Arrived(first) => self.claim(size, *first),
            News::Answered(answers) => self.claimed(size, answers),
            News::Due => {}
        }
    }

    /// Claims `first` and what else is there, up to the free slots.
    fn claim(&mut self, size: Size, first: Delivery) {
        let lane = match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        };
        let fresh = lane.collect(first, &self.attempts);
        if !fresh.is_empty() {
            let (task_manager, shutdown) = (self.task_manager.clone(), self.shutdown.clone());
            lane.claim(claims::claim(task_manager, self.id, fresh, shutdown).boxed());
        }
    }

    /// Starts what the lane of this size has claimed; keeps one exclusive attempt until the lane is
    /// empty, and gives back what cannot start.
    fn claimed(&mut self, claimed_by: Size, answers: Vec<Answered>) {
        let mut refusals = Vec::new();
        let mut given_back = Vec::new();
        let mut brought_exclusive = false;
        for Answered { delivery, claim, sent } in answers {
            let attempt = match claim {
                Claim::Refused { task_id, refused } => {
                    tracing::debug!(%task_id, refused, "nothing to run for a message");
                    refusals.push(delivery);
                    continue;
                }
                Claim::Attempt(attempt) => *attempt,
            };
            let (storage, task_manager) = (self.storage.clone(), self.task_manager.clone());
            let budget = Arc::clone(&self.budget);
            let context = Context::new(&attempt, storage, task_manager, &self.config, budget);
            let key = self.attempts.add(delivery.message(), &attempt, context.clone(), sent);
            let Attempt { spec, exclusive: is_exclusive, .. } = attempt;
            brought_exclusive |= is_exclusive;
            let size = size_of(spec.kind());
            self.lane(size).hold(key, delivery);
            let start = Start { key, spec, is_exclusive, context };
            let is_taken = self.small.exclusive.is_taken() || self.large.exclusive.is_taken();
            if self.phase != Phase::Working || is_exclusive && is_taken {
                given_back.push(start);
            } else if is_exclusive {
                self.lane(size).exclusive.wait(start);
            } else {
                self.start(start);
            }
        }
        let lane = self.lane(claimed_by);
        lane.claims_one(brought_exclusive);
        lane.ack(refusals);
        self.give_back(given_back);
    }

    /// Has the task manager put tasks in the queue again that were claimed and cannot start here.
    fn give_back(&mut self, given_back: Vec<Start>) {
        let released = || Some(Event::Released { checkpoint: None });
        self.attempts.end(given_back.iter().map(|start| (start.key, released())));
        for Start { key, spec, .. } in given_back {
            self.lane(size_of(spec.kind())).ended(&[key]);
        }
    }

    fn start(&mut self, Start { key, spec, is_exclusive, context }: Start) {
        let size = size_of(spec.kind());
        let span = context.span().clone();
        span.in_scope(|| match size {
            // A line for each would cost more than the task.
            Size::Small => tracing::debug!(kind = %spec.kind(), is_exclusive, "the attempt starts"),
            Size::Large => tracing::info!(kind = %spec.kind(), is_exclusive, "the attempt starts"),
        });
        let processing = (self.process)(spec, context.clone());
        let run = execution::run(processing, context.clone()).instrument(span);
        let id = self.running.spawn(run).id();
        self.lane(size).started();
        let slot = FreedSlot { size, was_exclusive: is_exclusive };
        self.started.insert(id, Started { key, slot, context });
    }

    /// Starts the exclusive attempt of a lane, ends it or gives it back, where it is time to.
    fn settle_exclusive(&mut self, size: Size) {
        let lane = self.lane(size);
        let is_empty = lane.is_empty();
        match lane.exclusive.next(is_empty) {
            None => {}
            Some(Next::Start(start)) => self.start(start),
            Some(Next::Forget(start)) => self.attempts.end([(start.key, None)]),
            Some(Next::GiveBack(start)) => {
                start.context.span().in_scope(|| {
                    tracing::info!("gives the attempt back: what else runs takes too long");
                });
                self.give_back(vec![start]);
            }
        }
    }

    /// Notes the end of `first` and of what else has ended by now.
    fn ended(&mut self, first: Joined) {
        let mut joined = vec![first];
        while let Some(next) = self.running.try_join_next_with_id() {
            joined.push(next);
        }
        let mut small = Vec::new();
        let mut large = Vec::new();
        let mut events = Vec::with_capacity(joined.len());
        for ended in joined {
            let (id, processed) = match ended {
                Ok((id, processed)) => (id, Ok(processed)),
                Err(error) => (error.id(), Err(error)),
            };
            let Some(Started { key, slot, context }) = self.started.remove(&id) else {
                continue;
            };
            let event = execution::last_event(processed, context.interruption());
            context.span().in_scope(|| log_end(slot.size, event.as_ref(), context.interruption()));
            match slot.size {
                Size::Small => small.push(key),
                Size::Large => large.push(key),
            }
            events.push((key, event));
            if context.has_threads() {
                self.lingering.spawn(async move {
                    context.threads_ended().await;
                    slot
                });
            } else {
                self.freed(slot);
            }
        }
        self.attempts.end(events);
        self.small.ended(&small);
        self.large.ended(&large);
    }

    fn freed(&mut self, FreedSlot { size, was_exclusive }: FreedSlot) {
        self.lane(size).freed(was_exclusive);
    }

    /// Takes nothing more; what waits is given back at once.
    fn drain(&mut self) {
        tracing::info!(tasks = self.running.len(), "the worker drains");
        self.phase = Phase::Draining { until: Instant::now() + self.config.drain_timeout };
        let waiting = [self.small.exclusive.take(), self.large.exclusive.take()];
        self.give_back(waiting.into_iter().flatten().collect());
    }
}

fn log_end(size: Size, event: Option<&Event>, interruption: Option<Interruption>) {
    match event {
        Some(Event::Retry { reason: Some(reason), .. }) => {
            tracing::warn!(reason, "the attempt ended with an error that may pass");
        }
        Some(Event::Failed { error }) => tracing::info!(%error, "the task failed"),
        Some(event) if size == Size::Small => {
            tracing::debug!(event = event.name(), "the attempt ended");
        }
        Some(event) => tracing::info!(event = event.name(), "the attempt ended"),
        None => tracing::info!(why = ?interruption, "the attempt was interrupted"),
    }
}
