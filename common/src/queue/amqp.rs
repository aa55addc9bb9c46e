//! The queue in a RabbitMQ broker: one durable quorum queue per kind, named `{prefix}.{kind}`.
//!
//! # Invariants
//! - Connections that end are opened again indefinitely, with growing, jittered pauses. Meanwhile
//!   every operation fails within [`PATIENCE`].
//! - Publishing and consuming have separate connections: a broker that is short of memory or disk
//!   stops reading from publishers.
//! - Queues are declared with `x-queue-type` and nothing else: other arguments could not be
//!   changed later, and policies can set them.
//! - Each subscription has its own channel, which its deliveries keep open: they can be acked even
//!   when the consumer has a new subscription.
//!
//! # Behaviour of brokers
//! Observed with RabbitMQ 3.10 and lapin 4.12, also while many acks were in flight:
//! - `cancel-ok` follows the last delivery. Deliveries that were not taken before wait in lapin's
//!   stream, which ends after them.
//! - An ack or return after `cancel-ok` reaches the queue and causes no further delivery.
//! - An ack or return *before* the cancel frees prefetch, so the next messages arrive immediately.
//!   Hence: cancel first, then return the waiting deliveries, ack last.
//! - Returned messages go to the end of the queue (RabbitMQ 4: to their position, and after 20
//!   returns they are dropped), so a consumer prefetches no more than it is likely to use; see
//!   `consumer`.
//! - The prefetch applies to each subscription; quorum queues refuse one for the whole channel. A
//!   consumer of several kinds therefore counts its deliveries itself.
//! - A broker that is short of memory or disk notifies publishers (`connection.blocked`) and stops
//!   reading from them; heartbeats are suspended, and the connection stays open.
//!
//! # Not here
//! Policies, users and virtual hosts are the operator's.

mod acks;
mod address;
mod confirm_timeouts;
mod connection;
mod consumer;
mod delivery;
mod outage;
mod publisher;
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

/// How long to wait for any answer of the broker: a connection, a confirm, an ack.
const PATIENCE: Duration = Duration::from_secs(5);
/// Leaves room for the name of a kind in the 255 bytes of a queue's name.
const LONGEST_PREFIX: usize = 100;

/// An invalid setting, described without the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AmqpSettingsError(String);

/// The queues of one installation in a broker. Clones share the connection for publishing, which is
/// closed with the last publisher.
#[derive(Clone)]
pub struct AmqpQueue {
    target: BrokerTarget,
    supervision: Arc<Mutex<Weak<Supervision>>>,
}

/// The broker, and the queues of this installation in it.
#[derive(Debug, Clone)]
struct BrokerTarget {
    address: Arc<Address>,
    prefix: Arc<str>,
    trust: Trust,
}

impl BrokerTarget {
    fn queue_name(&self, kind: TaskKind) -> String {
        format!("{}.{kind}", self.prefix)
    }
}

impl AmqpQueue {
    /// The queues whose names start with `prefix` in the broker at
    /// `amqp://USER:PASSWORD@HOST:5672/VHOST`, or `amqps://` with TLS. Connects when it is first
    /// used.
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
        let target = BrokerTarget { address, prefix, trust: Trust::default() };
        Ok(Self { target, supervision: Arc::default() })
    }

    /// The same with certificates to trust beside the system's.
    #[must_use]
    pub fn trusting(mut self, trust: Trust) -> Self {
        self.target.trust = trust;
        self
    }

    pub(super) fn publisher(&self) -> AmqpPublisher {
        let mut weak = self.supervision.lock().unwrap_or_else(PoisonError::into_inner);
        let supervision = weak.upgrade().unwrap_or_default();
        *weak = Arc::downgrade(&supervision);
        AmqpPublisher::new(self.target.clone(), supervision)
    }

    pub(super) fn consumer(&self, kinds: &[TaskKind], prefetch: usize) -> AmqpConsumer {
        AmqpConsumer::new(self.target.clone(), kinds, prefetch)
    }
}

impl fmt::Display for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.address.fmt(f)
    }
}

impl fmt::Debug for AmqpQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}
