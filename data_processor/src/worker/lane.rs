//! The lanes of a worker: small tasks have one, all others have another.
//!
//! # Invariants
//! - A lane has slots, deliveries and claims of its own, so that neither small nor large tasks wait
//!   for the others.
//! - It has one claim under way at a time: what arrives meanwhile goes into the next one, so that
//!   many small tasks share a call and a single one waits for nothing.
//! - While it has an exclusive attempt, nothing else is claimed or started in it. Behind one it claims
//!   one task at a time until a claim brings another kind: of many exclusive ones all but the first
//!   would only be given back.

use std::collections::HashSet;
use std::future::pending;

use common::queue::{Delivery, Queue};
use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::sleep_until;

use super::attempts::{AttemptKey, Attempts};
use super::claims::Answered;
use super::exclusive::Exclusive;
use super::intake::{Intake, Readiness};
use crate::config::WorkerConfig;
use crate::processors::{Size, kinds_of};

/// While more last reports per slot than this wait for an answer, nothing new is taken.
const UNANSWERED_PER_SLOT: usize = 4;

/// One lane.
pub(super) struct Lane {
    size: Size,
    slots: usize,
    intake: Intake,
    /// How many slots are taken: by attempts that run, and by threads that outlive theirs.
    running: usize,
    pub(super) exclusive: Exclusive,
    /// Whether the last claim brought an exclusive attempt.
    claims_one: bool,
    /// The claim under way.
    claiming: Option<BoxFuture<'static, Vec<Answered>>>,
}

/// What a lane has to say.
pub(super) enum News {
    /// Something can be claimed.
    Arrived(Box<Delivery>),
    /// The claim was answered.
    Answered(Vec<Answered>),
    /// The intake is to be settled, or the exclusive attempt has waited for long enough.
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
            claims_one: false,
            claiming: None,
        }
    }

    /// Whether it can start what it takes, where the worker lets it.
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

    /// Whether it runs nothing and will not, unless it takes something.
    pub(super) fn is_empty(&self) -> bool {
        self.running == 0 && !self.is_claiming()
    }

    /// Does what is due now.
    pub(super) fn settle(&mut self, readiness: Readiness) {
        self.intake.settle(readiness);
    }

    /// Waits for something to do. Cancel-safe.
    pub(super) async fn news(&mut self, readiness: Readiness) -> News {
        let due = self.intake.settles_at().into_iter().chain(self.exclusive.until()).min();
        tokio::select! {
            first = self.intake.next(), if readiness == Readiness::Ready => News::Arrived(Box::new(first)),
            Some(answers) = OptionFuture::from(self.claiming.as_mut()) => {
                self.claiming = None;
                News::Answered(answers)
            }
            Some(()) = OptionFuture::from(due.map(sleep_until)) => News::Due,
            else => pending().await,
        }
    }

    /// `first` with what else is there, up to the free slots; without what is here already, which
    /// is acked.
    pub(super) fn collect(&mut self, first: Delivery, attempts: &Attempts) -> Vec<Delivery> {
        let free = if self.claims_one { 1 } else { self.slots.saturating_sub(self.running) };
        let mut seen = HashSet::new();
        let (fresh, known): (Vec<_>, Vec<_>) =
            self.intake.collect(first, free).into_iter().partition(|delivery| {
                let message = delivery.message();
                !attempts.has(message) && seen.insert(message)
            });
        for delivery in &known {
            tracing::debug!(task_id = %delivery.message().task_id, "a message came twice");
        }
        self.intake.ack(known);
        fresh
    }

    /// Waits for the answer to a claim from now on.
    pub(super) fn claim(&mut self, claim: BoxFuture<'static, Vec<Answered>>) {
        self.claiming = Some(claim);
    }

    /// Notes whether a claim brought an exclusive attempt.
    pub(super) fn claims_one(&mut self, brought_exclusive: bool) {
        self.claims_one = brought_exclusive;
    }

    /// Keeps the delivery of a claimed attempt for now.
    pub(super) fn hold(&mut self, key: AttemptKey, delivery: Delivery) {
        self.intake.hold(key, delivery);
    }

    /// Acks deliveries for which there is nothing to do.
    pub(super) fn ack(&self, deliveries: Vec<Delivery>) {
        self.intake.ack(deliveries);
    }

    /// An attempt has started.
    pub(super) fn started(&mut self) {
        self.running += 1;
    }

    /// These attempts have ended.
    pub(super) fn ended(&mut self, keys: &[AttemptKey]) {
        self.intake.ended(keys);
    }

    /// The slot of an attempt is free again.
    pub(super) fn freed(&mut self, was_exclusive: bool) {
        self.running = self.running.saturating_sub(1);
        if was_exclusive {
            self.exclusive.ended();
        }
    }

    /// Takes nothing more, and waits until the queue was told everything.
    pub(super) async fn end(&mut self) {
        self.intake.end().await;
    }
}
