//! The acks of one channel. A multiple ack covers all deliveries before it at the cost of one: a
//! quorum queue writes one log record for each ack that it receives.
//!
//! # Invariants
//! - A multiple ack covers no unsettled delivery: it is sent only if every delivery before it is
//!   settled.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

/// The settled deliveries of a channel: acked or returned.
#[derive(Debug, Default)]
pub(super) struct Acks {
    settled: Mutex<Settled>,
    /// Serializes sending, so that a multiple ack follows the acks of the deliveries that it
    /// covers.
    pub(super) sending: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Settled {
    /// All tags up to this one. The broker counts them from 1, without gaps.
    through: u64,
    /// Settled tags after it.
    beyond: BTreeSet<u64>,
}

/// An ack to send to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    /// Whether it covers all deliveries before it.
    pub(super) multiple: bool,
}

impl Acks {
    /// Marks the deliveries with these tags as settled; returns the acks to send.
    pub(super) fn settle(&self, tags: &[u64]) -> Vec<Ack> {
        // A panic while it was locked leaves valid sets: every change is atomic.
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.beyond.extend(tags);
        while let Some(first) = settled.beyond.first().copied()
            && first <= settled.through + 1
        {
            settled.beyond.pop_first();
            settled.through = settled.through.max(first);
        }
        let through = settled.through;
        drop(settled);
        let (before, behind): (Vec<u64>, Vec<u64>) = tags.iter().partition(|tag| **tag <= through);
        let multiple = before.len() > 1;
        let last = before.into_iter().max().map(|tag| Ack { tag, multiple });
        let single = behind.into_iter().map(|tag| Ack { tag, multiple: false });
        last.into_iter().chain(single).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(tag: u64) -> Ack {
        Ack { tag, multiple: false }
    }

    fn through(tag: u64) -> Ack {
        Ack { tag, multiple: true }
    }

    #[test]
    fn consecutive_deliveries_are_acked_together() {
        let acks = Acks::default();
        assert_eq!(acks.settle(&[1, 2, 3]), [through(3)]);
        assert_eq!(acks.settle(&[4]), [one(4)]);
        assert_eq!(acks.settle(&[6, 5]), [through(6)]);
    }

    #[test]
    fn a_multiple_ack_covers_settled_deliveries_only() {
        let acks = Acks::default();
        assert_eq!(acks.settle(&[2, 3]), [one(2), one(3)], "1 is not");
        assert_eq!(acks.settle(&[5, 1]), [one(1), one(5)], "4 is not");
        assert_eq!(acks.settle(&[4, 6, 8]), [through(6), one(8)], "7 is not");
        assert_eq!(acks.settle(&[7]), [one(7)]);
        assert_eq!(acks.settle(&[9, 10]), [through(10)]);
    }

    #[test]
    fn every_delivery_is_acked_once() {
        let acks = Acks::default();
        acks.settle(&[2, 3]);
        // The broker would treat a second ack of 3 as an error.
        assert_eq!(acks.settle(&[1]), [one(1)]);
    }
}
