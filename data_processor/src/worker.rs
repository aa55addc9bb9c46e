//! The worker: claims what the queue delivers, runs it, and reports how it went.
//!
//! # Invariants
//! - Claim, then ack: no message is forgotten whose task nobody has.
//! - What runs here is reported until the task manager has answered the last report.
//! - An attempt that is to be run alone shares the worker with nothing.
//!
//! # Not here
//! What a task does (`processors`), when a task is given up or run again (the task manager).

mod attempts;
pub(crate) mod backoff;
mod claims;
mod execution;
mod intake;
mod rate;
mod reporter;
pub(crate) mod task_manager;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use common::client::ApiClient;
use common::queue::{Delivery, Queue};
use common::report::{Attempt, Claim, Event, WorkerId, WorkerInfo};
use common::storage::Storage;
use common::task::TaskKind;
use common::task::spec::TaskSpec;
use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use self::attempts::{AttemptKey, Attempts};
use self::claims::Answered;
use self::execution::Processed;
use self::intake::{Intake, Readiness};
use self::reporter::Reporter;
use self::task_manager::TaskManager;
use crate::config::WorkerConfig;
use crate::mail::Mailer;
use crate::processor::{Context, Interruption};
use crate::processors::{self, Processing};

/// While more last reports per slot than this wait for an answer, nothing new is taken.
const UNANSWERED_PER_SLOT: usize = 4;

/// What runs the processor of a task.
type Process = Arc<dyn Fn(TaskSpec, Context) -> Processing + Send + Sync>;

/// Runs a worker until `shutdown` is cancelled and it has drained: running tasks may go on for
/// the configured time, then they are given back.
pub async fn run(
    config: WorkerConfig,
    api: ApiClient,
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
    api: ApiClient,
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
            kinds: TaskKind::ALL.to_vec(),
            slots: slots.get().into(),
            draining: false,
        },
        draining: shutdown.clone(),
        closing: closing.clone(),
    };
    let worker = Worker {
        id,
        intake: Intake::new(queue.consumer(&TaskKind::ALL, slots.get().into())),
        config,
        task_manager,
        storage,
        process,
        attempts,
        shutdown,
        phase: Phase::Working,
        claiming: None,
        waiting: VecDeque::new(),
        running: JoinSet::new(),
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
    task_manager: TaskManager,
    storage: Storage,
    process: Process,
    intake: Intake,
    attempts: Arc<Attempts>,
    shutdown: CancellationToken,
    phase: Phase,
    /// The claim under way.
    claiming: Option<BoxFuture<'static, Vec<Answered>>>,
    /// Claimed, to be run alone, one after another when nothing else runs.
    waiting: VecDeque<Start>,
    running: JoinSet<Processed>,
    started: HashMap<Id, Started>,
}

/// A claimed attempt that can be started.
struct Start {
    key: AttemptKey,
    spec: TaskSpec,
    alone: bool,
    context: Context,
}

