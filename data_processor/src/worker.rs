//! The worker: claims the tasks that the queue delivers, runs them, and reports their outcomes.
//!
//! # Invariants
//! - Claim, then ack: a message is acked only after the task manager has answered the claim.
//! - An attempt is reported until the task manager has answered its final report.
//! - An exclusive attempt is the only one that runs in its lane (`exclusive`).
//! - Small and large tasks do not wait for each other (`lane`).
//! - A slot is occupied while a thread of its attempt runs, even after the attempt has ended, so
//!   memory never exceeds slots times limit.
//!
//! # Not here
//! What a task does (`processors`); whether a task is retried or fails (the task manager).

mod attempts;
mod claims;
mod exclusive;
mod execution;
mod intake;
mod lane;
mod rate;
mod reporter;
mod spans;
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

use self::attempts::{AttemptKey, Attempts, Ended};
use self::claims::AnsweredClaim;
use self::exclusive::Action;
use self::execution::Processed;
use self::intake::Readiness;
use self::lane::{Lane, LaneEvent};
use self::reporter::Reporter;
use self::spans::{AttemptSpans, Source};
use crate::budget::Budget;
use crate::config::WorkerConfig;
use crate::mail::Mailer;
use crate::metrics::metrics;
use crate::processor::{Context, Interruption};
use crate::processors::{self, Processing, Size, size_of};
use crate::task_manager::TaskManager;

/// Starts the processor of a task.
type Process = Arc<dyn Fn(TaskSpec, Context) -> Processing + Send + Sync>;

/// Runs a worker until `shutdown` is cancelled and it has drained: running tasks may continue for
/// the configured time and are then released.
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
    metrics().set_slots(slots.get());
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
    let source = Source { worker: config.name.as_str().into(), queue: queue.publisher().kind() };
    let worker = Worker {
        id,
        source,
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
    source: Source,
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
    started: HashMap<Id, RunningAttempt>,
    /// The slots of attempts that have ended while their threads still run.
    lingering: JoinSet<FreedSlot>,
}

/// An attempt that was claimed and not yet started.
struct ClaimedAttempt {
    key: AttemptKey,
    spec: TaskSpec,
    is_exclusive: bool,
    context: Context,
}

/// An attempt that is running.
struct RunningAttempt {
    key: AttemptKey,
    kind: TaskKind,
    slot: FreedSlot,
    context: Context,
    started: Instant,
}

/// A slot that is free again.
#[derive(Debug, Clone, Copy)]
struct FreedSlot {
    size: Size,
    was_exclusive: bool,
}

