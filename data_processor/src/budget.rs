//! The threads and the memory that the attempts of a worker share.
//!
//! # Invariants
//! - The attempts that run together have no more threads than the worker, except that each has at
//!   least one.
//! - The attempts that share the memory together have no more than the limit.
//! - The share of an attempt shrinks when another one starts and grows when one ends, so an attempt
//!   that runs alone has everything.
//!
//! # Not here
//! Enforcement: an engine polls its [`Share`] from time to time, or reads its [`Grant`] once.

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// The budget of a worker.
#[derive(Debug)]
pub struct Budget {
    threads: usize,
    /// In bytes.
    memory: u64,
    /// The number of threads that are granted, and the number of attempts that share the others and
    /// the memory. They are relaxed counters, which order no other memory access.
    granted: AtomicUsize,
    sharing: AtomicUsize,
}

/// A share of the threads and the memory, which changes with the number of attempts. Returned when
/// it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
}

/// A fixed number of threads. Returned when it is dropped.
#[derive(Debug)]
pub struct Grant {
    budget: Arc<Budget>,
    threads: usize,
}

impl Budget {
    /// A budget of `threads`, at least one, and `memory` bytes.
    #[must_use]
    pub fn new(threads: usize, memory: u64) -> Arc<Self> {
        let (granted, sharing) = Default::default();
        Arc::new(Self { threads: threads.max(1), memory, granted, sharing })
    }

    /// A budget of as many threads as the machine has processors, and `memory` bytes.
    #[must_use]
    pub fn of_machine(memory: u64) -> Arc<Self> {
        Self::new(available_parallelism().map_or(1, NonZero::get), memory)
    }

    /// The number of all threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// All memory in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// A share for an attempt that can use any number of threads and much memory.
    #[must_use]
    pub fn share(self: &Arc<Self>) -> Share {
        self.sharing.fetch_add(1, Ordering::Relaxed);
        Share { budget: Arc::clone(self) }
    }

    /// Threads for an attempt that can use up to `most` of them and needs little memory: as many as
    /// are free, at least one.
    #[must_use]
    pub fn grant(self: &Arc<Self>, most: usize) -> Grant {
        let sharing = self.sharing.load(Ordering::Relaxed);
        let granted = self.granted.load(Ordering::Relaxed);
        let free = self.threads.saturating_sub(granted + sharing);
        let threads = most.min(free).max(1);
        self.granted.fetch_add(threads, Ordering::Relaxed);
        Grant { budget: Arc::clone(self), threads }
    }
}

impl Share {
    /// How many threads the attempt may use now, at least one.
    #[must_use]
    pub fn threads(&self) -> usize {
        let Budget { threads, granted, sharing, .. } = &*self.budget;
        let others = granted.load(Ordering::Relaxed);
        (threads.saturating_sub(others) / sharing.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// How much memory in bytes the attempt may use now.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let sharing = self.budget.sharing.load(Ordering::Relaxed).max(1);
        self.budget.memory / sharing as u64
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.sharing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Grant {
    /// How many threads the attempt may use, at least one.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.budget.granted.fetch_sub(self.threads, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_single_attempt_has_the_whole_budget() {
        let budget = Budget::new(16, 512 << 20);
        let alone = budget.share();
        assert_eq!((alone.threads(), alone.memory()), (16, 512 << 20));
        let second = budget.share();
        assert_eq!((alone.threads(), alone.memory()), (8, 256 << 20));
        assert_eq!((second.threads(), second.memory()), (8, 256 << 20));
        let grant = budget.grant(2);
        assert_eq!(grant.threads(), 2);
        assert_eq!((alone.threads(), alone.memory()), (7, 256 << 20));
        drop((second, grant));
        assert_eq!((alone.threads(), alone.memory()), (16, 512 << 20));
    }

    #[test]
    fn every_attempt_has_at_least_one_thread() {
        let budget = Budget::new(0, 100);
        let shares: Vec<_> = (0..3).map(|_| budget.share()).collect();
        let grants: Vec<_> = (0..3).map(|_| budget.grant(2)).collect();
        assert!(shares.iter().all(|share| share.threads() == 1 && share.memory() == 33));
        assert!(grants.iter().all(|grant| grant.threads() == 1));
    }

    proptest! {
        #[test]
        fn all_attempts_together_stay_within_the_budget(
            threads in 1..40_usize,
            // Attempts that start: how many threads they can use, 0 for any number.
            attempts in proptest::collection::vec(0..4_usize, 1..50),
            ended in proptest::collection::vec(any::<bool>(), 50),
        ) {
            let budget = Budget::new(threads, 1 << 30);
            let (mut shares, mut grants) = (Vec::new(), Vec::new());
            for (most, ended) in attempts.into_iter().zip(ended) {
                match (most, ended) {
                    (0, false) => shares.push(budget.share()),
                    (0, true) => drop(shares.pop()),
                    (_, false) => grants.push(budget.grant(most)),
                    (_, true) => drop(grants.pop()),
                }
                let shared: usize = shares.iter().map(Share::threads).sum();
                let granted: usize = grants.iter().map(Grant::threads).sum();
                prop_assert!(shared + granted <= threads.max(granted + shares.len()));
                // Each attempt that starts when all threads are granted adds one.
                prop_assert!(granted <= threads + grants.len());
                prop_assert!(shares.iter().map(Share::memory).sum::<u64>() <= 1 << 30);
            }
        }
    }
}
