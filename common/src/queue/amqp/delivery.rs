//! Deliveries and their acks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::PATIENCE;
use super::acks::Acks;
use super::connection::OwnedChannel;
use crate::queue::Message;

/// How much of an unreadable message is logged, in bytes.
const SHOWN: usize = 200;

/// A delivered message.
pub(in crate::queue) struct AmqpDelivery {
    message: Message,
    tag: u64,
    /// None once it is acked.
    acker: Option<Acker>,
    /// Those of its channel.
    acks: Arc<Acks>,
    /// Keeps the channel open: the delivery can be acked only there.
    channel: Arc<OwnedChannel>,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for AmqpDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AmqpDelivery").field(&self.message).finish()
    }
}

impl AmqpDelivery {
    /// Parses a delivery; an unreadable one is acked, since it carries nothing.
    pub(super) fn read(
        raw: lapin::message::Delivery,
        channel: &Arc<OwnedChannel>,
        acks: &Arc<Acks>,
        permit: OwnedSemaphorePermit,
    ) -> Option<Self> {
        match serde_json::from_slice(&raw.data) {
            Ok(message) => Some(Self {
                message,
                tag: raw.delivery_tag,
                acker: Some(raw.acker),
                acks: Arc::clone(acks),
                channel: Arc::clone(channel),
                _permit: permit,
            }),
            Err(error) => {
                let body = String::from_utf8_lossy(&raw.data[..raw.data.len().min(SHOWN)]);
                let (queue, bytes) = (&raw.routing_key, raw.data.len());
                warn!(%queue, bytes, ?body, "dropped an unreadable message: {error}");
                // The first poll queues the ack in lapin; whether it is sent does not matter.
                let _ = raw.acker.ack(BasicAckOptions::default()).now_or_never();
                acks.settle(&[raw.delivery_tag]);
                None
            }
        }
    }

    pub(in crate::queue) fn message(&self) -> Message {
        self.message
    }
}

/// Acks deliveries of any number of channels, within [`PATIENCE`] for each. If a channel takes
/// longer, its connection is aborted, which returns its messages to the broker.
pub(in crate::queue) async fn ack_all(mut deliveries: Vec<AmqpDelivery>) {
    while let Some(first) = deliveries.first() {
        let channel = Arc::clone(&first.channel);
        let of_channel =
            deliveries.extract_if(.., |other| Arc::ptr_eq(&channel, &other.channel)).collect();
        let deadline = Instant::now() + PATIENCE;
        if timeout_at(deadline, ack_of_channel(of_channel)).await.is_err() {
            debug!("acks were not sent in time");
            channel.connection.abort();
        }
    }
}

/// Acks deliveries of one channel.
async fn ack_of_channel(deliveries: Vec<AmqpDelivery>) {
    let mut deliveries: BTreeMap<_, _> =
        deliveries.into_iter().map(|delivery| (delivery.tag, delivery)).collect();
    let Some((_, first)) = deliveries.first_key_value() else { return };
    let acks = Arc::clone(&first.acks);
    let tags: Vec<_> = deliveries.keys().copied().collect();
    let _guard = acks.sending.lock().await;
    for ack in acks.settle(&tags) {
        if ack.multiple {
            // It covers these: acking one of them again would close the channel.
            deliveries.range_mut(..ack.tag).for_each(|(_, delivery)| delivery.acker = None);
        }
        let delivery = deliveries.get_mut(&ack.tag);
        let Some(acker) = delivery.and_then(|delivery| delivery.acker.take()) else { continue };
        // If it does not arrive, the connection ends and the message is delivered again.
        if let Err(error) = acker.ack(BasicAckOptions { multiple: ack.multiple }).await {
            debug!(%error, "an ack did not reach the broker");
        }
    }
}

impl Drop for AmqpDelivery {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            // The first poll queues it in lapin; without a connection the message is back already.
            let _ = acker.nack(requeue()).now_or_never();
            // Only now, so that no multiple ack covers it before it is returned.
            self.acks.settle(&[self.tag]);
        }
    }
}

/// Has the broker deliver a message again.
pub(super) fn requeue() -> BasicNackOptions {
    BasicNackOptions { multiple: false, requeue: true }
}
