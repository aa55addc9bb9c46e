//! Consuming: one subscription at a time, renewed whenever it ends.
//!
//! # Invariants
//! - A consumer has one connection, which survives pauses and is closed when a subscription fails.
//! - A subscription has its own channel, which is closed with it and its last delivery, even if it
//!   was only partly opened. So a pause or drop at any moment leaves no unread consumer at the
//!   broker.
//!
//! The first subscription prefetches as many deliveries as the consumer may have unacked. A later
//! one prefetches one delivery, and doubles that each time all of them were taken: a worker that
//! resumes may have a slot for only one message, and the next pause would return the others.
//! Brokers move returned messages to the end of the queue, or drop them after several returns.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{BoxFuture, Shared};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::acks::Acks;
use super::confirm_timeouts::ConfirmTimeouts;
use super::connection::{Connection, OwnedChannel, declare};
use super::delivery::{AmqpDelivery, requeue};
use super::outage::{Outage, in_words, no_answer};
use super::{BrokerTarget, PATIENCE};
use crate::task::TaskKind;

/// The prefetch of a subscription that may have few slots.
const INITIAL_WINDOW: u16 = 1;

/// A connection that is being opened, or has been.
type Opening = Shared<BoxFuture<'static, Result<Arc<Connection>, String>>>;

/// Consumes messages. Subscribes unless paused.
pub(in crate::queue) struct AmqpConsumer {
    plan: Plan,
    state: State,
    /// A permit per unacked delivery: the broker counts each kind separately.
    room: Arc<Semaphore>,
}

/// The parameters of subscriptions, and the state that they share.
#[derive(Debug, Clone)]
struct Plan {
    target: BrokerTarget,
    kinds: Vec<TaskKind>,
    prefetch: u16,
    outage: Arc<Mutex<Outage>>,
    confirm_timeouts: Arc<ConfirmTimeouts>,
    /// None before the first subscription.
    connection: Arc<Mutex<Option<Opening>>>,
}

impl Plan {
    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connection(&self) -> MutexGuard<'_, Option<Opening>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection; a new one if none is usable. It is opened even if its caller is dropped: the
    /// next subscription uses it.
    fn opened(&self) -> Opening {
        let mut connection = self.connection();
        if let Some(opening) = &*connection
            && opening
                .peek()
                .is_none_or(|opened| opened.as_ref().is_ok_and(|connection| connection.is_alive()))
        {
            return opening.clone();
        }
        let target = self.target.clone();
        let open = async move { Connection::open(&target, "consumer").await.map(Arc::new) };
        let opening = open.boxed().shared();
        tokio::spawn(opening.clone());
        *connection = Some(opening.clone());
        opening
    }

    /// Closes the connection, if any, which returns all unacked messages.
    fn disconnect(&self) {
        let opening = self.connection().take();
        // One that is still being opened is closed when it is dropped.
        if let Some(Ok(connection)) = opening.as_ref().and_then(Shared::peek) {
            connection.close();
        }
    }
}

enum State {
    /// Kept between calls, so that a cancelled wait does not start over. Dropping it closes what it
    /// opened.
    Subscribing(BoxFuture<'static, Box<Subscription>>),
    Subscribed(Box<Subscription>),
    Paused,
}

impl fmt::Debug for AmqpConsumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl AmqpConsumer {
    pub(super) fn new(target: BrokerTarget, kinds: &[TaskKind], prefetch: usize) -> Self {
        // 0 would mean unlimited.
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX).max(1);
        let outage = Arc::new(Mutex::new(Outage::new(target.clone(), "consuming")));
        let (confirm_timeouts, connection) = (Arc::default(), Arc::default());
        let plan =
            Plan { target, kinds: kinds.to_vec(), prefetch, outage, confirm_timeouts, connection };
        let state = subscribing(&plan, Duration::ZERO, prefetch);
        Self { plan, state, room: Arc::new(Semaphore::new(prefetch.into())) }
    }

    pub(in crate::queue) async fn next(&mut self) -> AmqpDelivery {
        loop {
            match &mut self.state {
                State::Paused => pending().await,
                State::Subscribing(subscription) => {
                    self.state = State::Subscribed(subscription.await);
                }
                State::Subscribed(subscription) => {
                    // The semaphore is never closed.
                    let Ok(permit) = Arc::clone(&self.room).acquire_owned().await else {
                        return pending().await;
                    };
                    match subscription.next().await {
                        Ok(raw) => {
                            if let Some(delivery) = subscription.read(raw, permit) {
                                return delivery;
                            }
                        }
                        Err(reason) => self.subscribe_again(&reason),
                    }
                }
            }
        }
    }

