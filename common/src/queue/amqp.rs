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
//! Tried with RabbitMQ 3.10 and lapin 4.12, also while many acks were on their way:
//! - `cancel-ok` comes behind the last delivery. What was delivered before and not yet taken waits
//!   in lapin's stream, which ends behind it.
//! - What is acked or returned after `cancel-ok` reaches the queue and brings no further delivery.
//! - What is acked or returned *before* the cancel makes room, so the next messages come at once.
//!   Hence: cancel first, then return what waits, ack last.
//! - Returned messages go to the end of the queue (RabbitMQ 4: to their place, and after 20 returns
//!   they are dropped), so a consumer asks for no more than it is likely to use; see `consumer`.
//! - The prefetch counts for each subscription; quorum queues refuse one for the whole channel. A
//!   consumer of several kinds therefore counts what it hands out.
//! - A broker that is short of memory or disk says so to those that publish (`connection.blocked`)
//!   and reads no more from them; heartbeats are suspended, and the connection lives on.
//!
//! # Not here
//! Policies, users and virtual hosts are the operator's.

mod acks;
mod address;
mod consumer;
mod delivery;
mod link;
mod outage;
mod publisher;
mod silence;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

pub(super) use self::consumer::AmqpConsumer;
pub(super) use self::delivery::{AmqpDelivery, ack_all};
pub(super) use self::publisher::AmqpPublisher;

use self::address::Address;
use self::publisher::Supervision;
use crate::task::TaskKind;
use crate::tls::Trust;

/// How long the broker has for any answer: a connection, a confirm, an ack.
const PATIENCE: Duration = Duration::from_secs(5);
/// Leaves room for the name of a kind in the 255 bytes of a queue's name.
const LONGEST_PREFIX: usize = 100;

/// A setting that cannot lead to a queue. Says what is wrong without the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AmqpSettingsError(String);

/// The queues of one installation in a broker. Clones share the connection that publishes, which
/// ends with the last publisher.
#[derive(Clone)]
pub struct AmqpQueue {
    place: Place,
    uplink: Arc<Mutex<Weak<Supervision>>>,
}

/// Where the queues are.
#[derive(Debug, Clone)]
struct Place {
    address: Arc<Address>,
    prefix: Arc<str>,
    trust: Trust,
}

impl Place {
    fn queue_name(&self, kind: TaskKind) -> String {
        format!("{}.{kind}", self.prefix)
    }
}

impl AmqpQueue {
    /// The queues whose names start with `prefix` in the broker at
    /// `amqp://USER:PASSWORD@HOST:5672/VHOST`, or `amqps://` with TLS. Connects when it is first used.
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
        let (address, prefix) = (Arc::new(address), prefix.into());
        let place = Place { address, prefix, trust: Trust::default() };
        Ok(Self { place, uplink: Arc::default() })
    }

    /// The same with other certificates to trust than the system's alone.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.place.trust = trust;
        self
    }

    pub(super) fn publisher(&self) -> AmqpPublisher {
        let mut uplink = self.uplink.lock().unwrap_or_else(PoisonError::into_inner);
        let supervision = uplink.upgrade().unwrap_or_default();
        *uplink = Arc::downgrade(&supervision);
        AmqpPublisher::new(self.place.clone(), supervision)
    }

    pub(super) fn consumer(&self, kinds: &[TaskKind], prefetch: usize) -> AmqpConsumer {
        AmqpConsumer::new(self.place.clone(), kinds, prefetch)
    }
}

impl fmt::Display for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.address.fmt(f)
    }
}

impl fmt::Debug for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}
