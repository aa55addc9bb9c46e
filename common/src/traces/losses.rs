//! Counts the spans that wait to be sent, and those that are lost, and logs losses once.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// The counts. All orderings are relaxed: the counts order no other memory access.
#[derive(Debug, Default)]
pub(super) struct Losses {
    waiting: AtomicUsize,
    lost: AtomicU64,
    /// The number of lost spans that was logged last.
    logged: AtomicU64,
    /// Whether the last request failed.
    is_away: AtomicBool,
    is_full: AtomicBool,
}

impl Losses {
    /// Whether one more span may wait. If `limit` spans wait already, it is lost.
    pub(super) fn admit(&self, limit: usize) -> bool {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < limit {
            return true;
        }
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.lost.fetch_add(1, Ordering::Relaxed);
        // One line per outage; a collector that is away has its own.
        if !self.is_full.swap(true, Ordering::Relaxed) && !self.is_away() {
            tracing::warn!(
                "the collector of traces is slower than the tasks: spans are dropped; \
                 `otlp_sample_ratio` traces fewer tasks"
            );
        }
        false
    }

    /// Notes that spans no longer wait.
    pub(super) fn taken(&self, spans: usize) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
    }

    /// Whether the last request failed.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Notes that a request failed for good, with its spans.
    pub(super) fn failed(&self, spans: u64, endpoint: &str, reason: &str) {
        self.lost.fetch_add(spans, Ordering::Relaxed);
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!("cannot send traces to {endpoint}, spans are lost: {reason}");
        }
    }

    /// Notes that a request succeeded, and that the collector rejected some of its spans.
    pub(super) fn sent(&self, rejected: u64, reason: &str) {
        let before = self.lost.fetch_add(rejected, Ordering::Relaxed);
        if rejected > 0 && before == 0 {
            tracing::warn!(rejected, reason, "the collector of traces rejected spans");
        }
        let is_over = self.is_away.swap(false, Ordering::Relaxed);
        if is_over {
            self.is_full.store(false, Ordering::Relaxed);
            let lost = before - self.logged.swap(before, Ordering::Relaxed);
            tracing::info!(lost, "traces are sent again");
        }
    }

    /// Logs how many spans were lost, if any.
    pub(super) fn log_total(&self) {
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "spans of traces were lost since the start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_beyond_the_limit_are_lost() {
        let losses = Losses::default();
        let admitted: Vec<bool> = (0..3).map(|_| losses.admit(2)).collect();
        assert_eq!(admitted, [true, true, false]);
        losses.taken(1);
        assert!(losses.admit(2));
        assert_eq!(losses.lost.load(Ordering::Relaxed), 1);
    }
}
