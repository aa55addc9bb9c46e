//! Consuming: a subscription at a time, made again whenever it ends.
//!
//! # Invariants
//! - A consumer has one connection: it survives pauses, and ends with a subscription that fails.
//! - A subscription has a channel of its own, which ends with it and with the last delivery that was
//!   taken from it, however far it was opened. So a pause or drop at any moment leaves no consumer at
//!   the broker that nobody reads.
//!
//! The first subscription asks for as many deliveries as the consumer may hold. A later one asks
//! for one, and for twice as many each time that they were all taken: who resumes may have room
//! for one message, and whatever else were delivered would be returned by the next pause. Brokers
//! move returned messages to the end of the queue, or drop them when that has happened often.

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
use super::delivery::{AmqpDelivery, requeue};
use super::link::{Link, OwnedChannel, declare};
use super::outage::{Outage, in_words, no_answer};
use super::silence::Silences;
use super::{PATIENCE, Place};
use crate::task::TaskKind;

/// How many deliveries a subscription asks for where there is little room, maybe.
const NARROW: u16 = 1;

/// A connection that is being opened, or that was.
type Opening = Shared<BoxFuture<'static, Result<Arc<Link>, String>>>;

/// Takes messages out. Subscribes only while it is asked for something.
pub(in crate::queue) struct AmqpConsumer {
    plan: Plan,
    state: State,
    /// A permit per delivery that may be taken: the broker counts for each kind by itself.
    room: Arc<Semaphore>,
}

/// What is subscribed to.
#[derive(Debug, Clone)]
struct Plan {
    place: Place,
    kinds: Vec<TaskKind>,
    prefetch: u16,
    outage: Arc<Mutex<Outage>>,
    silences: Arc<Silences>,
    /// The connection, from the first subscription on.
    link: Arc<Mutex<Option<Opening>>>,
}

impl Plan {
    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> MutexGuard<'_, Option<Opening>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection; a new one where there is none that can be used. It is opened also where nothing
    /// waits for it any more: the next subscription gets it.
    fn connection(&self) -> Opening {
        let mut link = self.link();
        if let Some(opening) = &*link
            && opening.peek().is_none_or(|opened| opened.as_ref().is_ok_and(|link| link.is_alive()))
        {
            return opening.clone();
        }
        let place = self.place.clone();
        let open = async move { Link::open(&place, "consumer").await.map(Arc::new) };
        let opening = open.boxed().shared();
        tokio::spawn(opening.clone());
        *link = Some(opening.clone());
        opening
    }

    /// Closes the connection, where there is one; the broker gets everything back.
    fn disconnect(&self) {
        let opening = self.link().take();
        // One that is still being opened is closed when nobody refers to it.
        if let Some(Ok(link)) = opening.as_ref().and_then(Shared::peek) {
            link.close();
        }
    }
}

enum State {
    /// Kept between calls, so that a wait that is given up does not begin it anew. Dropped, it takes
    /// with it what was opened.
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
    pub(super) fn new(place: Place, kinds: &[TaskKind], prefetch: usize) -> Self {
        // 0 would be no limit at all.
        let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX).max(1);
        let outage = Arc::new(Mutex::new(Outage::new(place.clone(), "consuming")));
        let (silences, link) = (Arc::default(), Arc::default());
        let plan = Plan { place, kinds: kinds.to_vec(), prefetch, outage, silences, link };
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
                    // Nobody closes the semaphore.
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

    /// Takes nothing more from now on. What the broker must be told goes on in the background, also
    /// where the answer is dropped; the answer waits for it, within [`PATIENCE`].
    pub(in crate::queue) fn pause(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let ending = match std::mem::replace(&mut self.state, State::Paused) {
            // Its channel is closed with it.
            State::Subscribing(_) | State::Paused => None,
            State::Subscribed(subscription) => {
                Handle::try_current().ok().map(|runtime| runtime.spawn(subscription.end_in_time()))
            }
        };
        async move {
            if let Some(ending) = ending {
                // An error is a panic, whose subscription was dropped and so has ended.
                let _ = ending.await;
            }
        }
    }

    pub(in crate::queue) fn resume(&mut self) {
        if let State::Paused = &mut self.state {
            self.state = subscribing(&self.plan, Duration::ZERO, NARROW);
        }
    }

    fn subscribe_again(&mut self, reason: &str) {
        self.plan.disconnect();
        let wait = self.plan.outage().goes_on(reason);
        self.state = subscribing(&self.plan, wait, NARROW);
    }
}

