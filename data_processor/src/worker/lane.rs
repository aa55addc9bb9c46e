//! The lanes of a worker: small tasks have one, all others have another.
//!
//! # Invariants
//! - A lane has slots, deliveries and claims of its own, so that neither small nor large tasks wait
//!   for the others.
//! - It has one claim under way at a time: what arrives meanwhile goes into the next one, so that
//!   many small tasks share a call and a single one waits for nothing.

use std::collections::HashSet;
use std::future::pending;

use common::queue::{Delivery, Queue, ack_all};
use futures_util::future::{BoxFuture, OptionFuture};
use tokio::time::sleep_until;

use super::attempts::{AttemptKey, Attempts};
use super::claims::Answered;
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
    running: usize,
    /// The claim under way.
    claiming: Option<BoxFuture<'static, Vec<Answered>>>,
}

/// What a lane has to say.
pub(super) enum News {
    /// Something can be claimed.
    Arrived(Box<Delivery>),
    /// The claim was answered.
    Answered(Vec<Answered>),
    /// The intake is to be settled.
    Due,
}

impl Lane {
    pub(super) fn new(size: Size, config: &WorkerConfig, queue: &Queue) -> Self {
        let slots = usize::from(match size {
            Size::Small => config.small_slots.get(),
            Size::Large => config.slots.get(),
        });
        let intake = Intake::new(queue, &kinds_of(size), slots);
        Self { size, slots, intake, running: 0, claiming: None }
    }

    /// Whether it can start what it takes, where the worker lets it.
    pub(super) fn readiness(&self, attempts: &Attempts) -> Readiness {
        if self.claiming.is_some()
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

    /// Does what is due now.
    pub(super) async fn settle(&mut self, readiness: Readiness) {
        self.intake.settle(readiness).await;
    }

    /// Waits for something to do. Cancel-safe.
    pub(super) async fn news(&mut self, readiness: Readiness) -> News {
        let settles = self.intake.settles_at();
        tokio::select! {
            first = self.intake.next(), if readiness == Readiness::Ready => News::Arrived(Box::new(first)),
            Some(answers) = OptionFuture::from(self.claiming.as_mut()) => {
                self.claiming = None;
                News::Answered(answers)
            }
            Some(()) = OptionFuture::from(settles.map(sleep_until)) => News::Due,
            else => pending().await,
        }
    }

    /// `first` with what else is there, up to the free slots; without what is here already, which
    /// is acked.
    pub(super) async fn collect(&mut self, first: Delivery, attempts: &Attempts) -> Vec<Delivery> {
        let free = self.slots.saturating_sub(self.running);
        let mut seen = HashSet::new();
        let (fresh, known): (Vec<_>, Vec<_>) =
            self.intake.collect(first, free).into_iter().partition(|delivery| {
                let message = delivery.message();
                !attempts.has(message) && seen.insert(message)
            });
        for delivery in &known {
            tracing::debug!(task_id = %delivery.message().task_id, "a message came twice");
        }
        ack_all(known).await;
        fresh
    }

    /// Waits for the answer to a claim from now on.
    pub(super) fn claim(&mut self, claim: BoxFuture<'static, Vec<Answered>>) {
        self.claiming = Some(claim);
    }

    /// Keeps the delivery of a claimed attempt for now.
    pub(super) fn hold(&mut self, key: AttemptKey, delivery: Delivery) {
        self.intake.hold(key, delivery);
    }

    /// An attempt has started.
    pub(super) fn started(&mut self) {
        self.running += 1;
    }

    /// These attempts have ended, of which so many had started.
    pub(super) async fn ended(&mut self, keys: &[AttemptKey], started: usize) {
        self.running = self.running.saturating_sub(started);
        self.intake.ended(keys).await;
    }
}