/// An attempt that runs.
struct Started {
    key: AttemptKey,
    alone: bool,
    context: Context,
}

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
            self.start_waiting();
            let readiness = self.readiness();
            self.intake.settle(readiness).await;
            if self.phase != Phase::Working && self.running.is_empty() && self.claiming.is_none() {
                return;
            }
            let deadline = match self.phase {
                Phase::Draining { until } => Some(until),
                Phase::Working | Phase::Ending => None,
            };
            let settles = self.intake.settles_at();
            tokio::select! {
                first = self.intake.next(), if readiness == Readiness::Ready => {
                    self.claim(first).await;
                }
                Some(answers) = OptionFuture::from(self.claiming.as_mut()) => {
                    self.claiming = None;
                    for answer in answers {
                        self.claimed(answer).await;
                    }
                }
                Some(ended) = self.running.join_next_with_id() => self.ended(ended).await,
                () = self.attempts.answered() => {}
                Some(()) = OptionFuture::from(settles.map(sleep_until)) => {}
                () = self.shutdown.cancelled(), if self.phase == Phase::Working => self.drain(),
                Some(()) = OptionFuture::from(deadline.map(sleep_until)) => {
                    tracing::info!(tasks = self.running.len(), "gives back what still runs");
                    self.attempts.interrupt_all(Interruption::Drain);
                    self.phase = Phase::Ending;
                }
            }
        }
    }

    fn readiness(&self) -> Readiness {
        let slots = usize::from(self.config.slots.get());
        let alone = !self.waiting.is_empty() || self.started.values().any(|started| started.alone);
        if self.phase != Phase::Working || alone {
            Readiness::Closed
        } else if self.claiming.is_some()
            || self.running.len() >= slots
            || self.attempts.unanswered() >= slots * UNANSWERED_PER_SLOT
        {
            Readiness::Busy
        } else {
            Readiness::Ready
        }
    }

    /// Claims `first` and what else is there, up to the free slots.
    async fn claim(&mut self, first: Delivery) {
        let free = usize::from(self.config.slots.get()).saturating_sub(self.running.len());
        let mut fresh: Vec<Delivery> = Vec::new();
        for delivery in self.intake.collect(first, free) {
            let message = delivery.message();
            if self.attempts.has(message) || fresh.iter().any(|other| other.message() == message) {
                tracing::debug!(task_id = %message.task_id, "a message came twice");
                delivery.ack().await;
            } else {
                fresh.push(delivery);
            }
        }
        if !fresh.is_empty() {
            let (task_manager, shutdown) = (self.task_manager.clone(), self.shutdown.clone());
            self.claiming = Some(claims::claim(task_manager, self.id, fresh, shutdown).boxed());
        }
    }

    async fn claimed(&mut self, Answered { delivery, claim, sent }: Answered) {
        let attempt = match claim {
            Claim::Refused { task_id, refused } => {
                tracing::debug!(%task_id, refused, "nothing to run for a message");
                return delivery.ack().await;
            }
            Claim::Attempt(attempt) => *attempt,
        };
        let (storage, task_manager) = (self.storage.clone(), self.task_manager.clone());
        let context = Context::new(&attempt, storage, task_manager, &self.config);
        let key = self.attempts.add(delivery.message(), &attempt, context.clone(), sent);
        self.intake.hold(key, delivery);
        let Attempt { spec, alone, .. } = attempt;
        let start = Start { key, spec, alone, context };
        if self.phase != Phase::Working {
            self.release(key).await;
        } else if alone {
            self.waiting.push_back(start);
        } else {
            self.start(start);
        }
    }

    fn start(&mut self, Start { key, spec, alone, context }: Start) {
        let span = context.span().clone();
        span.in_scope(|| tracing::info!(kind = %spec.kind(), alone, "the attempt starts"));
        let processing = (self.process)(spec, context.clone());
        let run = execution::run(processing, context.clone()).instrument(span);
        let id = self.running.spawn(run).id();
        self.started.insert(id, Started { key, alone, context });
    }

    /// Starts the next attempt that is to be run alone, if it would be.
    fn start_waiting(&mut self) {
        // An interrupted one ends before it starts; a drain has emptied the list.
        while let Some(next) = self.waiting.front() {
            let interrupted = next.context.interruption().is_some();
            if !interrupted && !self.running.is_empty() {
                return;
            }
            if let Some(next) = self.waiting.pop_front() {
                if interrupted {
                    self.attempts.end(next.key, None);
                } else {
                    self.start(next);
                }
            }
        }
    }

    async fn ended(&mut self, ended: Result<(Id, Processed), JoinError>) {
        let (id, processed) = match ended {
            Ok((id, processed)) => (id, Ok(processed)),
            Err(error) => (error.id(), Err(error)),
        };
        let Some(Started { key, context, .. }) = self.started.remove(&id) else { return };
        let event = execution::last_event(processed, context.interruption());
        context.span().in_scope(|| match &event {
            Some(Event::Retry { reason: Some(reason), .. }) => {
                tracing::warn!(reason, "the attempt ended with an error that may pass");
            }
            Some(Event::Failed { error }) => tracing::info!(%error, "the task failed"),
            Some(event) => tracing::info!(event = event.name(), "the attempt ended"),
            None => tracing::info!(why = ?context.interruption(), "the attempt was interrupted"),
        });
        self.attempts.end(key, event);
        self.intake.ended(key).await;
    }

    /// Takes nothing more; what waits is given back at once.
    fn drain(&mut self) {
        tracing::info!(tasks = self.running.len(), "the worker drains");
        self.phase = Phase::Draining { until: Instant::now() + self.config.drain_timeout };
        for start in std::mem::take(&mut self.waiting) {
            self.attempts.end(start.key, Some(Event::Released { checkpoint: None }));
        }
    }

    /// Gives back an attempt that came too late to be started.
    async fn release(&mut self, key: AttemptKey) {
        self.attempts.end(key, Some(Event::Released { checkpoint: None }));
        self.intake.ended(key).await;
    }
}
