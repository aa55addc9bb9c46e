//! The speed of an attempt, smoothed for display.

use std::time::Duration;

use tokio::time::Instant;

/// The time constant of the average: a measurement this old has a third of its weight.
const MEMORY: Duration = Duration::from_secs(3);

/// Units per second: an exponential moving average of a counter that is sampled from time to time.
#[derive(Debug)]
pub(super) struct Rate {
    at: Instant,
    done: u64,
    per_second: Option<f64>,
}

impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, done: 0, per_second: None }
    }

    /// Notes that `done` units are done, and returns the rate; `None` before the first unit.
    pub(super) fn update(&mut self, now: Instant, done: u64) -> Option<f64> {
        let elapsed = now.duration_since(self.at).as_secs_f64();
        if elapsed > 0.0 {
            let latest = done.saturating_sub(self.done) as f64 / elapsed;
            self.per_second = match self.per_second {
                None => (done > 0).then_some(latest),
                Some(before) => {
                    let weight = 1.0 - (-elapsed / MEMORY.as_secs_f64()).exp();
                    Some(before + weight * (latest - before))
                }
            };
            self.at = now;
            self.done = done;
        }
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_exact() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        assert_eq!(rate.update(start + Duration::from_secs(1), 0), None);
        for second in 2..10 {
            let shown = rate.update(start + Duration::from_secs(second), (second - 1) * 500);
            assert!((shown.unwrap() - 500.0).abs() < 1e-6, "{shown:?}");
        }
    }

    #[test]
    fn a_pause_lowers_the_rate_gradually() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let mut shown = rate.update(start + Duration::from_secs(1), 1000).unwrap();
        for second in 2..8 {
            let next = rate.update(start + Duration::from_secs(second), 1000).unwrap();
            assert!(next < shown && next > 0.0, "{next} after {shown}");
            shown = next;
        }
        assert!(shown < 200.0, "{shown}");
    }
}
