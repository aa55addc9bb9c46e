//! The acks of one channel. An ack may speak for all deliveries before it, which costs the broker as
//! much as one: a quorum queue writes a record of its log for each ack that it gets.
//!
//! # Invariants
//! - Nobody's delivery is acked by another one's ack: an ack speaks for others only where every
//!   delivery before it was settled.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

/// Which deliveries of a channel are settled: acked, or given back.
#[derive(Debug, Default)]
pub(super) struct Acks {
    settled: Mutex<Settled>,
    /// One says its acks at a time: one that speaks for others comes behind those of the others.
    pub(super) turn: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Settled {
    /// All up to this tag. The broker counts them from 1, without gaps.
    through: u64,
    /// Those behind it.
    beyond: BTreeSet<u64>,
}

/// What is to be said to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) tag: u64,
    /// Whether it speaks for those before it.
    pub(super) multiple: bool,
}

impl Acks {
    /// Notes that the deliveries with these tags are settled; answers the acks that say so.
    pub(super) fn settle(&self, tags: &[u64]) -> Vec<Ack> {
        // A panic while it was locked leaves valid sets: every change is complete in itself.
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
        // The broker would take an ack of 3 for a fault.
        assert_eq!(acks.settle(&[1]), [one(1)]);
    }
}
