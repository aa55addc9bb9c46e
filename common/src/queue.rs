//! The queue between the task manager's relay and the workers.
//!
//! A message is a wake-up: it names a task and carries nothing that matters, so losing, repeating
//! or reordering messages changes no result.
//!
//! # Invariants
//! - [`Publisher::publish`] answers only when the queue has taken responsibility for the message.
//! - A delivery that is dropped without an ack is delivered again.
//! - A consumer holds at most `prefetch` deliveries that are not acked.
//! - After a [`Consumer::pause`], no delivery waits in the consumer.
//!
//! # Not here
//! Retries, delays and order: the task manager keeps them in its database.

mod amqp;
#[cfg(test)]
mod conformance;
mod memory;

pub use amqp::{AmqpQueue, AmqpSettingsError};
pub use memory::MemoryQueue;
use serde::{Deserialize, Serialize};

use crate::task::{TaskId, TaskKind};

/// What travels: which task is to be run, and its dispatch number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The task.
    pub task_id: TaskId,
    /// How often the task was put in the queue.
    pub dispatch: u32,
}

/// Why the queue could not do its work now. It is worth trying again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the queue is not available: {0}")]
pub struct QueueError(pub String);

/// Log directives for the library behind the queue. Whatever it complains about is said by this
/// module, once and in words for people.
pub const LOG_DIRECTIVES: &str = "lapin=off";

/// What the names of a broker's queues begin with unless set otherwise.
pub const DEFAULT_PREFIX: &str = "tasks";

/// Where a queue is.
#[derive(Debug, Clone)]
pub enum Queue {
    /// In this process.
    Memory(MemoryQueue),
    /// In a RabbitMQ broker.
    Amqp(AmqpQueue),
}

impl Queue {
    /// A handle that puts messages in.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        match self {
            Self::Memory(queue) => Publisher { inner: PublisherKind::Memory(queue.clone()) },
            Self::Amqp(queue) => Publisher { inner: PublisherKind::Amqp(queue.publisher()) },
        }
    }

    /// A handle that takes messages of `kinds` out, at most `prefetch` of them unacked.
    #[must_use]
    pub fn consumer(&self, kinds: &[TaskKind], prefetch: usize) -> Consumer {
        match self {
            Self::Memory(queue) => {
                Consumer { inner: ConsumerKind::Memory(queue.consumer(kinds, prefetch)) }
            }
            Self::Amqp(queue) => {
                Consumer { inner: ConsumerKind::Amqp(Box::new(queue.consumer(kinds, prefetch))) }
            }
        }
    }
}

/// Says in the log what the process is connected to, once when it starts.
pub async fn log_connection(queue: &Queue) {
    match queue.publisher().check().await {
        Ok(()) => tracing::info!("connected to {queue}"),
        Err(error) => tracing::warn!("not connected to {queue} yet: {error}"),
    }
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("the queue in this process"),
            Self::Amqp(queue) => write!(f, "the broker at {queue}"),
        }
    }
}

/// Puts messages in the queue of their kind.
#[derive(Debug, Clone)]
pub struct Publisher {
    inner: PublisherKind,
}

#[derive(Debug, Clone)]
enum PublisherKind {
    Memory(MemoryQueue),
    Amqp(amqp::AmqpPublisher),
}

impl Publisher {
    /// Publishes the messages; the answer, one per message in order, is the queue's confirm.
    pub async fn publish(&self, messages: &[(TaskKind, Message)]) -> Vec<Result<(), QueueError>> {
        match &self.inner {
            PublisherKind::Memory(queue) => queue.publish(messages),
            PublisherKind::Amqp(publisher) => publisher.publish(messages).await,
        }
    }

    /// How many messages of `kind` wait for a worker.
    ///
    /// # Errors
    /// The queue is not available.
    pub async fn depth(&self, kind: TaskKind) -> Result<u64, QueueError> {
        match &self.inner {
            PublisherKind::Memory(queue) => Ok(queue.depth(kind)),
            PublisherKind::Amqp(publisher) => publisher.depth(kind).await,
        }
    }