impl Drop for AmqpConsumer {
    fn drop(&mut self) {
        drop(self.pause());
    }
}

/// Subscribes, however long it takes.
fn subscribing(plan: &Plan, mut wait: Duration, window: u16) -> State {
    let plan = plan.clone();
    State::Subscribing(Box::pin(async move {
        loop {
            sleep(wait).await;
            match Subscription::open(&plan, window).await {
                Ok(subscription) => {
                    plan.outage().is_over();
                    return Box::new(subscription);
                }
                Err(reason) => {
                    plan.disconnect();
                    wait = plan.outage().goes_on(&reason);
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
    /// Delivered and not yet taken, by delivery tag: in the order of the channel.
    waiting: BTreeMap<u64, lapin::message::Delivery>,
    /// How many unacked deliveries of a kind the broker hands to `streams`.
    window: u16,
    /// How many are to be taken before it becomes wider.
    untaken: u16,
    widening: Option<BoxFuture<'static, lapin::Result<Vec<lapin::Consumer>>>>,
}

impl Subscription {
    async fn open(plan: &Plan, window: u16) -> Result<Self, String> {
        let link = plan.connection().await?;
        plan.silences.replace_deaf_queues(&link, &plan.place).await?;
        // For the channel, and for each queue by itself.
        let answers = u32::try_from(plan.kinds.len() + 1).unwrap_or(u32::MAX);
        let patience = PATIENCE.saturating_mul(answers);
        match timeout(patience, Self::on(plan, &link, window)).await {
            Ok(subscription) => subscription.map_err(|error| in_words(&error)),
            Err(_) => {
                link.cut();
                Err(no_answer())
            }
        }
    }

    async fn on(plan: &Plan, link: &Arc<Link>, window: u16) -> lapin::Result<Self> {
        let channel = Arc::new(link.channel().await?);
        for kind in &plan.kinds {
            declare(&channel, &plan.place.queue_name(*kind)).await?;
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

    /// Waits for the next delivery of any kind, or for the reason why there will be none.
    /// Cancel-safe.
    async fn next(&mut self) -> Result<lapin::message::Delivery, String> {
        poll_fn(|context| match self.poll_wider(context) {
            Ok(()) => self.poll_delivery(context),
            Err(error) => Poll::Ready(Err(in_words(&error))),
        })
        .await
    }

    /// The next delivery, where it is there already.
    fn try_next(&mut self) -> Option<Result<lapin::message::Delivery, String>> {
        poll_fn(|context| self.poll_delivery(context)).now_or_never()
    }

    /// Asks for more, where all was taken and the consumer waits. One step at a time: a step that were
    /// dropped half done would take with it what was delivered to it.
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
                        let reason = format!("the broker has ended reading {}", stream.queue());
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

    /// Ends it in good order, or its connection where the broker does not let it.
    async fn end_in_time(self: Box<Self>) {
        let link = Arc::clone(&self.channel.link);
        match timeout(PATIENCE, self.end()).await {
            Ok(Ok(())) => {}
            // Without the connection the broker has everything back.
            Ok(Err(error)) => {
                debug!(%error, "the connection ended during a pause");
                link.close();
            }
            Err(_) => link.cut(),
        }
    }

    /// Cancels, then returns what waits here. The channel stays for what was taken.
    async fn end(mut self: Box<Self>) -> lapin::Result<()> {
        if let Some(widening) = self.widening.take() {
            self.streams.extend(widening.await?);
        }
        for stream in &self.streams {
            self.channel.basic_cancel(stream.tag(), BasicCancelOptions::default()).await?;
        }
        for stream in &mut self.streams {
            // Ends behind the last delivery, since the cancel was answered.
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

/// Begins to read the queues, with at most `window` unacked deliveries from each.
async fn consume(
    channel: Arc<OwnedChannel>,
    plan: Plan,
    window: u16,
) -> lapin::Result<Vec<lapin::Consumer>> {
    // Holds for what is begun after it.
    channel.basic_qos(window, BasicQosOptions::default()).await?;
    let mut streams = Vec::with_capacity(plan.kinds.len());
    for kind in &plan.kinds {
        let queue = plan.place.queue_name(*kind);
        let options = BasicConsumeOptions::default();
        let stream = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
        let Ok(stream) = timeout(PATIENCE, stream).await else {
            plan.silences.silent(*kind);
            return Err(io::Error::new(io::ErrorKind::TimedOut, no_answer()).into());
        };
        plan.silences.heard(*kind);
        streams.push(stream?);
    }
    Ok(streams)
}
