//! The lanes of a worker: one for small tasks, one for all others.
//!
//! # Invariants
//! - Each lane has its own slots, deliveries and claims, so that small and large tasks do not wait
//!   for each other.
//! - A lane has at most one claim in progress. Deliveries that arrive meanwhile go into the next
//!   claim, so that many small tasks share a call and a single one does not wait.
//! - While a lane has an exclusive attempt, no other is claimed or started in it. After an
//!   exclusive attempt, the lane claims one task at a time until it gets one that is not exclusive:
//!   of several exclusive attempts, all but the first would have to be released.

use std::collections::HashSet;
use std::future::pending;

use common::queue::{Delivery, Queue};
use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::sleep_until;

use super::attempts::{AttemptKey, Attempts};
use super::claims::AnsweredClaim;
use super::exclusive::Exclusive;
use super::intake::{Intake, Readiness};
use crate::config::WorkerConfig;
use crate::processors::{Size, kinds_of};

/// While this many final reports per slot are unanswered, the lane takes nothing.
const UNANSWERED_PER_SLOT: usize = 4;

/// One lane.
pub(super) struct Lane {
    size: Size,
    slots: usize,
    intake: Intake,
    /// The number of occupied slots: by running attempts, and by threads that outlive their
    /// attempt.
    running: usize,
    pub(super) exclusive: Exclusive,
    /// Whether the last claim returned an exclusive attempt.
    claims_one_by_one: bool,
    /// The claim in progress.
    claiming: Option<BoxFuture<'static, Vec<AnsweredClaim>>>,
}

/// An event that the worker handles for a lane.
pub(super) enum LaneEvent {
    /// A delivery arrived that can be claimed.
    Arrived(Box<Delivery>),
    /// The claim was answered.
    Answered(Vec<AnsweredClaim>),
    /// The intake must be settled, or the exclusive attempt has waited long enough.
    Due,
}

impl Lane {
    pub(super) fn new(size: Size, config: &WorkerConfig, queue: &Queue) -> Self {
        let slots = usize::from(match size {
            Size::Small => config.small_slots.get(),
            Size::Large => config.slots.get(),
        });
        let intake = Intake::new(queue, &kinds_of(size), slots);
        Self {
            size,
            slots,
            intake,
            running: 0,
            exclusive: Exclusive::default(),
            claims_one_by_one: false,
            claiming: None,
        }
    }

    /// Whether the lane can start tasks, unless the worker is draining.
    pub(super) fn readiness(&self, attempts: &Attempts) -> Readiness {
        if self.exclusive.is_taken() {
            Readiness::Closed
        } else if self.claiming.is_some()
            || self.running >= self.slots
            || attempts.unanswered(self.size) >= self.slots * UNANSWERED_PER_SLOT
        {
            Readiness::Busy
        } else {
            Readiness::Ready
        }
    }

    pub(super) fn is_claiming(&self) -> bool {
        self.claiming.is_some()
    }

    /// Whether no attempt runs and no claim is in progress.
    pub(super) fn is_empty(&self) -> bool {
        self.running == 0 && !self.is_claiming()
    }

    /// Settles the intake.
    pub(super) fn settle(&mut self, readiness: Readiness) {
        self.intake.settle(readiness);
    }

    /// Waits for the next event. Cancel-safe.
    pub(super) async fn next_event(&mut self, readiness: Readiness) -> LaneEvent {
        let due = self.intake.settles_at().into_iter().chain(self.exclusive.until()).min();
        tokio::select! {
            first = self.intake.next(), if readiness == Readiness::Ready => {
                LaneEvent::Arrived(Box::new(first))
            }
            Some(answers) = OptionFuture::from(self.claiming.as_mut()) => {
                self.claiming = None;
                LaneEvent::Answered(answers)
            }
            Some(()) = OptionFuture::from(due.map(sleep_until)) => LaneEvent::Due,
            else => pending().await,
        }
    }

    /// `first` and further deliveries that have arrived, up to the number of free slots. Deliveries
    /// of attempts that this worker already has are acked and left out.
    pub(super) fn collect(&mut self, first: Delivery, attempts: &Attempts) -> Vec<Delivery> {
        let free = if self.claims_one_by_one { 1 } else { self.slots.saturating_sub(self.running) };
        let mut seen = HashSet::new();
        let (fresh, known): (Vec<_>, Vec<_>) =
            self.intake.collect(first, free).into_iter().partition(|delivery| {
                let message = delivery.message();
                !attempts.has(message) && seen.insert(message)
            });
        for delivery in &known {
            tracing::debug!(task_id = %delivery.message().task_id, "ignoring a repeated message");
        }
        self.intake.ack(known);
        fresh
    }

    /// Sets the claim in progress.
    pub(super) fn claim(&mut self, claim: BoxFuture<'static, Vec<AnsweredClaim>>) {
        self.claiming = Some(claim);
    }

    /// Notes whether a claim returned an exclusive attempt.
    pub(super) fn claims_one_by_one(&mut self, found_exclusive: bool) {
        self.claims_one_by_one = found_exclusive;
    }

    /// Holds the delivery of a claimed attempt, to be acked later.
    pub(super) fn hold(&mut self, key: AttemptKey, delivery: Delivery) {
        self.intake.hold(key, delivery);
    }

    /// Acks deliveries whose claims were refused.
    pub(super) fn ack(&self, deliveries: Vec<Delivery>) {
        self.intake.ack(deliveries);
    }

    /// Notes that an attempt has started.
    pub(super) fn started(&mut self) {
        self.running += 1;
    }

    /// Notes that these attempts have ended.
    pub(super) fn ended(&mut self, keys: &[AttemptKey]) {
        self.intake.ended(keys);
    }

    /// Notes that the slot of an attempt is free again.
    pub(super) fn freed(&mut self, was_exclusive: bool) {
        self.running = self.running.saturating_sub(1);
        if was_exclusive {
            self.exclusive.ended();
        }
    }

    /// Stops taking deliveries, and waits until all acks were sent.
    pub(super) async fn end(&mut self) {
        self.intake.end().await;
    }
}