    /// How many consumers take messages of `kind`.
    ///
    /// # Errors
    /// The queue is not available.
    pub async fn consumers(&self, kind: TaskKind) -> Result<u64, QueueError> {
        match &self.inner {
            // Those of this process, which all work or all have ended: a message reaches them all.
            PublisherKind::Memory(_) => Ok(1),
            PublisherKind::Amqp(publisher) => publisher.consumers(kind).await,
        }
    }

    /// Whether the queue takes messages now, for `/readyz`.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn check(&self) -> Result<(), QueueError> {
        match &self.inner {
            PublisherKind::Memory(_) => Ok(()),
            PublisherKind::Amqp(publisher) => publisher.check().await,
        }
    }

    /// What people call this queue.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.inner {
            PublisherKind::Memory(_) => "in-process queue",
            PublisherKind::Amqp(_) => "message broker",
        }
    }
}

/// Takes messages out of the queue.
#[derive(Debug)]
pub struct Consumer {
    inner: ConsumerKind,
}

#[derive(Debug)]
enum ConsumerKind {
    Memory(memory::MemoryConsumer),
    Amqp(Box<amqp::AmqpConsumer>),
}

impl Consumer {
    /// Waits for the next delivery. Cancel-safe: what was delivered is not lost when the future
    /// is dropped. Pending for ever while paused.
    pub async fn next(&mut self) -> Delivery {
        match &mut self.inner {
            ConsumerKind::Memory(consumer) => {
                Delivery { inner: DeliveryKind::Memory(consumer.next().await) }
            }
            ConsumerKind::Amqp(consumer) => {
                Delivery { inner: DeliveryKind::Amqp(consumer.next().await) }
            }
        }
    }

    /// Takes another delivery if one is there already: to claim several with one request.
    pub fn try_next(&mut self) -> Option<Delivery> {
        match &mut self.inner {
            ConsumerKind::Memory(consumer) => {
                consumer.try_next().map(|inner| Delivery { inner: DeliveryKind::Memory(inner) })
            }
            ConsumerKind::Amqp(consumer) => {
                consumer.try_next().map(|inner| Delivery { inner: DeliveryKind::Amqp(inner) })
            }
        }
    }

    /// Takes no more messages, from the call on; what was delivered to this consumer and not yet taken
    /// by `next` goes back to the queue before the answer is ready, also where nobody waits for it.
    pub fn pause(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let at_broker = match &mut self.inner {
            ConsumerKind::Memory(consumer) => {
                consumer.pause();
                None
            }
            ConsumerKind::Amqp(consumer) => Some(consumer.pause()),
        };
        async move {
            if let Some(pausing) = at_broker {
                pausing.await;
            }
        }
    }

    /// Takes messages again.
    pub fn resume(&mut self) {
        match &mut self.inner {
            ConsumerKind::Memory(consumer) => consumer.resume(),
            ConsumerKind::Amqp(consumer) => consumer.resume(),
        }
    }
}

/// A message that was delivered and waits for its ack. Dropped without one, it is delivered again.
#[derive(Debug)]
pub struct Delivery {
    inner: DeliveryKind,
}

#[derive(Debug)]
enum DeliveryKind {
    Memory(memory::MemoryDelivery),
    Amqp(amqp::AmqpDelivery),
}

impl Delivery {
    /// What the message says.
    #[must_use]
    pub fn message(&self) -> Message {
        match &self.inner {
            DeliveryKind::Memory(delivery) => delivery.message(),
            DeliveryKind::Amqp(delivery) => delivery.message(),
        }
    }

    /// Tells the queue to forget the message. Where that does not reach the queue, the message
    /// comes again and its claim is refused.
    pub async fn ack(self) {
        ack_all(vec![self]).await;
    }
}

/// Acks many deliveries, which costs less than to ack each.
pub async fn ack_all(deliveries: Vec<Delivery>) {
    let mut of_broker = Vec::new();
    for delivery in deliveries {
        match delivery.inner {
            DeliveryKind::Memory(delivery) => delivery.ack(),
            DeliveryKind::Amqp(delivery) => of_broker.push(delivery),
        }
    }
    amqp::ack_all(of_broker).await;
}
