//! The queue between the task manager's relay and the workers.
//!
//! A message is a wake-up: it names a task and carries nothing that matters, so losing, repeating
//! or reordering messages changes no result.
//!
//! # Invariants
//! - [`Publisher::publish`] returns only when the queue has taken responsibility for the message.
//! - A delivery that is dropped without an ack is delivered again.
//! - A consumer has at most `prefetch` unacked deliveries.
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

/// A message: the task to run, and its dispatch number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Message {
    /// The task.
    pub task_id: TaskId,
    /// How often the task was put in the queue.
    pub dispatch: u32,
}

/// The queue failed for now; a retry may succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the queue is not available: {0}")]
pub struct QueueError(pub String);

/// Log directives for the library behind the queue. This module logs its errors itself, once and in
/// plain words.
pub const LOG_DIRECTIVES: &str = "lapin=off";

/// The default prefix of the names of a broker's queues.
pub const DEFAULT_PREFIX: &str = "tasks";

/// Either queue.
#[derive(Debug, Clone)]
pub enum Queue {
    /// In this process.
    Memory(MemoryQueue),
    /// In a RabbitMQ broker.
    Amqp(AmqpQueue),
}

impl Queue {
    /// A handle that publishes messages.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        match self {
            Self::Memory(queue) => Publisher { inner: PublisherKind::Memory(queue.clone()) },
            Self::Amqp(queue) => Publisher { inner: PublisherKind::Amqp(queue.publisher()) },
        }
    }

    /// A handle that consumes messages of `kinds`, at most `prefetch` of them unacked.
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

/// Logs which queue the process is connected to, once when it starts.
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
    /// Publishes the messages; returns the queue's confirms, one per message in order.
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
            // Those of this process, which all run or have all ended.
            PublisherKind::Memory(_) => Ok(1),
            PublisherKind::Amqp(publisher) => publisher.consumers(kind).await,
        }
    }

    /// Whether the queue accepts messages now, for `/readyz`.
    ///
    /// # Errors
    /// The reason why it does not.
    pub async fn check(&self) -> Result<(), QueueError> {
        match &self.inner {
            PublisherKind::Memory(_) => Ok(()),
            PublisherKind::Amqp(publisher) => publisher.check().await,
        }
    }

    /// The kind of this queue: `in_process` or `rabbitmq`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.inner {
            PublisherKind::Memory(_) => "in_process",
            PublisherKind::Amqp(_) => "rabbitmq",
        }
    }

    /// The name of this queue for logs and health checks.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match &self.inner {
            PublisherKind::Memory(_) => "in-process queue",
            PublisherKind::Amqp(_) => "message broker",
        }
    }
}

/// Consumes messages.
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
    /// Waits for the next delivery. Cancel-safe: no delivery is lost when the future is dropped.
    /// Pending while paused.
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

    /// Takes another delivery if one has arrived, to claim several with one request.
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

    /// Stops consuming from the call on. Deliveries that `next` has not taken yet return to the
    /// queue before the returned future is ready, even if it is dropped.
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

    /// Resumes consuming.
    pub fn resume(&mut self) {
        match &mut self.inner {
            ConsumerKind::Memory(consumer) => consumer.resume(),
            ConsumerKind::Amqp(consumer) => consumer.resume(),
        }
    }
}

/// A delivered message that waits for its ack. If it is dropped without one, it is delivered again.
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
    /// The message.
    #[must_use]
    pub fn message(&self) -> Message {
        match &self.inner {
            DeliveryKind::Memory(delivery) => delivery.message(),
            DeliveryKind::Amqp(delivery) => delivery.message(),
        }
    }

    /// Acks the message. If the ack does not reach the queue, the message is delivered again and
    /// its claim is refused.
    pub async fn ack(self) {
        ack_all(vec![self]).await;
    }
}

/// Acks many deliveries, which costs less than acking each.
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
