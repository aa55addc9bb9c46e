//! Quantiles of durations.

use std::time::Duration;

use serde_json::{Value, json};

/// Durations, sorted.
#[derive(Debug)]
pub struct Quantiles(Vec<Duration>);

impl Quantiles {
    pub fn of(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    /// The quantile of `share` (0 to 1) in milliseconds: the smallest duration that at least this
    /// share does not exceed.
    fn milliseconds(&self, share: f64) -> Option<f64> {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.max(1) - 1).map(|duration| duration.as_secs_f64() * 1_000.0)
    }

    /// The count, and the median, p90, p99 and maximum in milliseconds.
    pub fn to_json(&self) -> Value {
        json!({
            "count": self.0.len(),
            "p50_ms": self.milliseconds(0.5),
            "p90_ms": self.milliseconds(0.9),
            "p99_ms": self.milliseconds(0.99),
            "max_ms": self.milliseconds(1.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_durations() {
        let quantiles = Quantiles::of((1..=200).rev().map(Duration::from_millis).collect());
        let found = quantiles.to_json();
        let found = ["p50_ms", "p90_ms", "p99_ms", "max_ms"].map(|name| found[name].as_f64());
        assert_eq!(found, [Some(100.0), Some(180.0), Some(198.0), Some(200.0)]);
        assert!(Quantiles::of(Vec::new()).to_json()["p50_ms"].is_null());
    }
}