/// The result of an attempt, with the id of its async task.
type Joined = Result<(Id, Processed), JoinError>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Working,
    /// Running attempts may continue until then; no others are started.
    Draining {
        until: Instant,
    },
    /// Attempts that still run were interrupted.
    Aborting,
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
                Phase::Working | Phase::Aborting => None,
            };
            // No arm waits for the task manager or the broker, which would block all others.
            tokio::select! {
                event = self.small.next_event(small) => self.on_lane_event(Size::Small, event),
                event = self.large.next_event(large) => self.on_lane_event(Size::Large, event),
                Some(first) = self.running.join_next_with_id() => self.ended(first),
                Some(Ok(slot)) = self.lingering.join_next() => self.freed(slot),
                () = self.attempts.answered() => {}
                () = self.shutdown.cancelled(), if self.phase == Phase::Working => self.drain(),
                Some(()) = OptionFuture::from(deadline.map(sleep_until)) => {
                    tracing::info!(tasks = self.running.len(), "releasing the running tasks");
                    self.attempts.interrupt_all(Interruption::Drain);
                    self.phase = Phase::Aborting;
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
            Phase::Draining { .. } | Phase::Aborting => Readiness::Closed,
        }
    }

    fn on_lane_event(&mut self, size: Size, event: LaneEvent) {
        match event {
            LaneEvent::Arrived(first) => self.claim(size, *first),
            LaneEvent::Answered(answers) => self.claimed(size, answers),
            LaneEvent::Due => {}
        }
    }

    /// Claims `first` and further deliveries that have arrived, up to the number of free slots.
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

    /// Starts the attempts that the lane of this size has claimed. Keeps one exclusive attempt
    /// until its lane is empty, and releases attempts that cannot start.
    fn claimed(&mut self, claimed_by: Size, answers: Vec<AnsweredClaim>) {
        let mut refusals = Vec::new();
        let mut to_release = Vec::new();
        let mut found_exclusive = false;
        for AnsweredClaim { delivery, claim, sent } in answers {
            let attempt = match claim {
                Claim::Refused { task_id, refused } => {
                    tracing::debug!(%task_id, refused, "a claim was refused");
                    refusals.push(delivery);
                    continue;
                }
                Claim::Attempt(attempt) => *attempt,
            };
            let (storage, task_manager) = (self.storage.clone(), self.task_manager.clone());
            let budget = Arc::clone(&self.budget);
            let context = Context::new(&attempt, storage, task_manager, &self.config, budget);
            let spans = AttemptSpans::of(&self.source, &attempt, sent);
            let key = self.attempts.add(delivery.message(), &attempt, context.clone(), sent, spans);
            let Attempt { spec, exclusive: is_exclusive, .. } = attempt;
            found_exclusive |= is_exclusive;
            let size = size_of(spec.kind());
            self.lane(size).hold(key, delivery);
            let start = ClaimedAttempt { key, spec, is_exclusive, context };
            let is_taken = self.small.exclusive.is_taken() || self.large.exclusive.is_taken();
            if self.phase != Phase::Working || is_exclusive && is_taken {
                to_release.push(start);
            } else if is_exclusive {
                self.lane(size).exclusive.wait(start);
            } else {
                self.start(start);
            }
        }
        let lane = self.lane(claimed_by);
        lane.claims_one_by_one(found_exclusive);
        lane.ack(refusals);
        self.release(to_release);
    }

    /// Returns claimed attempts that cannot start here to the task manager, which queues them
    /// again.
    fn release(&mut self, to_release: Vec<ClaimedAttempt>) {
        let released = |start: &ClaimedAttempt| Ended {
            key: start.key,
            event: Some(Event::Released { checkpoint: None }),
            started: None,
        };
        self.attempts.end(to_release.iter().map(released));
        for ClaimedAttempt { key, spec, .. } in to_release {
            self.lane(size_of(spec.kind())).ended(&[key]);
        }
    }

    fn start(&mut self, ClaimedAttempt { key, spec, is_exclusive, context }: ClaimedAttempt) {
        let kind = spec.kind();
        let size = size_of(kind);
        let span = context.span().clone();
        span.in_scope(|| match size {
            // A log line for each would cost more than the task.
            Size::Small => tracing::debug!(%kind, is_exclusive, "the attempt starts"),
            Size::Large => tracing::info!(%kind, is_exclusive, "the attempt starts"),
        });
        let processing = (self.process)(spec, context.clone());
        let run = execution::run(processing, context.clone()).instrument(span);
        let id = self.running.spawn(run).id();
        self.lane(size).started();
        metrics().attempt_started(kind);
        let slot = FreedSlot { size, was_exclusive: is_exclusive };
        self.started
            .insert(id, RunningAttempt { key, kind, slot, context, started: Instant::now() });
    }

    /// Starts, ends or releases the waiting exclusive attempt of a lane, if it is time to.
    fn settle_exclusive(&mut self, size: Size) {
        let lane = self.lane(size);
        let is_empty = lane.is_empty();
        match lane.exclusive.next(is_empty) {
            None => {}
            Some(Action::Start(start)) => self.start(start),
            Some(Action::Discard(start)) => {
                self.attempts.end([Ended { key: start.key, event: None, started: None }]);
            }
            Some(Action::Release(start)) => {
                start.context.span().in_scope(|| {
                    tracing::info!("releasing the exclusive attempt: its lane stays busy");
                });
                self.release(vec![start]);
            }
        }
    }

    /// Handles the end of `first` and of all others that have ended by now.
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
            let Some(running) = self.started.remove(&id) else { continue };
            let RunningAttempt { key, kind, slot, context, started } = running;
            let event = execution::final_event(processed, context.interruption());
            let name = event.as_ref().map(Event::name);
            metrics().attempt_ended(kind, name, started.elapsed(), context.done().0);
            context.span().in_scope(|| log_end(slot.size, event.as_ref(), context.interruption()));
            match slot.size {
                Size::Small => small.push(key),
                Size::Large => large.push(key),
            }
            events.push(Ended { key, event, started: Some(started) });
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

    /// Stops taking tasks, and releases waiting attempts immediately.
    fn drain(&mut self) {
        tracing::info!(tasks = self.running.len(), "the worker drains");
        self.phase = Phase::Draining { until: Instant::now() + self.config.drain_timeout };
        let waiting = [self.small.exclusive.take(), self.large.exclusive.take()];
        self.release(waiting.into_iter().flatten().collect());
    }
}

fn log_end(size: Size, event: Option<&Event>, interruption: Option<Interruption>) {
    match event {
        Some(Event::Retry { reason: Some(reason), .. }) => {
            tracing::warn!(reason, "the attempt ended with a transient error");
        }
        Some(Event::Retry { waits_for: Some(what), .. }) => {
            tracing::warn!(what, "the task waits, and no failure is counted");
        }
        Some(Event::Failed { error }) => tracing::info!(%error, "the task failed"),
        Some(event) if size == Size::Small => {
            tracing::debug!(event = event.name(), "the attempt ended");
        }
        Some(event) => tracing::info!(event = event.name(), "the attempt ended"),
        None => tracing::info!(why = ?interruption, "the attempt was interrupted"),
    }
}
