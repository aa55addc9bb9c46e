//! Messages that were taken, and their acks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, Channel};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::PATIENCE;
use super::acks::Acks;
use crate::queue::Message;

/// How much of a message that cannot be read the log shows, in bytes.
const SHOWN: usize = 200;

/// A message that was taken.
pub(in crate::queue) struct AmqpDelivery {
    message: Message,
    tag: u64,
    /// Until it was acked.
    acker: Option<Acker>,
    /// Of its channel.
    acks: Arc<Acks>,
    /// Keeps the channel open: only there can it be acked.
    _channel: Channel,
    _permit: OwnedSemaphorePermit,
}

impl fmt::Debug for AmqpDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AmqpDelivery").field(&self.message).finish()
    }
}

impl AmqpDelivery {
    /// Reads a delivery; one that cannot be read carries nothing and is acked.
    pub(super) fn read(
        raw: lapin::message::Delivery,
        channel: &Channel,
        acks: &Arc<Acks>,
        permit: OwnedSemaphorePermit,
    ) -> Option<Self> {
        match serde_json::from_slice(&raw.data) {
            Ok(message) => Some(Self {
                message,
                tag: raw.delivery_tag,
                acker: Some(raw.acker),
                acks: Arc::clone(acks),
                _channel: channel.clone(),
                _permit: permit,
            }),
            Err(error) => {
                let body = String::from_utf8_lossy(&raw.data[..raw.data.len().min(SHOWN)]);
                let (queue, bytes) = (&raw.routing_key, raw.data.len());
                warn!(%queue, bytes, ?body, "dropped a message that cannot be read: {error}");
                // The first poll hands the ack over; that it was sent is of no interest.
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

/// Acks deliveries of any number of channels.
pub(in crate::queue) async fn ack_all(mut deliveries: Vec<AmqpDelivery>) {
    while let Some(first) = deliveries.first() {
        let acks = Arc::clone(&first.acks);
        let of_channel = deliveries.extract_if(.., |other| Arc::ptr_eq(&acks, &other.acks));
        let mut of_channel: BTreeMap<_, _> =
            of_channel.map(|delivery| (delivery.tag, delivery)).collect();
        let tags: Vec<_> = of_channel.keys().copied().collect();
        let _turn = acks.turn.lock().await;
        for ack in acks.settle(&tags) {
            let delivery = of_channel.get_mut(&ack.tag);
            let Some(acker) = delivery.and_then(|delivery| delivery.acker.take()) else { continue };
            let ack = acker.ack(BasicAckOptions { multiple: ack.multiple });
            // Where it does not arrive, the connection ends and the message comes again.
            match timeout(PATIENCE, ack).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => debug!(%error, "an ack did not reach the broker"),
                Err(_) => debug!("an ack was not sent in time"),
            }
        }
        // Another one's ack spoke for these.
        for delivery in of_channel.values_mut() {
            delivery.acker = None;
        }
    }
}

impl Drop for AmqpDelivery {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            // The first poll hands it over; without a connection the broker has it back already.
            let _ = acker.nack(requeue()).now_or_never();
            // Only now: an ack that speaks for it would otherwise come first.
            self.acks.settle(&[self.tag]);
        }
    }
}

/// Has the broker deliver a message again.
pub(super) fn requeue() -> BasicNackOptions {
    BasicNackOptions { multiple: false, requeue: true }
}
