//! The queue in a RabbitMQ broker: one durable quorum queue per kind, named `{prefix}.{kind}`.
//!
//! # Invariants
//! - Nothing here gives up: connections that end are made again for ever, with growing, jittered
//!   pauses, and what cannot be done now is an error within [`PATIENCE`].
//! - Publishing and consuming have connections of their own: a broker that is short of memory or
//!   disk stops reading from those that publish.
//! - Queues are declared with `x-queue-type` and nothing else: other arguments could not be
//!   changed later, and policies can set them.
//! - A subscription has a channel of its own, which its deliveries keep open: they stay ackable
//!   when the consumer has gone on to another one.
//!
//! # What brokers do
//! Tried with RabbitMQ 3.10 and lapin 4.12:
//! - `cancel-ok` comes behind the last delivery. What was delivered before it and not yet taken
//!   waits in lapin's stream, which ends behind it.
//! - A message that is returned or acked after the cancel brings no further delivery to the
//!   channel; acks after the cancel do reach the queue.
//! - An ack sent *before* the cancel makes room under the prefetch, so the queue delivers the next
//!   message at once. Hence: cancel first, then return what waits, ack last.
//! - The prefetch counts for each subscription; quorum queues refuse one for the whole channel. A
//!   consumer of several kinds therefore counts its deliveries itself.
//!
//! # Not here
//! TLS. Policies, users and virtual hosts are the operator's.

mod address;
mod consumer;
mod link;
mod outage;
mod publisher;



use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub(super) use self::consumer::{AmqpConsumer, AmqpDelivery};
pub(super) use self::publisher::AmqpPublisher;

use self::address::Address;
use crate::task::TaskKind;

/// How long the broker has for any answer: a connection, a confirm, an ack.
const PATIENCE: Duration = Duration::from_secs(5);
/// Leaves room for the name of a kind in the 255 bytes of a queue's name.
const LONGEST_PREFIX: usize = 100;

/// A setting that cannot lead to a queue. Says what is wrong without the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AmqpSettingsError(String);

/// The queues of one installation in a broker. Clones share the connection that publishes.
#[derive(Clone)]
pub struct AmqpQueue {
    place: Place,
    publisher: AmqpPublisher,
}

/// Where the queues are.
#[derive(Debug, Clone)]
struct Place {
    address: Arc<Address>,
    prefix: Arc<str>,
}

impl Place {
    fn queue_name(&self, kind: TaskKind) -> String {
        format!("{}.{kind}", self.prefix)
    }
}

impl AmqpQueue {
    /// The queues whose names start with `prefix` in the broker at
    /// `amqp://USER:PASSWORD@HOST:5672/VHOST`. Connects when it is first used.
    ///
    /// # Errors
    /// The URL or the prefix cannot be used.
    pub fn new(url: SecretString, prefix: &str) -> Result<Self, AmqpSettingsError> {
        let address = Address::parse(url.expose_secret())?;
        if prefix.is_empty() || prefix.len() > LONGEST_PREFIX || prefix.starts_with("amq.") {
            return Err(AmqpSettingsError(format!(
                "the prefix of the queues must have 1 to {LONGEST_PREFIX} bytes and not start \
                 with `amq.`"
            )));
        }
        let place = Place { address: Arc::new(address), prefix: prefix.into() };
        Ok(Self { publisher: AmqpPublisher::new(place.clone()), place })
    }

    pub(super) fn publisher(&self) -> AmqpPublisher {
        self.publisher.clone()
    }

    pub(super) fn consumer(&self, kinds: &[TaskKind], prefetch: usize) -> AmqpConsumer {
        AmqpConsumer::new(self.place.clone(), kinds, prefetch)
    }
}

impl fmt::Debug for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}