    pub(in crate::queue) fn try_next(&mut self) -> Option<AmqpDelivery> {
        loop {
            let State::Subscribed(subscription) = &mut self.state else { return None };
            let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
            match subscription.try_next()? {
                Ok(raw) => {
                    if let Some(delivery) = subscription.read(raw, permit) {
                        return Some(delivery);
                    }
                }
                Err(reason) => self.subscribe_again(&reason),
            }
        }
    }

    /// Stops consuming from the call on. The cancellation continues in the background, even if the
    /// returned future is dropped; the future waits for it, within [`PATIENCE`].
    pub(in crate::queue) fn pause(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let ending = match std::mem::replace(&mut self.state, State::Paused) {
            // Dropping it closes its channel.
            State::Subscribing(_) | State::Paused => None,
            State::Subscribed(subscription) => {
                Handle::try_current().ok().map(|runtime| runtime.spawn(subscription.end_in_time()))
            }
        };
        async move {
            if let Some(ending) = ending {
                // An error is a panic, which dropped and so ended the subscription.
                let _ = ending.await;
            }
        }
    }

    pub(in crate::queue) fn resume(&mut self) {
        if let State::Paused = &mut self.state {
            self.state = subscribing(&self.plan, Duration::ZERO, INITIAL_WINDOW);
        }
    }

    fn subscribe_again(&mut self, reason: &str) {
        self.plan.disconnect();
        let wait = self.plan.outage().retry_in(reason);
        self.state = subscribing(&self.plan, wait, INITIAL_WINDOW);
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        drop(self.pause());
    }
}

/// Subscribes, with retries until it succeeds.
fn subscribing(plan: &Plan, mut wait: Duration, window: u16) -> State {
    let plan = plan.clone();
    State::Subscribing(Box::pin(async move {
        loop {
            sleep(wait).await;
            match Subscription::open(&plan, window).await {
                Ok(subscription) => {
                    plan.outage().has_ended();
                    return Box::new(subscription);
                }
                Err(reason) => {
                    plan.disconnect();
                    wait = plan.outage().retry_in(&reason);
                }
            }
        }
    }))
}

struct Subscription {
    plan: Plan,
    channel: Arc<OwnedChannel>,
    acks: Arc<Acks>,
    streams: Vec<lapin::Consumer>,
    /// Deliveries that were not taken yet, by delivery tag: in the order of the channel.
    waiting: BTreeMap<u64, lapin::message::Delivery>,
    /// How many unacked deliveries of a kind the broker sends to `streams`.
    window: u16,
    /// How many must be taken before the window grows.
    untaken: u16,
    widening: Option<BoxFuture<'static, lapin::Result<Vec<lapin::Consumer>>>>,
}

impl Subscription {
    async fn open(plan: &Plan, window: u16) -> Result<Self, String> {
        let connection = plan.opened().await?;
        plan.confirm_timeouts.recreate_unresponsive_queues(&connection, &plan.target).await?;
        // One for the channel, and one for each queue.
        let answers = u32::try_from(plan.kinds.len() + 1).unwrap_or(u32::MAX);
        let patience = PATIENCE.saturating_mul(answers);
        match timeout(patience, Self::on(plan, &connection, window)).await {
            Ok(subscription) => subscription.map_err(|error| in_words(&error)),
            Err(_) => {
                connection.abort();
                Err(no_answer())
            }
        }
    }

    async fn on(plan: &Plan, connection: &Arc<Connection>, window: u16) -> lapin::Result<Self> {
        let channel = Arc::new(connection.channel().await?);
        for kind in &plan.kinds {
            declare(&channel, &plan.target.queue_name(*kind)).await?;
        }
        let streams = consume(Arc::clone(&channel), plan.clone(), window).await?;
        Ok(Self {
            plan: plan.clone(),
            channel,
            acks: Arc::default(),
            streams,
            waiting: BTreeMap::new(),
            window,
            untaken: window,
            widening: None,
        })
    }

    /// Waits for the next delivery of any kind, or for the reason why the subscription ended.
    /// Cancel-safe.
    async fn next(&mut self) -> Result<lapin::message::Delivery, String> {
        poll_fn(|context| match self.poll_wider(context) {
            Ok(()) => self.poll_delivery(context),
            Err(error) => Poll::Ready(Err(in_words(&error))),
        })
        .await
    }

    /// The next delivery, if it has arrived.
    fn try_next(&mut self) -> Option<Result<lapin::message::Delivery, String>> {
        poll_fn(|context| self.poll_delivery(context)).now_or_never()
    }

    /// Raises the prefetch when all deliveries were taken and the consumer waits. One step at a
    /// time: dropping an unfinished step would lose its deliveries.
    fn poll_wider(&mut self, context: &mut Context<'_>) -> lapin::Result<()> {
        if self.widening.is_none() && self.untaken == 0 && self.window < self.plan.prefetch {
            let more = self.window.min(self.plan.prefetch - self.window);
            self.window += more;
            self.untaken = more;
            let channel = Arc::clone(&self.channel);
            self.widening = Some(consume(channel, self.plan.clone(), more).boxed());
        }
        if let Some(widening) = &mut self.widening
            && let Poll::Ready(streams) = widening.poll_unpin(context)
        {
            self.widening = None;
            self.streams.extend(streams?);
        }
        Ok(())
    }

    fn poll_delivery(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<lapin::message::Delivery, String>> {
        for stream in &mut self.streams {
            while let Poll::Ready(item) = stream.poll_next_unpin(context) {
                let delivery = match item {
                    Some(Ok(delivery)) => delivery,
                    Some(Err(error)) => return Poll::Ready(Err(in_words(&error))),
                    None => {
                        let reason =
                            format!("the broker has cancelled the consumer of {}", stream.queue());
                        return Poll::Ready(Err(reason));
                    }
                };
                self.waiting.insert(delivery.delivery_tag, delivery);
            }
        }
        let Some((_, delivery)) = self.waiting.pop_first() else { return Poll::Pending };
        self.untaken = self.untaken.saturating_sub(1);
        Poll::Ready(Ok(delivery))
    }

    fn read(
        &self,
        raw: lapin::message::Delivery,
        permit: OwnedSemaphorePermit,
    ) -> Option<AmqpDelivery> {
        AmqpDelivery::read(raw, &self.channel, &self.acks, permit)
    }

    /// Ends the subscription gracefully, or aborts its connection if the broker does not answer.
    async fn end_in_time(self: Box<Self>) {
        let connection = Arc::clone(&self.channel.connection);
        match timeout(PATIENCE, self.end()).await {
            Ok(Ok(())) => {}
            // Without the connection, the broker requeues everything.
            Ok(Err(error)) => {
                debug!(%error, "the connection ended during a pause");
                connection.close();
            }
            Err(_) => connection.abort(),
        }
    }

    /// Cancels, then returns the waiting deliveries. The channel stays open for those that were
    /// taken.
    async fn end(mut self: Box<Self>) -> lapin::Result<()> {
        if let Some(widening) = self.widening.take() {
            self.streams.extend(widening.await?);
        }
        for stream in &self.streams {
            self.channel.basic_cancel(stream.tag(), BasicCancelOptions::default()).await?;
        }
        for stream in &mut self.streams {
            // Ends after the last delivery, since the cancel was answered.
            while let Some(delivery) = stream.next().await {
                let delivery = delivery?;
                self.waiting.insert(delivery.delivery_tag, delivery);
            }
        }
        for delivery in std::mem::take(&mut self.waiting).into_values() {
            delivery.acker.nack(requeue()).await?;
        }
        Ok(())
    }
}

/// Starts to consume the queues, with at most `window` unacked deliveries from each.
async fn consume(
    channel: Arc<OwnedChannel>,
    plan: Plan,
    window: u16,
) -> lapin::Result<Vec<lapin::Consumer>> {
    // Applies to consumers that start after it.
    channel.basic_qos(window, BasicQosOptions::default()).await?;
    let mut streams = Vec::with_capacity(plan.kinds.len());
    for kind in &plan.kinds {
        let queue = plan.target.queue_name(*kind);
        let options = BasicConsumeOptions::default();
        let stream = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let Ok(stream) = timeout(PATIENCE, stream).await else {
            plan.confirm_timeouts.timed_out(*kind);
            return Err(io::Error::new(io::ErrorKind::TimedOut, no_answer()).into());
        };
        plan.confirm_timeouts.confirmed(*kind);
        streams.push(stream?);
    }
    Ok(streams)
}
